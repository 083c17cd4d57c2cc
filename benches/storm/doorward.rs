//! A doorward process that the bench starts, with its metrics, memory and processor time.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::Fallible;
use crate::client::{Connection, basic};

/// The time limit of a start. A debug build with a million users needs most of it.
const START_MAX: Duration = Duration::from_secs(60);

/// The token that /flush requires.
const ADMIN_TOKEN: &str = "the-admin-token-of-a-bench";

/// Options with which wrong passwords are never throttled.
pub(crate) const UNTHROTTLED: [&str; 6] = [
    "--throttle-user-failures=1000000",
    "--throttle-network-failures=1000000",
    "--throttle-block-user-failures=1000000",
    "--throttle-block-failures=1000000",
    "--log-denials-per-second=0",
    "--cache-rejection-ttl=0s",
];

/// A running doorward. It is killed when this is dropped.
pub(crate) struct Doorward {
    child: Child,
    _token: NamedTempFile,
    pub(crate) port: u16,
    admin: u16,
    /// The time from the start to the first 200 of /readyz.
    pub(crate) start: Duration,
}

/// Returns the credentials of alice in `htpasswd.example`.
pub(crate) fn alice() -> String {
    basic("alice", "wonderland")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the doorward that is measured.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("DOORWARD").map_or_else(|| root().join("target/release/doorward"), PathBuf::from)
}

fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Doorward {
    /// Starts doorward with `htpasswd.example`.
    pub(crate) fn start() -> Fallible<Self> {
        Self::with_users(&root().join("htpasswd.example"), &[])
    }

    /// Starts doorward with an htpasswd file and further options.
    pub(crate) fn with_users(htpasswd: &Path, options: &[&OsStr]) -> Fallible<Self> {
        Self::with(&[&["--htpasswd".as_ref(), htpasswd.as_os_str()], options].concat())
    }

    /// Starts doorward with these options, and waits until it is ready.
    pub(crate) fn with(options: &[&OsStr]) -> Fallible<Self> {
        let program = program();
        let (port, admin) = (free_port()?, free_port()?);
        let token = NamedTempFile::new()?;
        fs::write(token.path(), ADMIN_TOKEN)?;
        let begin = Instant::now();
        let child = Command::new(&program)
            // Variables are settings.
            .env_clear()
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .arg("--admin-token-file")
            .arg(token.path())
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("{}: {error}; build it with `cargo build --release`", program.display())
            })?;
        let mut started = Self { child, _token: token, port, admin, start: Duration::ZERO };
        while started.get(admin, "/readyz").is_err() {
            if let Some(status) = started.child.try_wait()? {
                return Err(format!("doorward has ended: {status}").into());
            }
            if begin.elapsed() > START_MAX {
                return Err(format!("doorward is not ready after {START_MAX:?}").into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        started.start = begin.elapsed();
        Ok(started)
    }

    fn get(&self, port: u16, path: &str) -> Fallible<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = Connection::open(port)?.ask(request.as_bytes())?;
        if answer.status == 200 { Ok(String::from_utf8(answer.body)?) } else { Err("not ready".into()) }
    }

    /// Returns the sum of a metric over all its labels. An unknown name is an error.
    pub(crate) fn metric(&self, name: &str) -> Fallible<u64> {
        let text = self.get(self.admin, "/metrics")?;
        if !text.contains(&format!("# TYPE doorward_{} ", name.trim_end_matches("_total"))) {
            return Err(format!("there is no metric doorward_{name}").into());
        }
        let value = |line: &str| {
            let rest = line.strip_prefix("doorward_")?.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<u64>().ok())?
        };
        Ok(text.lines().filter_map(value).sum())
    }

    /// Flushes every cached answer.
    pub(crate) fn flush(&self) -> Fallible<()> {
        let request = format!(
            "POST /flush HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 0\r\n\r\n"
        );
        match Connection::open(self.admin)?.ask(request.as_bytes())?.status {
            204 => Ok(()),
            status => Err(format!("/flush answers {status}").into()),
        }
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns a memory figure of /proc/PID/status in MiB: `VmRSS` is the current one, `VmHWM` the peak.
    pub(crate) fn memory(&self, field: &str) -> Fallible<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such memory figure")?;
        let kib: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?;
        Ok(kib / 1024.0)
    }

    /// Returns the processor time of all threads so far.
    pub(crate) fn processor_time(&self) -> Fallible<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        // It has no state that a kill could damage.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
