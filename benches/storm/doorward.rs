//! A doorward of our own: started, asked for its figures, and stopped when it goes.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};

use crate::Fallible;
use crate::client::{Connection, basic};

/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(10);

/// By which it knows who may flush it.
const ADMIN_TOKEN: &str = "the-admin-token-of-a-bench";

/// A running doorward, with the users of `htpasswd.example` unless its settings say whom to ask.
pub(crate) struct Doorward {
    child: Child,
    /// With the settings file, where it has one.
    _dir: Option<TempDir>,
    /// With the token of its admin listener.
    _token: NamedTempFile,
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
        let users = root().join("htpasswd.example");
        Self::launch(&["--htpasswd".as_ref(), users.as_os_str()], None)
    }

    /// The same with a settings file.
    pub(crate) fn start_with(settings: &str) -> Fallible<Self> {
        Self::start_beside(&[], |_| settings.to_owned())
    }

    /// The same with other files in the folder of the settings file, which is told its name.
    pub(crate) fn start_beside(
        files: &[(&str, &str)],
        settings: impl FnOnce(&str) -> String,
    ) -> Fallible<Self> {
        let dir = tempfile::tempdir()?;
        for (name, text) in files {
            fs::write(dir.path().join(name), text)?;
        }
        let path = dir.path().join("doorward.toml");
        fs::write(&path, settings(&dir.path().display().to_string()))?;
        Self::launch(&["--config".as_ref(), path.as_os_str()], Some(dir))
    }

    fn launch(arguments: &[&OsStr], dir: Option<TempDir>) -> Fallible<Self> {
        let built = || root().join("target/release/doorward");
        let program = std::env::var_os("DOORWARD").map_or_else(built, PathBuf::from);
        let (port, admin) = (free_port()?, free_port()?);
        let token = NamedTempFile::new()?;
        fs::write(token.path(), ADMIN_TOKEN)?;
        let child = Command::new(&program)
            // Its settings would be read from it.
            .env_clear()
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .arg("--admin-token-file")
            .arg(token.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("{}: {error}; build it with `cargo build --release`", program.display())
            })?;
        let mut started = Self { child, _dir: dir, _token: token, port, admin };
        let end = Instant::now() + START_MAX;
        while started.get(admin, "/readyz").is_err() {
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
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
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
        self.post("/flush")
    }

    /// Makes it forget those of one user.
    pub(crate) fn flush_user(&self, user: &str) -> Fallible<()> {
        self.post(&format!("/flush?user={user}"))
    }

    fn post(&self, path: &str) -> Fallible<()> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 0\r\n\r\n"
        );
        match Connection::open(self.admin)?.ask(request.as_bytes())?.status {
            204 => Ok(()),
            status => Err(format!("{path} answers {status}").into()),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        // It holds nothing that a kill could damage; there is nobody to tell of an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
