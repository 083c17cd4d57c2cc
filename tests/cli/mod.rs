//! Commands `completions` and `health`, and exit statuses.

mod completions;
mod exit_status;
mod health;
