//! doorward answers nginx's `auth_request`: may this request pass?
//!
//! Begin with [`gate`], whose `Gate::open` is the path of a request in one screen:
//! subrequest → credentials → throttle → cache → hash pool and authenticators → policy → verdict.
//! [`http`] turns nginx's headers into a subrequest and the verdict into an answer; [`server`] puts
//! everything together. ARCHITECTURE.md says who may import whom, and why.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

// The words that everything uses.
pub mod atomic_write;
pub mod clock;
pub mod dialect;
pub mod identity;
pub mod metrics;
pub mod network;
pub mod permissions;
pub mod reload;

// Who says who you are, and what is made of it.
pub mod authn;
pub mod pipeline;
pub mod policy;
pub mod request;

// What the protected service is shown instead.
pub mod upstream;

// What the registry verifies by itself.
pub mod token;

// The two sides to the outside.
pub mod cli;
pub mod config;
pub mod http;
pub mod server;
pub mod telemetry;
