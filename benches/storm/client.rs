//! A minimal blocking HTTP client, so that its own cost is small and constant.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::{Fallible, ms, quantile, us};

/// An answer must come within this time.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// An answer. The head is in lower case, without the `date` line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the value of a header; the name is in lower case.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = |line: &String| line.strip_prefix(name)?.strip_prefix(": ").map(str::len);
        let line = self.head.iter().find_map(|line| value(line).map(|length| (line, length)));
        line.and_then(|(line, length)| line.get(line.len() - length..)).unwrap_or_default()
    }
}

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a loopback port.
    pub(crate) fn open(port: u16) -> Fallible<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Fallible<Answer> {
        self.send(request)?;
        self.receive()
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &[u8]) -> Fallible<()> {
        Ok(self.stream.write_all(request)?)
    }

    /// Waits for an answer. An answer without a length has no body.
    pub(crate) fn receive(&mut self) -> Fallible<Answer> {
        let end = loop {
            match self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read()?,
            }
        };
        let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        let lines = head.lines().filter(|line| !line.is_empty() && !line.starts_with("date:"));
        let mut answer = Answer { status, head: lines.map(str::to_owned).collect(), body: Vec::new() };
        let length: usize = answer.header("content-length").parse().unwrap_or(0);
        while self.buffer.len() < end + length {
            self.read()?;
        }
        answer.body = self.buffer.get(end..end + length).unwrap_or_default().to_vec();
        self.buffer.drain(..end + length);
        Ok(answer)
    }

    fn read(&mut self) -> Fallible<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece)? {
            0 => Err("the server closed the connection".into()),
            read => {
                self.buffer.extend_from_slice(piece.get(..read).unwrap_or_default());
                Ok(())
            }
        }
    }
}

/// Returns the value of `Authorization` for a user and a password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Returns nginx's subrequest for a client at this address that pings a registry.
pub(crate) fn subrequest(authorization: &str, client: Ipv4Addr) -> Vec<u8> {
    subrequest_for("/v2/", authorization, client)
}

/// Returns nginx's subrequest for a GET of this URI; an empty `authorization` sends no credentials.
pub(crate) fn subrequest_for(uri: &str, authorization: &str, client: Ipv4Addr) -> Vec<u8> {
    let authorization = match authorization {
        "" => String::new(),
        value => format!("Authorization: {value}\r\n"),
    };
    format!(
        "GET /auth HTTP/1.1\r\nHost: doorward\r\n{authorization}X-Original-URI: {uri}\r\n\
         X-Original-Method: GET\r\nX-Original-Host: registry.example\r\nX-Original-Content-Type: ct:\r\n\
         X-Auth-Rewrite: yes\r\nX-Real-IP: {client}\r\nX-Forwarded-Proto: https\r\n\r\n"
    )
    .into_bytes()
}

/// Returns the n-th of 16 million client addresses, each in a network of its own.
pub(crate) fn client(n: usize) -> Ipv4Addr {
    let n = u32::try_from(n % (1 << 24)).unwrap_or_default();
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + n)
}

/// Times and statuses of one request that was sent repeatedly.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) times: Vec<Duration>,
    pub(crate) not_200: usize,
}

impl Sample {
    /// Sends the request on one connection until `stop` is set, with a pause after each answer.
    pub(crate) fn take(port: u16, request: &[u8], pace: Duration, stop: &AtomicBool) -> Fallible<Self> {
        let (mut connection, mut sample) = (Connection::open(port)?, Self::default());
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            let answer = connection.ask(request)?;
            sample.times.push(start.elapsed());
            sample.not_200 += usize::from(answer.status != 200);
            thread::sleep(pace);
        }
        Ok(sample)
    }

    /// Does the same for a fixed time.
    pub(crate) fn take_for(port: u16, request: &[u8], pace: Duration, time: Duration) -> Fallible<Self> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let sample = scope.spawn(|| Self::take(port, request, pace, &stop));
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            sample.join().map_err(|_| "the sampler panicked")?
        })
    }

    pub(crate) fn p99(&mut self) -> Duration {
        quantile(&mut self.times, 0.99)
    }

    /// Returns the figures in one line.
    pub(crate) fn line(&mut self) -> String {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|q| quantile(&mut self.times, q));
        let (count, not_200) = (self.times.len(), self.not_200);
        format!(
            "p50 {:6.0} us  p99 {:6.0} us  max {:6.1} ms  of {count}, not 200: {not_200}",
            us(p50),
            us(p99),
            ms(most)
        )
    }
}
