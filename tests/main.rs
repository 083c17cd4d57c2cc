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

mod api_key;
mod attacks;
mod auth;
mod cli;
mod config;
mod ecr;
mod examples;
mod htpasswd;
mod http_authenticator;
mod layering;
mod limits;
mod nginx;
mod observability;
mod policy;
mod reload;
mod server;
mod support;
mod token;
mod upstream;
mod user_command;
