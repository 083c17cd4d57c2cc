//! Other commands.

mod completions;
mod exit_status;
mod health;
