//! Changes of watched files while doorward runs.

mod bind_mounts;
mod emptied_files;
mod flush;
mod htpasswd;
