//! A small HTTP/1.1 client over TCP. It keeps its connection, and reads a response to its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Fallible;

/// A response body is shorter than this.
const BODY_MAX: u64 = 1024 * 1024;
/// A response has fewer header lines than this.
const LINES_MAX: usize = 200;

/// A connection that is opened with the first request, and again if the server has closed it.
pub(crate) struct Client {
    port: u16,
    timeout: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(port: u16, timeout: Duration) -> Self {
        Self { port, timeout, stream: None }
    }

    /// Sends a GET with these header lines, and returns the status. If a kept connection fails, the request is sent again
    /// over a new one.
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> Fallible<u16> {
        let kept = self.stream.is_some();
        match self.try_get(path, headers) {
            Err(error) if kept && !is_timeout(&*error) => {
                self.stream = None;
                self.try_get(path, headers)
            }
            result => result,
        }
        .inspect_err(|_| self.stream = None)
    }

    fn try_get(&mut self, path: &str, headers: &str) -> Fallible<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", self.port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.timeout))?;
                stream.set_write_timeout(Some(self.timeout))?;
                BufReader::new(stream)
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let (status, keeps) = read_response(&mut stream)?;
        self.stream = keeps.then_some(stream);
        Ok(status)
    }
}

fn is_timeout(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    error.downcast_ref::<std::io::Error>().is_some_and(|error| matches!(error.kind(), TimedOut | WouldBlock))
}

/// Returns the status, and whether the connection can be used again.
fn read_response(stream: &mut BufReader<TcpStream>) -> Fallible<(u16, bool)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status: u16 = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| format!("the response starts with {line:?}"))?;
    let (mut length, mut chunked, mut keeps) = (None, false, true);
    for _ in 0..LINES_MAX {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim().to_lowercase();
        match name.to_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<u64>()?),
            "transfer-encoding" => chunked = value == "chunked",
            "connection" => keeps = value != "close",
            _ => {}
        }
    }
    if chunked {
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim_end(), 16)?;
            skip(stream, size)?;
            line.clear();
            stream.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else if status != 204 && status != 304 {
        match length {
            Some(length) => skip(stream, length)?,
            None => keeps = false,
        }
    }
    Ok((status, keeps))
}

fn skip(stream: &mut BufReader<TcpStream>, length: u64) -> Fallible<()> {
    if length > BODY_MAX {
        return Err(format!("a response body has {length} bytes").into());
    }
    let skipped = std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    if skipped == length { Ok(()) } else { Err("the connection was closed within a response".into()) }
}

/// Returns the header line with these credentials.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Authorization: {}\r\n", credentials(user, password))
}

/// Returns the value of Authorization.
pub(crate) fn credentials(user: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "Basic ".to_owned();
    for group in format!("{user}:{password}").as_bytes().chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * at)) as usize & 63).copied().unwrap_or_default();
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
