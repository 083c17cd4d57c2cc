//! Settings: where they come from, which one has priority, and how invalid ones are reported.

mod error_messages;
mod sources;
mod unreadable_files;
