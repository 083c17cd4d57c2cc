//! docker-registry with its storage in a temporary folder, or in its memory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::client::{self, Address, Answer, Client, OF_NGINX, Request};
use super::free_port;
use super::process::{Process, program};

/// The registry to test with: the one that `REGISTRY` names, or the machine's.
pub(crate) fn registry() -> PathBuf {
    let named = std::env::var_os("REGISTRY");
    named.map_or_else(|| program("docker-registry", "docker-registry"), PathBuf::from)
}

pub(crate) struct Registry {
    // In this order: the process goes before its folder does.
    process: Process,
    _dir: TempDir,
    pub(crate) address: SocketAddr,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_as(&registry(), "warn", "filesystem: {rootdirectory: DIR/storage}", "")
    }

    /// One with more lines in its configuration, such as `auth`. It tells of each request, as the next.
    pub(crate) fn start_with(lines: &str) -> Self {
        Self::start_as(&registry(), "debug", "inmemory: {}", lines)
    }

    /// One that tells in [`Registry::log`], as JSON, of each request what it does with it, down to
    /// each file; 2.8 does, later ones tell no files. Its storage is its memory, since thousands of
    /// uploads would wait for a disk.
    pub(crate) fn start_with_log() -> Self {
        Self::start_as(&registry(), "debug", "inmemory: {}", "")
    }

    /// Starts this program, with these lines at the end of its configuration.
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
        // It reads its settings from these too.
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
            // With `auth` of its own it refuses.
            let refuses = answer.header("www-authenticate").is_some();
            (answer.status == if refuses { 401 } else { 200 }).then_some(())
        });
        Self { process, _dir: dir, address }
    }

    /// One request past nginx.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        client::ask(&Address::Tcp(self.address), OF_NGINX, request)
    }

    /// The end of the log, for the message of a failed test.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }

    /// All it logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
