//! A replacement of the official image: its folders, and a reimplementation of its entrypoint.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{nginx, shipped};
use crate::support::process::{self, Output, program};

/// The steps of docker-entrypoint.sh of the image: the scripts of its folder, then the command. `$SH` runs
/// them, so that each shell is tested; options that a script sets stay set for later scripts.
const ENTRYPOINT: &str = r#"
set -e
scripts=$1
shift
if [ "$1" = nginx ]; then
    find "$scripts" -follow -type f -print | sort | while read -r f; do
        case $f in
            *.envsh) if [ -x "$f" ]; then set -u; . "$f"; fi ;;
            *.sh) if [ -x "$f" ]; then $SH "$f"; fi ;;
        esac
    done
fi
exec "$@"
"#;

/// The steps of 20-envsubst-on-templates.sh of the image. A folder that cannot be written is not an error.
const ENVSUBST: &str = r#"
set -e
(: >"$NGINX_ENVSUBST_OUTPUT_DIR/try") 2>/dev/null || exit 0
rm "$NGINX_ENVSUBST_OUTPUT_DIR/try"
for template in "$NGINX_ENVSUBST_TEMPLATE_DIR"/*.template; do
    name=${template##*/}
    awk -v filter="${NGINX_ENVSUBST_FILTER:-}" '
        {
            rest = $0; line = ""
            while (match(rest, /[$]([{][A-Za-z_][A-Za-z0-9_]*[}]|[A-Za-z_][A-Za-z0-9_]*)/)) {
                found = substr(rest, RSTART, RLENGTH); name = found; gsub(/[${}]/, "", name)
                line = line substr(rest, 1, RSTART - 1) (name in ENVIRON && name ~ filter ? ENVIRON[name] : found)
                rest = substr(rest, RSTART + RLENGTH)
            }
            print line rest
        }' "$template" >"$NGINX_ENVSUBST_OUTPUT_DIR/${name%.template}"
done
"#;

/// Returns busybox, the shell of the Alpine image, if it is installed.
pub(crate) fn busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|at| at.is_file())
}

/// A container that is not started yet.
pub(crate) struct Image {
    dir: TempDir,
    settings: Vec<(String, String)>,
    shell: Vec<String>,
}

impl Image {
    /// Returns the original image with our files mounted as the README describes.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// Returns the image with additional `lines` in nginx.conf, at http level.
    pub(crate) fn with(lines: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder for nginx");
        let root = dir.path().to_owned();
        for folder in ["bin", "logs", "temp", "entrypoint.d", "etc/nginx/conf.d", "var/log/nginx"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        copy_folder(&shipped().join("snippets"), &root.join("etc/nginx/doorward"));
        copy_folder(&shipped().join("templates"), &root.join("etc/nginx/templates"));
        copy_folder(&shipped().join("entrypoint"), &root.join("entrypoint.d"));
        let image = Self { settings: Vec::new(), shell: vec!["sh".into()], dir };
        image.script("entrypoint", ENTRYPOINT);
        image.script("entrypoint.d/20-envsubst-on-templates.sh", ENVSUBST);
        let program = nginx();
        let (program, at) = (program.display(), root.display());
        let wrapper =
            format!("exec {program} -p {at}/ -c {at}/etc/nginx/nginx.conf -g 'daemon off;' \"$@\"\n");
        image.script("bin/nginx", &wrapper);
        image.file("etc/nginx/nginx.conf", &configuration(&root, lines))
    }

    /// Sets a setting, named without its prefix. If it is set twice, the last value is used.
    pub(crate) fn set(self, name: &str, value: impl Into<String>) -> Self {
        self.environment(&format!("NGX_DOORWARD_{name}"), value)
    }

    /// Sets any other environment variable.
    pub(crate) fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Runs everything with busybox, including awk, sed and grep, as on Alpine.
    pub(crate) fn on(mut self, busybox: &Path) -> Self {
        let applets = ["awk", "env", "find", "grep", "id", "rm", "sed", "sort", "tail", "tr"];
        for applet in applets {
            symlink(busybox, self.path(&format!("bin/{applet}"))).unwrap();
        }
        self.shell = vec![busybox.display().to_string(), "sh".into()];
        self
    }

    /// Writes a file into the image.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes an executable file into the image.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
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
        self
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the entrypoint and then only `nginx -t`, for a start that must fail.
    pub(crate) fn try_out(&self) -> Output {
        process::run(self.run(&["nginx", "-t"]))
    }

    /// Returns the entrypoint with a command, without the environment of this process.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let root = self.root().display();
        let mut command = Command::new(&self.shell[0]);
        command.args(&self.shell[1..]).arg(self.path("entrypoint")).arg(self.path("entrypoint.d"));
        command.args(arguments).env_clear();
        command
            .env("PATH", format!("{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
            .env("SH", self.shell.join(" "))
            .env("NGX_DOORWARD_ROOT", format!("{root}"))
            .env("NGINX_ENVSUBST_TEMPLATE_DIR", format!("{root}/etc/nginx/templates"))
            .env("NGINX_ENVSUBST_OUTPUT_DIR", format!("{root}/etc/nginx/conf.d"))
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
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

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
