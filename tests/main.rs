//! Integration tests. They run the real program over HTTP, nginx with the shipped configuration, docker-registry and
//! skopeo. All traffic stays on loopback, and each test starts its own servers on free ports. See `tests/README.md`.

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
mod proxy_config;
mod reload;
mod server;
mod support;
mod token;
mod upstream;
mod user_command;
