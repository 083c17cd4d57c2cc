//! Starts each contestant: a program that checks passwords, alone or with nginx in front of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client::{Client, basic};
use crate::nginx::{self, Endpoint, FILE, Generated};
use crate::process::Server;
use crate::tools;
use crate::world::World;
use crate::wrk::Target;
use crate::{Fallible, machine};

/// Time in which a single request must be answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The known user of `htpasswd.example`.
pub(crate) const USER: &str = "alice";
/// The password of this user.
pub(crate) const PASSWORD: &str = "wonderland";

/// A contestant. Transports and hashes that lead to other figures are contestants of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contestant {
    Open,
    EmptyTcp,
    EmptyUnix,
    NginxSha,
    NginxApr1,
    NginxBcrypt5,
    NginxBcrypt10,
    HttpAuth,
    Caddy,
    Oauth2Proxy,
    Registry2,
    Registry3,
    DockerAuth,
    DoorwardTcp,
    DoorwardUnix,
    DoorwardGenerated,
}

impl Contestant {
    pub(crate) const ALL: [Self; 16] = [
        Self::Open,
        Self::EmptyTcp,
        Self::EmptyUnix,
        Self::NginxSha,
        Self::NginxApr1,
        Self::NginxBcrypt5,
        Self::NginxBcrypt10,
        Self::HttpAuth,
        Self::Caddy,
        Self::Oauth2Proxy,
        Self::Registry2,
        Self::Registry3,
        Self::DockerAuth,
        Self::DoorwardTcp,
        Self::DoorwardUnix,
        Self::DoorwardGenerated,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "no authentication",
            Self::EmptyTcp => "return 204, tcp",
            Self::EmptyUnix => "return 204, unix",
            Self::NginxSha => "nginx auth_basic, {SHA}",
            Self::NginxApr1 => "nginx auth_basic, apr1",
            Self::NginxBcrypt5 => "nginx auth_basic, bcrypt 5",
            Self::NginxBcrypt10 => "nginx auth_basic, bcrypt 10",
            Self::HttpAuth => "http-auth (Node), tcp",
            Self::Caddy => "Caddy basic_auth, alone",
            Self::Oauth2Proxy => "oauth2-proxy htpasswd, tcp",
            Self::Registry2 => "registry 2.8 htpasswd, alone",
            Self::Registry3 => "registry 3 htpasswd, alone",
            Self::DockerAuth => "docker_auth, a token for each request, alone",
            Self::DoorwardTcp => "doorward, tcp",
            Self::DoorwardUnix => "doorward, unix",
            Self::DoorwardGenerated => "doorward, unix, generated configuration",
        }
    }

    /// Returns true if it checks passwords with bcrypt of cost 10, as the known user has.
    pub(crate) fn checks_bcrypt_10(self) -> bool {
        match self {
            Self::Open
            | Self::EmptyTcp
            | Self::EmptyUnix
            | Self::NginxSha
            | Self::NginxApr1
            | Self::NginxBcrypt5 => false,
            Self::NginxBcrypt10
            | Self::HttpAuth
            | Self::Caddy
            | Self::Oauth2Proxy
            | Self::Registry2
            | Self::Registry3
            | Self::DockerAuth
            | Self::DoorwardTcp
            | Self::DoorwardUnix
            | Self::DoorwardGenerated => true,
        }
    }

    fn checks_passwords(self) -> bool {
        !matches!(self, Self::Open | Self::EmptyTcp | Self::EmptyUnix)
    }
}

/// A contestant that runs.
pub(crate) struct Running {
    pub(crate) contestant: Contestant,
    pub(crate) port: u16,
    pub(crate) path: String,
    front: Option<Server>,
    service: Option<Server>,
}

impl Running {
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            port: self.port,
            path: &self.path,
            front: self.front.iter().flat_map(Server::processes).collect(),
            service: self.service.iter().flat_map(Server::processes).collect(),
        }
    }

    /// Fails unless the known user is let in and, if passwords are checked, a wrong one and a request without are refused.
    pub(crate) fn check(&self, user: &str, password: &str) -> Fallible<()> {
        let name = self.contestant.name();
        check_answers(self.port, &self.path, user, password, self.contestant.checks_passwords())
            .map_err(|error| self.log(&format!("{name}: {error}")))
    }

    fn log(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        match self.service.as_ref().or(self.front.as_ref()) {
            Some(server) => server.error(what),
            None => what.to_owned().into(),
        }
    }
}

/// Sends the right password, and if passwords are checked a wrong one and none.
pub(crate) fn check_answers(port: u16, path: &str, user: &str, password: &str, checks: bool) -> Fallible<()> {
    let mut client = Client::new(port, ANSWER_LIMIT);
    let status = client.get(path, &basic(user, password))?;
    if !(200..300).contains(&status) {
        return Err(format!("the right password was answered with {status}").into());
    }
    if checks {
        for (what, headers) in [("a wrong password", basic(user, "wrong")), ("no password", String::new())] {
            let status = client.get(path, &headers)?;
            if status != 401 {
                return Err(format!("{what} was answered with {status}").into());
            }
        }
    }
    Ok(())
}

