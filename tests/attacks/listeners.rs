//! Responses of each listener, and connections of untrusted peers.

#![allow(clippy::print_stdout, reason = "figures, for make test-attacks")]

mod admin;
mod connections;
mod paths;

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::client::{Client, OF_DOORWARD, Request};

/// An address of this machine that is not a trusted peer in any test.
const UNTRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// Raises the limit of open files to the maximum that the system allows. The usual limit is 1024.
fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}

/// Returns true if a connection from `source` is closed for every request.
fn is_closed(source: Ipv4Addr, address: SocketAddr, request: &Request) -> bool {
    // Writing fails if the connection is already closed.
    Client::connect_from(source, address, OF_DOORWARD)
        .is_ok_and(|mut client| client.try_ask(request).is_err())
}
