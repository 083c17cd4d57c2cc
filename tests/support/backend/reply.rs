//! A response of the backend: its bytes and its timing.

use std::io::{self, Write};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// Delay before the response.
    delay: Duration,
    /// True if the response waits until it is released.
    held: bool,
    /// Pause between two bytes.
    pace: Option<Duration>,
    closes: bool,
}

impl Reply {
    /// Returns a response of these raw bytes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), delay: Duration::ZERO, held: false, pace: None, closes: false }
    }

    /// Returns a response with these header lines, each with its line end, and this body.
    pub(crate) fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::raw(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"))
    }

    /// Returns a response without a body.
    pub(crate) fn status(code: u16) -> Self {
        Self::with(&format!("{code} Answer"), "", "")
    }

    /// Returns a response with status 200 and this JSON document.
    pub(crate) fn json(body: &str) -> Self {
        Self::with("200 OK", "Content-Type: application/json\r\n", body)
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Holds the response back until the backend releases it.
    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Sends the response byte by byte, with a pause after each byte.
    pub(crate) fn drip(mut self, pace: Duration) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Closes the connection after the response.
    pub(crate) fn close(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    pub(super) fn write(&self, wire: &mut impl Write) -> io::Result<()> {
        let Some(pace) = self.pace else {
            wire.write_all(&self.bytes)?;
            return wire.flush();
        };
        for byte in self.bytes.chunks(1) {
            wire.write_all(byte)?;
            wire.flush()?;
            std::thread::sleep(pace);
        }
        Ok(())
    }
}
