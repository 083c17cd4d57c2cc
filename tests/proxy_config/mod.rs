//! `doorward proxy-config`, which writes the configuration of nginx.

mod browser;
mod cors;
mod malformed_requests;
mod random_options;
mod started;
