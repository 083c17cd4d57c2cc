//! A real registry that verifies tokens by itself, as `registry-auth.yml` has it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::client::{self, Address, Answer, Client, OF_NGINX, Request};
use crate::support::free_port;
use crate::support::process::{Process, program};

/// The registries to test with: the machine's, which is 2.8, and where `REGISTRY3` names it, one of version 3.
#[expect(clippy::print_stderr, reason = "what was not tried is said")]
pub(super) fn registries() -> Vec<PathBuf> {
    let third = std::env::var_os("REGISTRY3").map(PathBuf::from);
    if third.is_none() {
        eprintln!("REGISTRY3 names no registry of version 3: tested with 2.8 alone");
    }
    [program("docker-registry", "docker-registry")].into_iter().chain(third).collect()
}

pub(super) struct Registry {
    // In this order: the process goes before its folder does.
    process: Process,
    _dir: TempDir,
    address: SocketAddr,
}

impl Registry {
    /// Starts `registry` with this text behind its own configuration.
    pub(super) fn start(registry: &Path, auth: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = dir.path().join("registry.yml");
        let own = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage:\n  inmemory: {{}}\n  delete: {{enabled: true}}\nhttp:\n  addr: {address}\n  secret: of-a-test\n"
        );
        fs::write(&config, own + auth).unwrap();
        let mut command = Command::new(registry);
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
        process.ready("the registry is ready", |_| {
            let mut client = Client::connect(&Address::Tcp(address), OF_NGINX).ok()?;
            (client.try_ask(&Request::get("/v2/")).ok()?.status == 401).then_some(())
        });
        Self { process, _dir: dir, address }
    }

    pub(super) fn ask(&self, request: Request, token: &str) -> Answer {
        let request = request.header("Authorization", format!("Bearer {token}"));
        client::ask(&Address::Tcp(self.address), OF_NGINX, &request)
    }

    /// The status of `/v2/` with this token.
    pub(super) fn ping(&self, token: &str) -> u16 {
        self.ask(Request::get("/v2/"), token).status
    }

    /// Fails unless the token is refused as one that is no good. Registry 3 does not say so of one whose
    /// signature is wrong, and challenges as if there were none.
    pub(super) fn refuses(&self, what: &str, token: &str) {
        let answer = self.ask(Request::get("/v2/"), token);
        assert_eq!(answer.status, 401, "{what}: {answer:?}\n{}", self.process.tail());
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        let (realm, error) = challenge.split_once(",service=\"registry.test\"").unwrap_or_default();
        assert_eq!(realm, "Bearer realm=\"https://registry.test/token\"", "{what}: {challenge}");
        assert!(matches!(error, "" | ",error=\"invalid_token\""), "{what}: {challenge}");
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }
}
