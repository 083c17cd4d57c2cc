//! Sends unmodified request lines. A connection is kept as long as each response can be assigned to its request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// The timeout for a response. nginx closes every connection that it does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The number of concurrent connections.
const CONNECTIONS: usize = 4;

/// The number of responses by class: index 2 is for 2xx, index 0 for data that is not an HTTP/1 response. nginx refuses
/// other protocol versions with 505, which is counted as 4xx.
pub(super) type Classes = [usize; 6];

/// Sends every line, followed by the header lines `headers`.
pub(super) fn send(to: SocketAddr, lines: &[Vec<u8>], headers: &str) -> Classes {
    let share = lines.len().div_ceil(CONNECTIONS).max(1);
    let mut classes = Classes::default();
    thread::scope(|scope| {
        let senders: Vec<_> = lines
            .chunks(share)
            .map(|lines| {
                scope.spawn(move || {
                    let mut sender = Sender { to, stream: None };
                    let mut classes = Classes::default();
                    for line in lines {
                        let status = sender.ask(line, headers);
                        let class = if status == 505 { 4 } else { usize::from(status / 100).min(5) };
                        classes[class] += 1;
                    }
                    classes
                })
            })
            .collect();
        for sender in senders {
            for (sum, count) in classes.iter_mut().zip(sender.join().expect("a sender")) {
                *sum += count;
            }
        }
    });
    classes
}

struct Sender {
    to: SocketAddr,
    stream: Option<TcpStream>,
}

impl Sender {
    /// Returns the status, or 0 if there is none.
    fn ask(&mut self, line: &[u8], headers: &str) -> u16 {
        // nginx can have closed a kept connection. In this case the line is sent once more.
        for is_kept in [self.stream.is_some(), false] {
            let mut stream = self.stream.take().unwrap_or_else(|| connect(self.to));
            let request = [line, b"\r\nHost: doorward.test\r\n", headers.as_bytes(), b"\r\n"].concat();
            let sent = stream.write_all(&request);
            let answer = read(&mut stream, line.starts_with(b"HEAD "));
            if is_kept && (sent.is_err() || answer.status == 0 && answer.is_empty) {
                continue;
            }
            if answer.keeps {
                self.stream = Some(stream);
            }
            return answer.status;
        }
        0
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("nginx");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

struct Answer {
    status: u16,
    /// True if nothing was received.
    is_empty: bool,
    /// True if the connection can be used for another request.
    keeps: bool,
}

fn read(stream: &mut TcpStream, to_head: bool) -> Answer {
    let mut text = Vec::new();
    let mut some = [0; 1 << 14];
    loop {
        if let Some((status, length, keeps)) = parse(&text, to_head)
            && text.len() >= length
        {
            return Answer { status, is_empty: false, keeps: keeps && text.len() == length };
        }
        match stream.read(&mut some) {
            Ok(count @ 1..) => text.extend_from_slice(&some[..count]),
            Ok(0) => {
                let status = parse(&text, to_head).map_or(0, |(status, ..)| status);
                return Answer { status, is_empty: text.is_empty(), keeps: false };
            }
            Err(error) => {
                let hung =
                    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                assert!(!hung, "no answer, and the connection is open: {}", String::from_utf8_lossy(&text));
                return Answer { status: 0, is_empty: text.is_empty(), keeps: false };
            }
        }
    }
}

/// Returns the status, the length of the response, and whether the connection stays open. Returns `None` while the head
/// is incomplete.
fn parse(text: &[u8], to_head: bool) -> Option<(u16, usize, bool)> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
    let status: u16 = head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
    let closes = head.contains("\r\nconnection: close");
    let length = head
        .split_once("\r\ncontent-length: ")
        .and_then(|(_, rest)| rest.split("\r\n").next()?.parse::<usize>().ok());
    if to_head || matches!(status, 204 | 304) {
        return Some((status, end, !closes));
    }
    // A response without a length ends when the connection is closed.
    Some((status, length.map_or(usize::MAX, |length| end + length), !closes && length.is_some()))
}
