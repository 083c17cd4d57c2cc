//! What each listener answers, and what connections of untrusted peers can do.

#![allow(clippy::print_stdout, reason = "figures, for make test-attacks")]

mod admin;
mod connections;
mod paths;

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::client::{Client, OF_DOORWARD, Request};

/// An address of this machine that no test lists as a peer.
const UNTRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// Lets this process hold as many connections as the system allows; the customary limit is 1024.
fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}

/// Whether a connection from `source` is closed, whatever it asks.
fn is_closed(source: Ipv4Addr, address: SocketAddr, request: &Request) -> bool {
    // A connection that was closed already cannot even be written to.
    Client::connect_from(source, address, OF_DOORWARD)
        .is_ok_and(|mut client| client.try_ask(request).is_err())
}