/// Starts a contestant with the users of an htpasswd file, whose hashes are bcrypt of cost 10. The outer error ends the
/// program. The inner one is the reason to skip the contestant.
pub(crate) fn start(
    world: &World,
    contestant: Contestant,
    users: &Path,
) -> Fallible<Result<Running, String>> {
    let port = world.port()?;
    let label = format!("{contestant:?}-{port}");
    let starter = Starter { world, label, port, users, contestant };
    match contestant {
        Contestant::Open => starter.nginx(&nginx::open_server(port)).map(Ok),
        Contestant::EmptyTcp => starter.empty("tcp").map(Ok),
        Contestant::EmptyUnix => starter.empty("unix").map(Ok),
        Contestant::NginxSha => starter.auth_basic(Some(&["-s"])).map(Ok),
        Contestant::NginxApr1 => starter.auth_basic(Some(&["-m"])).map(Ok),
        Contestant::NginxBcrypt5 => starter.auth_basic(Some(&["-B", "-C", "5"])).map(Ok),
        Contestant::NginxBcrypt10 => starter.auth_basic(None).map(Ok),
        Contestant::HttpAuth => or_skip(tools::http_auth(), |module| starter.http_auth(&module)),
        Contestant::Caddy => or_skip(tools::go_tool(world, "caddy"), |program| starter.caddy(&program)),
        Contestant::Oauth2Proxy => {
            or_skip(tools::go_tool(world, "oauth2-proxy"), |program| starter.oauth2_proxy(&program))
        }
        Contestant::Registry2 => {
            or_skip(tools::installed("docker-registry"), |program| starter.registry(&program))
        }
        Contestant::Registry3 => {
            or_skip(tools::go_tool(world, "registry"), |program| starter.registry(&program))
        }
        Contestant::DockerAuth => {
            let program = world.options.docker_auth.clone().ok_or("DOCKER_AUTH is not set".to_owned());
            or_skip(program, |program| starter.docker_auth(&program))
        }
        Contestant::DoorwardTcp => starter.doorward("tcp", false).map(Ok),
        Contestant::DoorwardUnix => starter.doorward("unix", false).map(Ok),
        Contestant::DoorwardGenerated => starter.doorward("unix", true).map(Ok),
    }
}

/// Returns the version of the program of a contestant, unless every run has it already.
pub(crate) fn version(world: &World, contestant: Contestant) -> Option<String> {
    let in_folder = |path: PathBuf| Some(path.parent()?.file_name()?.to_string_lossy().into_owned());
    match contestant {
        Contestant::HttpAuth => {
            let module = in_folder(tools::http_auth().ok()?.parent()?.to_owned())?;
            Some(format!("{module}, Node {}", machine::version("node", &["-v"])))
        }
        Contestant::Caddy => in_folder(tools::go_tool(world, "caddy").ok()?),
        Contestant::Oauth2Proxy => in_folder(tools::go_tool(world, "oauth2-proxy").ok()?),
        Contestant::Registry3 => in_folder(tools::go_tool(world, "registry").ok()?),
        Contestant::Registry2 => Some(machine::version("docker-registry", &["--version"])),
        Contestant::DockerAuth => Some(machine::version(world.options.docker_auth.as_ref()?, &["--version"])),
        Contestant::Open
        | Contestant::EmptyTcp
        | Contestant::EmptyUnix
        | Contestant::NginxSha
        | Contestant::NginxApr1
        | Contestant::NginxBcrypt5
        | Contestant::NginxBcrypt10
        | Contestant::DoorwardTcp
        | Contestant::DoorwardUnix
        | Contestant::DoorwardGenerated => None,
    }
}

fn or_skip(
    program: Result<PathBuf, String>,
    start: impl FnOnce(PathBuf) -> Fallible<Running>,
) -> Fallible<Result<Running, String>> {
    match program {
        Ok(program) => start(program).map(Ok),
        Err(reason) => Ok(Err(reason)),
    }
}

/// The values with which every contestant is started.
struct Starter<'a> {
    world: &'a World<'a>,
    label: String,
    port: u16,
    users: &'a Path,
    contestant: Contestant,
}

