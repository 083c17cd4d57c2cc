//! Files that change at run time.

mod bind_mounts;
mod emptied_files;
mod flush;
mod htpasswd;
mod settings;
