//! A blocking HTTP/1.1 client on the standard library. It can send any bytes. It fails the test if a response
//! has a header that is not on the list, or if a second response follows.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::PATIENCE;
pub(crate) use super::message::{Answer, OF_DOORWARD, OF_NGINX, Request, basic};

/// Address of a listener.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// Parses an address as written on the command line of doorward.
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.parse().expect("an address")),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection.
pub(crate) struct Client {
    stream: Stream,
    allowed: &'static [&'static str],
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: &Address, allowed: &'static [&'static str]) -> io::Result<Self> {
        let stream = match address {
            Address::Tcp(address) => Stream::Tcp(TcpStream::connect_timeout(address, PATIENCE)?),
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        Self { stream, allowed, unread: Vec::new() }.patient(PATIENCE)
    }

    /// Connects from an address of 127.0.0.0/8. All of these addresses belong to this machine, and the server
    /// sees each as another client network.
    pub(crate) fn connect_from(
        source: Ipv4Addr,
        address: SocketAddr,
        allowed: &'static [&'static str],
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self { stream: Stream::Tcp(socket.into()), allowed, unread: Vec::new() }.patient(PATIENCE)
    }

    /// Sets the time to wait for bytes.
    pub(crate) fn patient(self, patience: Duration) -> io::Result<Self> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(patience))?,
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience))?,
        }
        Ok(self)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Reads more bytes and returns their number; zero at the end of the stream.
    fn more(&mut self) -> io::Result<usize> {
        let mut some = [0; 1 << 14];
        let count = loop {
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut some),
                Stream::Unix(stream) => stream.read(&mut some),
            };
            match read {
                // A signal stopped and continued this process.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.extend(&some[..count]);
        Ok(count)
    }

    fn need(&mut self) -> io::Result<()> {
        match self.more()? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.need()?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    fn take_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = self.take(end + 2)?;
                return Ok(line[..end].to_vec());
            }
            self.need()?;
        }
    }

    /// Reads the first line of the next response, which can be an interim response.
    pub(crate) fn first_line(&mut self) -> io::Result<Vec<u8>> {
        self.take_line()
    }

    /// Reads one response. `to_head` means that it has no body, whatever its headers announce. Interim
    /// responses such as "100 Continue" are skipped.
    pub(crate) fn receive(&mut self, to_head: bool) -> io::Result<Answer> {
        let first = self.take_line()?;
        let status = String::from_utf8_lossy(&first).split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status: {}", String::from_utf8_lossy(&first)));
        let mut headers = Vec::new();
        loop {
            let line = self.take_line()?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|b| *b == b':').expect("a header has a colon");
            let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
            assert!(self.allowed.contains(&&name[..]), "header {name} is not on the list: {status}");
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        if status == 100 {
            return self.receive(to_head);
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if !to_head && status != 204 && status != 304 {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if let Some(length) = answer.header("content-length") {
            return self.take(length.parse().expect("a length"));
        }
        if answer.header("transfer-encoding") != Some("chunked") {
            while self.more()? > 0 {}
            return Ok(std::mem::take(&mut self.unread));
        }
        let mut body = Vec::new();
        loop {
            let size = String::from_utf8_lossy(&self.take_line()?).into_owned();
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            body.extend(self.take(size)?);
            assert!(self.take_line()?.is_empty(), "a chunk is longer than it says");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Sends a request and reads its response.
    pub(crate) fn try_ask(&mut self, request: &Request) -> io::Result<Answer> {
        // The server may respond and close before it has read the whole request. The response counts then.
        let sent = self.send(&request.bytes());
        self.receive(request.method == "HEAD").map_err(|error| sent.err().unwrap_or(error))
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        self.try_ask(request).unwrap_or_else(|error| panic!("{}: {error}", request.method))
    }

    /// Returns true if the peer has closed the connection. Fails if unread bytes are left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        assert!(self.unread.is_empty(), "more came: {}", String::from_utf8_lossy(&self.unread));
        match self.more() {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// Sends one request over a new connection.
pub(crate) fn ask(address: &Address, allowed: &'static [&'static str], request: &Request) -> Answer {
    Client::connect(address, allowed).unwrap_or_else(|error| panic!("{address:?}: {error}")).ask(request)
}

/// Returns the path of a unix socket as written on the command line.
pub(crate) fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Returns the address of a TCP listener.
pub(crate) fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        Address::Unix(path) => panic!("{} is a unix socket", path.display()),
    }
}