impl Starter<'_> {
    fn running(&self, path: &str, front: Option<Server>, service: Option<Server>) -> Running {
        Running { contestant: self.contestant, port: self.port, path: path.to_owned(), front, service }
    }

    fn front(&self, http: &str) -> Fallible<Server> {
        let mut server = nginx::start(self.world, &format!("{}-nginx", self.label), http)?;
        server.listens(&Endpoint::Tcp(self.port))?;
        Ok(server)
    }

    fn nginx(&self, http: &str) -> Fallible<Running> {
        Ok(self.running(FILE, Some(self.front(http)?), None))
    }

    /// nginx in front of a service, with the shortest auth location.
    fn behind_nginx(&self, at: &Endpoint, path: &str, service: Server) -> Fallible<Running> {
        let upstream = nginx::upstream(self.world, "service", at);
        let front = self.front(&(upstream + &nginx::bare_server(self.port, "service", path, "")))?;
        Ok(self.running(FILE, Some(front), Some(service)))
    }

    fn service(&self, at: &Endpoint, command: &mut Command) -> Fallible<Server> {
        let mut server = Server::start(self.world, &self.label, command)?;
        server.listens(at)?;
        Ok(server)
    }

    fn empty(&self, transport: &str) -> Fallible<Running> {
        let at = Endpoint::new(self.world, transport, &self.label)?;
        let service = empty_service(self.world, &self.label, &[&at])?;
        self.behind_nginx(&at, "/auth", service)
    }

    fn auth_basic(&self, format: Option<&[&str]>) -> Fallible<Running> {
        let users = match format {
            Some(format) => format!("{USER}:{}\n", tools::hash(format, PASSWORD)?),
            None => fs::read_to_string(self.users)?,
        };
        let users = self.world.write(&format!("{}.htpasswd", self.label), &users)?;
        let lines = format!(
            "auth_basic Registry;\nauth_basic_user_file {};\nlocation = {FILE} {{ }}\n",
            users.display()
        );
        self.nginx(&nginx::server(self.port, &lines))
    }

    fn http_auth(&self, module: &Path) -> Fallible<Running> {
        let at = Endpoint::new(self.world, "tcp", &self.label)?;
        let Endpoint::Tcp(port) = at else { return Err("http-auth listens on TCP only".into()) };
        let script = format!(
            "const auth = require({module:?});
const basic = auth.basic({{ realm: \"Registry\", file: {users:?} }});
require(\"http\").createServer({{ keepAliveTimeout: 75000 }}, basic.check((request, response) => response.end()))
    .listen({port}, \"127.0.0.1\");
",
            users = self.users,
        );
        let script = self.world.write(&format!("{}.js", self.label), &script)?;
        let service = self.service(&at, Command::new("node").env("NODE_ENV", "production").arg(script))?;
        self.behind_nginx(&at, "/", service)
    }

    fn caddy(&self, program: &Path) -> Fallible<Running> {
        let users: String = fs::read_to_string(self.users)?
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| !name.starts_with('#'))
            .map(|(name, hash)| format!("        {name} {hash}\n"))
            .collect();
        let text = format!(
            "{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} http://localhost:{port} {{
    bind 127.0.0.1
    basic_auth {{
{users}    }}
    respond ok
}}
",
            port = self.port,
        );
        let file = self.world.write(&format!("{}.Caddyfile", self.label), &text)?;
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command.env("HOME", self.world.folder()).env("XDG_DATA_HOME", self.world.folder());
        command.env("XDG_CONFIG_HOME", self.world.folder());
        let service = self.service(&Endpoint::Tcp(self.port), &mut command)?;
        Ok(self.running(FILE, None, Some(service)))
    }

    fn oauth2_proxy(&self, program: &Path) -> Fallible<Running> {
        let at = Endpoint::new(self.world, "tcp", &self.label)?;
        let mut command = Command::new(program);
        command.arg(format!("--http-address={at}")).arg(format!("--htpasswd-file={}", self.users.display()));
        // It does not start without these, and a user of the htpasswd file needs none of them.
        command.args([
            "--provider=github",
            "--client-id=none",
            "--client-secret=none",
            "--cookie-secret=0123456789abcdef",
            "--cookie-secure=false",
            "--email-domain=*",
            "--upstream=static://202",
            "--request-logging=false",
            "--auth-logging=false",
            "--standard-logging=true",
        ]);
        let service = self.service(&at, &mut command)?;
        self.behind_nginx(&at, "/oauth2/auth", service)
    }

    fn registry(&self, program: &Path) -> Fallible<Running> {
        let text = format!(
            "version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {storage:?}}}}}
auth: {{htpasswd: {{realm: Registry, path: {users:?}}}}}
http: {{addr: \"127.0.0.1:{port}\", secret: of-a-benchmark}}
",
            storage = self.world.path(&format!("{}-storage", self.label)),
            users = self.registry_users()?,
            port = self.port,
        );
        let file = self.world.write(&format!("{}.yml", self.label), &text)?;
        let mut command = Command::new(program);
        command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none").env_remove("REGISTRY");
        let service = self.service(&Endpoint::Tcp(self.port), &mut command)?;
        Ok(self.running("/v2/", None, Some(service)))
    }

    /// Returns a copy of the users, since a registry creates a file that it cannot read.
    fn registry_users(&self) -> Fallible<PathBuf> {
        self.world.write(&format!("{}.htpasswd", self.label), &fs::read_to_string(self.users)?)
    }

    fn docker_auth(&self, program: &Path) -> Fallible<Running> {
        let (key, certificate) = (self.world.path("docker_auth.key"), self.world.path("docker_auth.pem"));
        crate::world::output(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
                .args(["-subj", "/CN=docker_auth", "-days", "1", "-keyout"])
                .arg(&key)
                .arg("-out")
                .arg(&certificate),
        )?;
        let users: String = fs::read_to_string(self.users)?
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| !name.starts_with('#'))
            .map(|(name, hash)| format!("  {name:?}: {{password: {hash:?}}}\n"))
            .collect();
        let text = format!(
            "server: {{addr: \"127.0.0.1:{port}\"}}
token: {{issuer: docker_auth, expiration: 900, certificate: {certificate:?}, key: {key:?}}}
users:
{users}acl:
  - match: {{account: \"/.+/\"}}
    actions: [\"*\"]
",
            port = self.port,
        );
        let file = self.world.write(&format!("{}.yml", self.label), &text)?;
        let service = self.service(&Endpoint::Tcp(self.port), Command::new(program).arg(file))?;
        Ok(self.running("/auth?service=registry&scope=repository:library/alpine:pull", None, Some(service)))
    }

    fn doorward(&self, transport: &str, is_generated: bool) -> Fallible<Running> {
        let at = Endpoint::new(self.world, transport, &self.label)?;
        let service = doorward(self.world, &self.label, &[&at], self.users, &[])?;
        if !is_generated {
            return self.behind_nginx(&at, "/auth", service);
        }
        let generated = Generated::new(self.world, "site")?;
        let http = generated.http.clone()
            + &nginx::upstream(self.world, "service", &at)
            + &generated.server(self.world, self.port, "service", "/auth")?;
        Ok(self.running(generated.path(), Some(self.front(&http)?), Some(service)))
    }
}

/// Starts a separate nginx that answers every request with 204.
pub(crate) fn empty_service(world: &World, label: &str, listen: &[&Endpoint]) -> Fallible<Server> {
    let lines: String = listen
        .iter()
        .map(|at| match at {
            Endpoint::Tcp(_) => format!("listen {at} reuseport;\n"),
            Endpoint::Unix(_) => format!("listen {at};\n"),
        })
        .collect();
    let http = format!("keepalive_timeout 75s;\nserver {{\n{lines}location / {{ return 204; }}\n}}\n");
    let mut server = nginx::start(world, label, &http)?;
    for at in listen {
        server.listens(at)?;
    }
    Ok(server)
}

/// Starts doorward.
pub(crate) fn doorward(
    world: &World,
    label: &str,
    listen: &[&Endpoint],
    users: &Path,
    arguments: &[&str],
) -> Fallible<Server> {
    let admin = Endpoint::new(world, "tcp", label)?;
    let mut command = Command::new(&world.options.doorward);
    command.arg("serve").arg("--htpasswd").arg(users).arg("--admin-listen").arg(admin.to_string());
    for at in listen {
        command.arg("--listen").arg(at.to_string());
    }
    if listen.iter().any(|at| matches!(at, Endpoint::Unix(_))) {
        command.args(["--socket-mode", "0666"]);
    }
    for name in std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("DOORWARD_"))
    {
        command.env_remove(name);
    }
    let mut server = Server::start(world, label, command.args(arguments))?;
    for at in listen {
        server.listens(at)?;
    }
    Ok(server)
}

/// Starts the program of HEADERS_SERVICE on one address.
pub(crate) fn headers_service(world: &World, label: &str, program: &Path, at: &Endpoint) -> Fallible<Server> {
    let mut server = Server::start(
        world,
        label,
        Command::new(program).args(["serve", "http-headers"]).arg(at.to_string()),
    )?;
    server.listens(at)?;
    if let Endpoint::Unix(path) = at {
        // The workers of nginx run as another user.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    }
    Ok(server)
}

/// Returns a policy with this number of grants. Only the last one concerns the known user.
pub(crate) fn policy(world: &World, grants: usize) -> Fallible<PathBuf> {
    let grant = |user: &str, repositories: &str| {
        format!(
            "[[grant]]\nusers = [\"{user}\"]\nrepositories = [\"{repositories}\"]\nactions = [\"pull\"]\n"
        )
    };
    let mut text: String =
        (1..grants).map(|at| grant(&format!("user-{at}"), &format!("team-{at}/**"))).collect();
    text += &grant(USER, "library/**");
    world.write(&format!("policy-{grants}.toml"), &text)
}
