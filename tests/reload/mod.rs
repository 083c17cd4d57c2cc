//! Files that change at run time.

mod bind_mounts;
mod config;
mod emptied_files;
mod flush;
mod htpasswd;
