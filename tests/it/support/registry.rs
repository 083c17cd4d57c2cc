//! docker-registry with its storage in a temporary folder.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::client::{Address, Client, OF_NGINX, Request};
use super::free_port;
use super::process::{Process, program};

pub(crate) struct Registry {
    // In this order: the process goes before its folder does.
    _process: Process,
    _dir: TempDir,
    pub(crate) address: SocketAddr,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the registry");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = dir.path().join("registry.yml");
        let storage = dir.path().join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: \"{}\"}}\n  delete: {{enabled: true}}\nhttp:\n  addr: {address}\n  secret: of-a-test\n",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program("docker-registry", "docker-registry"));
        command.arg("serve").arg(&config);
        // It reads its settings from these too.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_"))
        {
            command.env_remove(name);
        }
        let mut process = Process::spawn(command, &dir.path().join("log"));
        process.ready("docker-registry is ready", |_| {
            let mut client = Client::connect(&Address::Tcp(address), OF_NGINX).ok()?;
            (client.try_ask(&Request::get("/v2/")).ok()?.status == 200).then_some(())
        });
        Self { _process: process, _dir: dir, address }
    }
}
