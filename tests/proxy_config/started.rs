//! nginx with a configuration that `doorward proxy-config nginx --output` has just written.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::client::{Address, Answer, Client, Request};
use crate::support::doorward::command;
use crate::support::nginx::nginx;
use crate::support::process::{Process, run};
use crate::support::{eventually, free_port};

/// Every header that a web page of another host can get from nginx.
pub(super) const FOR_PAGES: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-distribution-api-version",
    "link",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
];

/// Writes an nginx.conf that includes the folder `conf.d`, and that needs no file outside of `folder`.
pub(super) fn write_main_file(folder: &Path, log_level: &str) {
    let at = folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        kinds.iter().map(|kind| format!("    {kind}_temp_path \"{at}/temp/{kind}\";\n")).collect();
    fs::create_dir_all(folder.join("temp")).unwrap();
    fs::create_dir_all(folder.join("conf.d")).unwrap();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let text = format!(
        "{user}daemon off;\nworker_processes 1;\npid \"{at}/nginx.pid\";\nerror_log stderr {log_level};\nevents {{ worker_connections 256; }}\nhttp {{\n    access_log off;\n{temporary}    include conf.d/*.conf;\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), text).unwrap();
}

/// Returns the command that runs nginx with the nginx.conf of `folder`.
pub(super) fn nginx_command(folder: &Path) -> Command {
    let mut command = Command::new(nginx());
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
    command
}

/// Returns the command that writes the configuration into `conf.d` of `folder`.
pub(super) fn write_command(folder: &Path) -> Command {
    let mut command = command();
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NGX_DOORWARD_"))
    {
        command.env_remove(name);
    }
    command.args(["proxy-config", "nginx", "--output"]).arg(folder.join("conf.d"));
    command
}

/// A running nginx.
pub(super) struct Started {
    // The field order matters: the process must end before its folder is removed.
    process: Process,
    dir: TempDir,
    pub(super) address: SocketAddr,
}

impl Started {
    /// Starts nginx with these options, plain HTTP and a free port of 127.0.0.1.
    pub(super) fn start(options: &[(&str, &str)]) -> Self {
        Self::start_with("warn", options)
    }

    /// Starts nginx as [`Started::start`] does, with this level of the error log.
    pub(super) fn start_with(log_level: &str, options: &[(&str, &str)]) -> Self {
        Self::start_as(SocketAddr::from(([127, 0, 0, 1], free_port())), log_level, options)
    }

    /// Starts nginx as [`Started::start`] does, at this address.
    pub(super) fn start_at(address: SocketAddr, options: &[(&str, &str)]) -> Self {
        Self::start_as(address, "warn", options)
    }

    fn start_as(address: SocketAddr, log_level: &str, options: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder for nginx");
        write_main_file(dir.path(), log_level);
        let log = dir.path().join("access.log").display().to_string();
        let mut command = write_command(dir.path());
        for (key, value) in [("plain-http", "on"), ("access-log", &log), ("listen", &address.to_string())]
            .iter()
            .chain(options)
        {
            command.arg(format!("--{key}")).arg(value);
        }
        let output = run(command);
        assert_eq!(output.code, Some(0), "{options:?}: {output:?}");
        Self::run(dir, address)
    }

    /// Starts nginx with the files of an existing folder.
    pub(super) fn run(dir: TempDir, address: SocketAddr) -> Self {
        let mut process = Process::spawn(nginx_command(dir.path()), &dir.path().join("log"));
        process.ready("nginx listens", |log| {
            assert!(!log.contains("Address already in use"), "{log}");
            std::net::TcpStream::connect(address).ok().map(|_| ())
        });
        Self { process, dir, address }
    }

    /// Sends these bytes and reads the response.
    pub(super) fn ask_raw(&self, bytes: &[u8]) -> Answer {
        let mut client = Client::connect(&Address::Tcp(self.address), FOR_PAGES).unwrap();
        // nginx can respond and close before it has read everything.
        let _ = client.send(bytes);
        client.receive(bytes.starts_with(b"HEAD ")).unwrap_or_else(|error| {
            panic!(
                "{error}: {}\n{}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(200)]),
                self.process.tail()
            )
        })
    }

    /// Sends one request over a new connection.
    pub(super) fn ask(&self, request: &Request) -> Answer {
        self.ask_raw(&request.bytes())
    }

    /// Returns the error log so far.
    pub(super) fn error_log(&self) -> String {
        self.process.log()
    }

    /// Returns the access log when it has this number of lines.
    pub(super) fn access_log(&self, lines: usize) -> String {
        eventually("the lines of the access log", || {
            let text = fs::read_to_string(self.dir.path().join("access.log")).ok()?;
            (text.lines().count() >= lines).then_some(text)
        })
    }
}
