//! htpasswd files: formats, unusable lines and files, comparison with other readers.

mod differential;
mod other_formats;
mod salts;
mod unusable_files;
mod unusable_lines;
