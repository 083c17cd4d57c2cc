//! The tests of doorward as a whole: the real binary, asked over the wire; nginx with the
//! configuration that ships, docker-registry and skopeo where they have a say. Nothing leaves
//! loopback, and every test starts what it needs on free ports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod support;

mod attacks;
mod backend;
mod differential;
#[cfg(feature = "ecr")]
mod ecr_aws;
mod files;
mod keys;
mod limits;
mod nginx;
mod oracle;
mod outage;
mod policy;
mod random;
mod reload;
mod reload_mounted;
mod secrets;
mod start;
mod tidy;
mod token;
mod tokens;
mod upstream;
mod user;
mod wire;
