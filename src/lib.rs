//! doorward answers the `auth_request` subrequests of nginx: may this request pass?
//!
//! The crate is one program. `main.rs` calls [`cli::run`], and `doorward serve` starts [`server::Server`]. Other crates
//! can use three modules. None is a stable interface:
//!
//! - [`cli`] is for the program.
//! - [`internals`] is for integration tests and benches.
//! - `fuzzing` is for fuzz targets. It exists only with the feature `fuzzing`.
//!
//! # Layers
//!
//! A module imports only modules below it:
//!
//! | module | content |
//! |---|---|
//! | [`cli`] | the commands: `serve`, `check`, `explain`, `health`, `user`, `api-key`, `signing-key`, `proxy-config` |
//! | [`proxy_config`] | options and templates of the configuration of nginx, for `proxy-config nginx` |
//! | [`server`], [`telemetry`] | sockets, construction of all components, start and shutdown; the log |
//! | [`http`] | conversion of proxy headers to a subrequest, and of a verdict to a response; `/token`; admin endpoints |
//! | [`config`] | the settings: one table, read from flags, environment and file |
//! | [`pipeline`] | the evaluation of a request: credentials, throttle, caches, single flight, tokens |
//! | [`policy`] | the rules: which user may do what |
//! | [`authn`] | the sources of users: htpasswd file, API keys, HTTP services; password hashing |
//! | [`token`] | registry tokens: scopes, claims, signing keys |
//! | [`upstream`] | the credentials that nginx sends to the protected registry or site |
//! | [`request`] | the request of the client, as the proxy describes it |
//! | [`permissions`] | actions, repository patterns and scopes |
//! | [`reload`], [`atomic_write`] | files that change at run time; replacement of a file by commands |
//! | [`nginx_check`] | the check of an nginx configuration, for `proxy-config --check` |
//! | [`clock`], [`dialect`], [`identity`], [`metrics`], [`network`] | basic types of all layers |
//!
//! To understand a request, start with [`pipeline::Pipeline::evaluate`], which contains all steps in their order. Its
//! input is a [`request::subrequest::Subrequest`] and its result a [`pipeline::verdict::Verdict`]. ARCHITECTURE.md
//! describes the steps and the invariants, and tests check the order of the layers.

// As `missing_docs`, for the items that the whole crate can use; see clippy.toml.
#![warn(clippy::missing_docs_in_private_items)]
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

pub(crate) mod atomic_write;
pub(crate) mod authn;
pub mod cli;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod dialect;
#[cfg(feature = "fuzzing")]
#[path = "../fuzz/checks/mod.rs"]
pub mod fuzzing;
pub(crate) mod http;
pub(crate) mod identity;
pub mod internals;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod nginx_check;
pub(crate) mod permissions;
pub(crate) mod pipeline;
pub(crate) mod policy;
pub(crate) mod proxy_config;
pub(crate) mod reload;
pub(crate) mod request;
pub(crate) mod server;
pub(crate) mod telemetry;
pub(crate) mod token;
pub(crate) mod upstream;
