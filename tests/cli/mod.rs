//! Commands that scripts and containers run: `health`, `completions`, and the exit statuses of `check` and `explain`.

mod exit_status;
mod health_and_completions;
