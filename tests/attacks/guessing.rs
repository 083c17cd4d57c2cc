//! Guessed passwords and enumerated user names, and their cost for other users.

#![expect(clippy::print_stdout, reason = "the tests print the figures that they measure")]

mod cold_cache;
mod network_blocks;
mod user_enumeration;

use std::net::Ipv4Addr;

use crate::support::client::Request;

fn from(network: &str, user: &str, password: &str) -> Request {
    Request::auth().basic(user, password).from(network)
}

/// Returns the n-th private address (RFC 1918). Each address is a client network of its own.
fn address(number: usize) -> String {
    Ipv4Addr::from(0x0a00_0000 + u32::try_from(number).expect("an address")).to_string()
}
