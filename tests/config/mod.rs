//! Settings.

mod error_messages;
mod sources;
mod unreadable_files;
