//! nginx with the templates and snippets that ship, rendered as the official image does it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::client::{self, Address, Answer, Client, OF_NGINX, Request};
use super::process::{Process, program};
use super::{free_port, process};

/// The folder of the repository that holds what ships.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx")
}

/// Which of the templates.
#[derive(Clone, Copy)]
pub(crate) enum Template {
    Registry,
    Site,
}

pub(crate) struct Nginx {
    // In this order: the process goes before its folder does.
    process: Process,
    _dir: TempDir,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Starts it in front of `backend`, with doorward at `auth` (an address, or `unix:` and a path).
    pub(crate) fn start(template: Template, auth: impl ToString, backend: SocketAddr) -> Self {
        Self::start_with(template, auth, backend, "")
    }

    /// The same with `lines` of somebody's own at http level, ahead of the template.
    pub(crate) fn start_with(
        template: Template,
        auth: impl ToString,
        backend: SocketAddr,
        lines: &str,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a folder for nginx");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let program = program("nginx", "nginx");
        configure(dir.path(), &program, lines);
        let variables = [
            ("LISTEN", address.to_string()),
            ("SERVER_NAME", "_".to_owned()),
            ("AUTH", auth.to_string()),
            ("BACKEND", backend.to_string()),
        ];
        let name = match template {
            Template::Registry => "registry.conf.template",
            Template::Site => "site.conf.template",
        };
        let mut text = fs::read_to_string(shipped().join("templates").join(name)).unwrap();
        for (variable, value) in variables {
            text = text.replace(&format!("${{NGX_DOORWARD_{variable}}}"), &value);
        }
        fs::write(dir.path().join("conf.d/default.conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-c").arg(dir.path().join("nginx.conf"));
        let mut process = Process::spawn(command, &dir.path().join("log"));
        process.ready("nginx accepts connections", |_| {
            Client::connect(&Address::Tcp(address), OF_NGINX).ok().map(|_| ())
        });
        Self { process, _dir: dir, address }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&Address::Tcp(self.address), OF_NGINX)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.address, self.process.tail()))
    }

    /// One request over a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        client::ask(&Address::Tcp(self.address), OF_NGINX, request)
    }

    /// The same from another client network: an address of 127.0.0.0/8.
    pub(crate) fn ask_from(&self, source: [u8; 4], request: &Request) -> Answer {
        Client::connect_from(Ipv4Addr::from(source), self.address, OF_NGINX)
            .unwrap_or_else(|error| panic!("{source:?} to {}: {error}", self.address))
            .ask(request)
    }

    /// nginx's error log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// Writes nginx.conf and puts the snippets beside it.
fn configure(dir: &Path, program: &Path, lines: &str) {
    fs::create_dir(dir.join("conf.d")).unwrap();
    fs::create_dir(dir.join("temp")).unwrap();
    copy_folder(&shipped().join("snippets"), &dir.join("doorward"));
    // As root it would make its workers another user's, who can't read the folder; they keep ours.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let mut version = Command::new(program);
    version.arg("-V");
    let built = process::run(version).stderr;
    assert!(built.contains("http_auth_request_module"), "nginx lacks ngx_http_auth_request_module: {built}");
    let at = dir.display();
    // The built-in places for temporary files belong to root.
    let module = |name: &&str| !built.contains(&format!("--without-http_{name}_module"));
    let temporary: String = ["fastcgi", "uwsgi", "scgi"]
        .iter()
        .filter(|name| module(name))
        .map(|name| format!("    {name}_temp_path \"{at}/temp/{name}\";\n"))
        .collect();
    let text = format!(
        "{user}daemon off;\nworker_processes 1;\npid \"{at}/nginx.pid\";\nerror_log stderr warn;\nevents {{ worker_connections 512; }}\nhttp {{\n    access_log off;\n    client_body_temp_path \"{at}/temp/body\";\n    proxy_temp_path \"{at}/temp/proxy\";\n{temporary}{lines}\n    include \"{at}/conf.d/*.conf\";\n}}\n"
    );
    fs::write(dir.join("nginx.conf"), text).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
