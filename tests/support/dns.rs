//! A DNS server on loopback with changeable answers.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// A DNS server that returns one address, or none, for every name. The TTL is ten minutes, as with the DNS
/// server of Docker.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    current: Arc<Mutex<Option<Ipv4Addr>>>,
}

impl DnsServer {
    pub(crate) fn start(first: Option<[u8; 4]>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let current = Arc::new(Mutex::new(first.map(Ipv4Addr::from)));
        let answers = Arc::clone(&current);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                // An empty packet stops the thread.
                if length == 0 {
                    return;
                }
                let answer = respond(&packet[..length], *answers.lock().unwrap());
                socket.send_to(&answer, from).unwrap();
            }
        });
        Self { address, current }
    }

    pub(crate) fn say(&self, address: [u8; 4]) {
        *self.current.lock().unwrap() = Some(address.into());
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        // If the packet cannot be sent, the thread ends with the process.
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[], self.address));
    }
}

/// Returns the answer to a query with one name: the address for an A query, and no record for AAAA.
fn respond(question: &[u8], address: Option<Ipv4Addr>) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let wanted = question[end - 4..end] == [0, 1, 0, 1];
    let found = address.filter(|_| wanted);
    // Code 3 means that the name does not exist. A name without an address of this type is not an error.
    let status = if address.is_none() { 3 } else { 0 };
    let mut answer = question[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80 | status, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    if let Some(address) = found {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}
