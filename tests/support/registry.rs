//! A docker-registry process with its storage in memory or in a temporary folder.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::client::{self, Address, Answer, Client, OF_NGINX, Request};
use super::free_port;
use super::process::{Process, program};

/// Returns the registry to test with: the program in `REGISTRY`, or the installed one.
pub(crate) fn registry() -> PathBuf {
    let named = std::env::var_os("REGISTRY");
    named.map_or_else(|| program("docker-registry", "docker-registry"), PathBuf::from)
}

pub(crate) struct Registry {
    // The field order matters: the process must end before its folder is removed.
    process: Process,
    _dir: TempDir,
    pub(crate) address: SocketAddr,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_as(&registry(), "warn", "filesystem: {rootdirectory: DIR/storage}", "")
    }

    /// Starts a registry with more lines in its configuration, such as `auth`. It logs each request, as with
    /// [`Registry::start_with_log`].
    pub(crate) fn start_with(lines: &str) -> Self {
        Self::start_as(&registry(), "debug", "inmemory: {}", lines)
    }

    /// Starts a registry that logs each request as JSON in [`Registry::log`]. Version 2.8 also logs each file
    /// that it uses; later versions do not. The storage is in memory, because thousands of uploads would be
    /// slow on a disk.
    pub(crate) fn start_with_log() -> Self {
        Self::start_as(&registry(), "debug", "inmemory: {}", "")
    }

    /// Starts this program with these lines at the end of its configuration.
    pub(crate) fn start_program(program: &Path, lines: &str) -> Self {
        Self::start_as(program, "info", "inmemory: {}", lines)
    }

    fn start_as(program: &Path, level: &str, storage: &str, lines: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the registry");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = dir.path().join("registry.yml");
        let storage = storage.replace("DIR", &dir.path().display().to_string());
        let text = format!(
            "version: 0.1\nlog: {{level: {level}, formatter: json, accesslog: {{disabled: true}}}}\nstorage:\n  {storage}\n  delete: {{enabled: true}}\nhttp:\n  addr: {address}\n  secret: of-a-test\n{lines}"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&config);
        // The registry also reads its settings from environment variables.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY"))
        {
            command.env_remove(name);
        }
        // Version 3 would send traces to a collector.
        command.env("OTEL_TRACES_EXPORTER", "none");
        let mut process = Process::spawn(command, &dir.path().join("log"));
        process.ready("docker-registry is ready", |_| {
            let mut client = Client::connect(&Address::Tcp(address), OF_NGINX).ok()?;
            let answer = client.try_ask(&Request::get("/v2/")).ok()?;
            // With its own `auth`, the registry answers 401.
            let refuses = answer.header("www-authenticate").is_some();
            (answer.status == if refuses { 401 } else { 200 }).then_some(())
        });
        Self { process, _dir: dir, address }
    }

    /// Sends one request directly to the registry, past nginx.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        client::ask(&Address::Tcp(self.address), OF_NGINX, request)
    }

    /// Returns the last lines of the log, for the message of a failed test.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
