//! htpasswd files: which hash formats and lines are accepted, and how unusable ones are reported.

mod differential;
mod other_formats;
mod salts;
mod unusable_files;
mod unusable_lines;
