//! The checks of the fuzz targets. With the feature `fuzzing` they are a module of the crate, so that they can use items
//! that are not public. `src/lib.rs` includes this file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a check reports an error by a panic"
)]

pub mod api_key_file;
pub mod authorization;
pub mod config_file;
pub mod edit;
pub mod htpasswd_file;
pub mod policy_file;
pub mod request;
pub mod scope;
pub mod service;
pub mod token;
pub mod verify;
