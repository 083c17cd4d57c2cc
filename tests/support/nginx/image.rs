//! A folder in which nginx runs. `doorward proxy-config nginx` writes its configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::nginx;
use crate::support::process::{self, Output, program};

/// Returns busybox, the shell of the Alpine image, if it is installed.
pub(crate) fn busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|at| at.is_file())
}

/// An nginx that is not started yet.
pub(crate) struct Image {
    dir: TempDir,
    settings: Vec<(String, String)>,
    /// Arguments of `doorward proxy-config nginx`.
    arguments: Vec<String>,
}

impl Image {
    /// Returns an nginx that includes everything in conf.d.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// Returns an nginx with additional `lines` in nginx.conf, at http level.
    pub(crate) fn with(lines: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder for nginx");
        let root = dir.path().to_owned();
        for folder in ["bin", "logs", "temp", "etc/nginx/conf.d", "var/log/nginx"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let image = Self { settings: Vec::new(), arguments: Vec::new(), dir };
        let program = nginx();
        let (program, at) = (program.display(), root.display());
        let wrapper =
            format!("exec {program} -p {at}/ -c {at}/etc/nginx/nginx.conf -g 'daemon off;' \"$@\"\n");
        image.script("bin/nginx", &wrapper);
        let image = image.set("ACCESS_LOG", format!("{at}/var/log/nginx/access.log"));
        image.file("etc/nginx/nginx.conf", &configuration(&root, lines))
    }

    /// Returns an nginx with an own server: `http` is at http level, before the server, and `server` is in it. The
    /// command writes the files that both include.
    pub(crate) fn own_server(http: &str, server: &str) -> Self {
        let image = Self::with("");
        let own = format!("    {http}\n    server {{\n{server}\n    }}\n");
        let text = configuration(image.root(), "").replace("    include conf.d/*.conf;\n", &own);
        image.argument("--include-only").file("etc/nginx/nginx.conf", &text)
    }

    /// Sets an option, named as its variable without the prefix. If it is set twice, the last value is used.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((format!("NGX_DOORWARD_{name}"), value.into()));
        self
    }

    /// Adds an argument of `doorward proxy-config nginx`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Writes a settings file, which the command reads.
    pub(crate) fn settings_file(self, text: &str) -> Self {
        let path = self.path("doorward.toml").display().to_string();
        self.file("doorward.toml", text).argument("--config").argument(&path)
    }

    /// Writes a file into the folder.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes an executable file into the folder.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Sets the paths of the certificate and its key.
    pub(crate) fn tls_paths(self) -> Self {
        let path = |name: &str| self.path("etc/nginx/tls").join(name).display().to_string();
        let (certificate, key) = (path("tls.crt"), path("tls.key"));
        self.set("TLS_CERTIFICATE", certificate).set("TLS_KEY", key)
    }

    /// Creates a certificate and key for these names with openssl, as the error message recommends.
    pub(crate) fn pair(self, names: &str) -> Self {
        let folder = self.path("etc/nginx/tls");
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(program("openssl", "openssl"));
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]);
        command.args(["-addext", &format!("subjectAltName={names}")]);
        command.arg("-keyout").arg(folder.join("tls.key")).arg("-out").arg(folder.join("tls.crt"));
        let made = process::run(command);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        self.tls_paths()
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the written configuration.
    pub(crate) fn written(&self) -> String {
        let path = self.path("etc/nginx/conf.d/doorward.conf");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the command that writes the configuration, without the environment of this process.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["proxy-config", "nginx", "--output"]).arg(self.path("etc/nginx/conf.d"));
        command.args(&self.arguments);
        self.with_environment(&mut command);
        command
    }

    /// Writes the configuration and then runs only `nginx -t`. Returns the output of the first that fails.
    pub(crate) fn try_out(&self) -> Output {
        let written = process::run(self.command());
        if written.code != Some(0) {
            return written;
        }
        let mut check = self.program();
        check.arg("-t");
        let checked = process::run(check);
        Output { stderr: written.stderr + &checked.stderr, ..checked }
    }

    /// Writes the configuration, and returns the output of `nginx -T`.
    pub(crate) fn dump(&self) -> Output {
        let mut command = self.run();
        command.arg("-T");
        process::run(command)
    }

    /// Writes the configuration, and returns the command that starts nginx.
    pub(crate) fn run(&self) -> Command {
        let written = process::run(self.command());
        assert_eq!(written.code, Some(0), "{}", written.stderr);
        self.program()
    }

    fn program(&self) -> Command {
        let mut command = Command::new(self.path("bin/nginx"));
        self.with_environment(&mut command);
        command
    }

    fn with_environment(&self, command: &mut Command) {
        let root = self.root().display();
        command
            .env_clear()
            .env("PATH", format!("{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
    }
}

/// Returns an nginx.conf like that of the image.
fn configuration(root: &Path, lines: &str) -> String {
    // If nginx runs as root, its workers run as another user, which cannot read the folder. Here they stay
    // root.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let mut version = Command::new(nginx());
    version.arg("-V");
    let built = process::run(version).stderr;
    let at = root.display();
    // The default paths for temporary files belong to root.
    let module = |name: &&str| !built.contains(&format!("--without-http_{name}_module"));
    let temporary: String = ["fastcgi", "uwsgi", "scgi"]
        .iter()
        .filter(|name| module(name))
        .map(|name| format!("    {name}_temp_path \"{at}/temp/{name}\";\n"))
        .collect();
    format!(
        "{user}worker_processes 1;\npid \"{at}/nginx.pid\";\nerror_log stderr warn;\nevents {{ worker_connections 512; }}\nhttp {{\n    access_log off;\n    client_body_temp_path \"{at}/temp/body\";\n    proxy_temp_path \"{at}/temp/proxy\";\n{temporary}{lines}\n    include conf.d/*.conf;\n}}\n"
    )
}
