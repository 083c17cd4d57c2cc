//! The nginx in front of a service: its configuration, and the two kinds of auth location.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Fallible;
use crate::process::Server;
use crate::world::{World, output};

/// The file that a location serves, of a few bytes.
pub(crate) const FILE: &str = "/file";
/// The same file under a path of a registry.
pub(crate) const MANIFEST: &str = "/v2/library/alpine/manifests/latest";

/// Connections of each worker. It is above twice the most connections of a part.
const WORKER_CONNECTIONS: usize = 8192;

/// The address of a server: a port of loopback, or a unix socket.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Tcp(u16),
    Unix(PathBuf),
}

impl Endpoint {
    /// Returns a free port or a path in the folder of the world.
    pub(crate) fn new(world: &World, transport: &str, name: &str) -> Fallible<Self> {
        Ok(match transport {
            "unix" => Self::Unix(world.path(&format!("{name}.sock"))),
            _ => Self::Tcp(world.port()?),
        })
    }
}

/// The notation of doorward and nginx.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "127.0.0.1:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Starts an nginx with a worker for each core. `http` is the content of its http block.
pub(crate) fn start(world: &World, name: &str, http: &str) -> Fallible<Server> {
    let built =
        Command::new("nginx").arg("-V").output().map_err(|_| "there is no nginx; install nginx-light")?;
    let built = String::from_utf8_lossy(&built.stderr).into_owned();
    if !built.contains("http_auth_request_module") || !built.contains("http_realip_module") {
        return Err("nginx is built without the modules auth_request and realip".into());
    }
    let user = if output(Command::new("id").arg("-u"))?.trim() == "0" {
        format!("user nobody {};", output(Command::new("id").args(["-gn", "nobody"]))?.trim())
    } else {
        String::new()
    };
    let prefix = world.path(name);
    fs::create_dir_all(prefix.join("temp"))?;
    world.write(&format!("{name}/html/file"), "ok\n")?;
    let temporary: String = ["fastcgi", "uwsgi", "scgi"]
        .iter()
        .filter(|module| !built.contains(&format!("--without-http_{module}_module")))
        .map(|module| format!("{module}_temp_path temp/{module};\n"))
        .collect();
    // A benchmark sends more requests over one connection than the default of 1,000.
    let text = format!(
        "{user}
daemon off;
worker_processes auto;
worker_rlimit_nofile {limit};
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections {WORKER_CONNECTIONS}; }}
http {{
access_log off;
keepalive_requests 10000000;
default_type text/plain;
client_body_temp_path temp/body;
proxy_temp_path temp/proxy;
{temporary}root {root};
{http}}}
",
        limit = 2 * WORKER_CONNECTIONS,
        root = prefix.join("html").display(),
    );
    let file = world.write(&format!("{name}/nginx.conf"), &text)?;
    let mut prefix = prefix.into_os_string();
    prefix.push("/");
    Server::start(
        world,
        name,
        Command::new("nginx").arg("-e").arg("stderr").arg("-p").arg(prefix).arg("-c").arg(file),
    )
}

/// Returns an upstream block, which replaces that of the generated configuration. It is the same for every service.
pub(crate) fn upstream(world: &World, name: &str, at: &Endpoint) -> String {
    let keepalive = world.options.keepalive;
    format!(
        "upstream {name} {{ server {at}; keepalive {keepalive}; keepalive_requests 10000000; keepalive_timeout 60s; }}\n"
    )
}

/// Returns a server that serves the file without a check.
pub(crate) fn open_server(port: u16) -> String {
    server(port, &format!("location = {FILE} {{ }}\n"))
}

/// Returns a server with the shortest auth location, to `http://UPSTREAM/PATH`.
pub(crate) fn bare_server(port: u16, upstream: &str, path: &str, more: &str) -> String {
    server(
        port,
        &format!(
            "location = /_auth {{
    internal;
    proxy_pass http://{upstream}{path};
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_pass_request_body off;
    proxy_set_header Content-Length \"\";
    proxy_set_header X-Original-URI $request_uri;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Real-IP $remote_addr;
{more}}}
location = {FILE} {{ auth_request /_auth; }}
location = {MANIFEST} {{ auth_request /_auth; try_files {FILE} =404; }}
"
        ),
    )
}

/// The further headers that doorward requires with a policy.
pub(crate) const POLICY_HEADERS: &str = "    proxy_set_header X-Original-Host $host;
    proxy_set_header X-Original-Content-Type \"ct:$content_type\";
    proxy_set_header X-Auth-Rewrite yes;
";

/// Returns a server with these lines. It takes the client's address from X-Forwarded-For.
pub(crate) fn server(port: u16, lines: &str) -> String {
    format!(
        "server {{
listen 127.0.0.1:{port} reuseport;
set_real_ip_from 127.0.0.1;
real_ip_header X-Forwarded-For;
{lines}}}
"
    )
}

/// The configuration that `doorward proxy-config nginx` writes.
pub(crate) struct Generated {
    /// The content of the http block, without the upstream of doorward.
    pub(crate) http: String,
    server: String,
    is_registry: bool,
}

impl Generated {
    /// Runs `doorward proxy-config` for a site or a registry.
    pub(crate) fn new(world: &World, kind: &str) -> Fallible<Self> {
        let folder = world.path(&format!("generated-{kind}"));
        fs::create_dir_all(&folder)?;
        let mut command = Command::new(&world.options.doorward);
        command.args(["proxy-config", "nginx", "--include-only", "--kind", kind, "--auth", "127.0.0.1:8000"]);
        command.arg("--output").arg(&folder).env_remove("DOORWARD_CONFIG");
        let is_registry = kind == "registry";
        if is_registry {
            command.args(["--upstream", "127.0.0.1:5000"]);
        }
        output(&mut command)?;
        let http = fs::read_to_string(folder.join("doorward-http.conf"))?;
        let (before, rest) =
            http.split_once("upstream doorward {").ok_or("doorward-http.conf has no upstream")?;
        let (_, after) = rest.split_once("\n}\n").ok_or("the upstream in doorward-http.conf has no end")?;
        let server = fs::read_to_string(folder.join("doorward-server.inc"))?;
        let is_log = |line: &&str| !line.trim_start().starts_with("access_log /");
        let server: String = server.lines().filter(is_log).map(|line| format!("{line}\n")).collect();
        Ok(Self { http: format!("{before}{after}"), server, is_registry })
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &'static str {
        if self.is_registry { MANIFEST } else { FILE }
    }

    /// Returns a server with this configuration. Only the name of the upstream and the path of the service differ from
    /// what was written.
    pub(crate) fn server(&self, world: &World, port: u16, upstream: &str, path: &str) -> Fallible<String> {
        let subrequest = "proxy_pass http://doorward/auth;";
        if !self.server.contains(subrequest) {
            return Err(format!("doorward-server.inc does not contain `{subrequest}`").into());
        }
        let text = self.server.replace(subrequest, &format!("proxy_pass http://{upstream}{path};"));
        let file = world.write(&format!("generated-{port}.inc"), &text)?;
        let location = if self.is_registry {
            // As the location of the registry, but the file is served by nginx itself.
            format!("location = {MANIFEST} {{ set $doorward_rewrite yes; try_files {FILE} =404; }}\n")
        } else {
            format!("location = {FILE} {{ }}\n")
        };
        Ok(server(port, &format!("include {};\n{location}", file.display())))
    }
}
