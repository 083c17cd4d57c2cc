//! A doorward of our own: started, asked for its figures, and stopped when it goes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::client::{Connection, basic};

/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(10);

/// A running doorward with the users of `htpasswd.example` and the settings as they come.
pub(crate) struct Doorward {
    child: Child,
    pub(crate) port: u16,
    admin: u16,
}

/// What alice sends.
pub(crate) fn alice() -> String {
    basic("alice", "wonderland")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Doorward {
    /// Starts `$DOORWARD`, or the release build, and waits until it is ready.
    pub(crate) fn start() -> Fallible<Self> {
        let built = || root().join("target/release/doorward");
        let program = std::env::var_os("DOORWARD").map_or_else(built, PathBuf::from);
        let (port, admin) = (free_port()?, free_port()?);
        let child = Command::new(&program)
            // Its settings would be read from it.
            .env_clear()
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}"), "--htpasswd"])
            .arg(root().join("htpasswd.example"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("{}: {error}; build it with `cargo build --release`", program.display())
            })?;
        let mut started = Self { child, port, admin };
        let end = Instant::now() + START_MAX;
        while started.get(port, "/readyz").is_err() || started.get(admin, "/readyz").is_err() {
            if let Some(status) = started.child.try_wait()? {
                return Err(format!("doorward ended at once: {status}").into());
            }
            if Instant::now() > end {
                return Err("doorward is not ready after 10 s".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(started)
    }

    fn get(&self, port: u16, path: &str) -> Fallible<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: doorward\r\n\r\n");
        let answer = Connection::open(port)?.ask(request.as_bytes())?;
        if answer.status == 200 { Ok(String::from_utf8(answer.body)?) } else { Err("not ready".into()) }
    }

    /// A figure, all its labels taken together.
    pub(crate) fn metric(&self, name: &str) -> Fallible<u64> {
        let text = self.get(self.admin, "/metrics")?;
        let value = |line: &str| {
            let rest = line.strip_prefix("doorward_")?.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<u64>().ok())?
        };
        Ok(text.lines().filter_map(value).sum())
    }

    /// Makes it forget every answer.
    pub(crate) fn flush(&self) -> Fallible<()> {
        let request = b"POST /flush HTTP/1.1\r\nHost: doorward\r\nContent-Length: 0\r\n\r\n";
        match Connection::open(self.admin)?.ask(request)?.status {
            204 => Ok(()),
            status => Err(format!("/flush answers {status}").into()),
        }
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        // It holds nothing that a kill could damage; there is nobody to tell of an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
