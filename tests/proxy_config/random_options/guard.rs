//! Requests to a started configuration: a client without credentials is refused, one with credentials is admitted, and the
//! upstream gets the identity from doorward only.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use super::Workplace;
use super::generate::{Files, OptionSet, get, put};
use crate::proxy_config::started::Started;
use crate::support::api::{Api, Reply};
use crate::support::backend::{Authority, Backend, Reply as BackendReply, server};
use crate::support::client::tcp;
use crate::support::doorward::Doorward;
use crate::support::process::{program, run};
use crate::support::{free_port, users};

/// The user that a client pretends to be, in headers that an upstream trusts.
const FORGED: &str = "mallory";
const FORGED_HEADERS: [&str; 8] = [
    "X-Auth-User",
    "X-Auth-Groups",
    "X-Auth-By",
    "X-Auth-Stale",
    "Remote-User",
    "X-Forwarded-User",
    "X-WEBAUTH-USER",
    "X_Auth_User",
];

/// doorward, and an upstream of each kind. An upstream answers with the headers that it has received.
pub(super) struct Guard {
    doorward: Doorward,
    upstream: Api,
    /// The remote registry, with TLS.
    remote: Backend,
    authorities: String,
}

/// The response of an upstream: 401 for a registry that verifies tokens itself, and gets none.
fn echo(headers: &[String]) -> String {
    headers.join("\n")
}

impl Guard {
    pub(super) fn start(files: &Files) -> Self {
        let authority = Authority::new("Another Authority");
        let folder = tempfile::tempdir().unwrap();
        let upstream = Api::start(|call| {
            let headers: Vec<String> =
                call.names().iter().map(|name| format!("{name}: {}", call.header(name))).collect();
            Reply::Say(200, Vec::new(), echo(&headers).into_bytes())
        });
        let tls = server(&authority.pair("registry.test", 2099));
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let remote = Backend::start_at(at, Some(Arc::clone(&tls)), |heard| {
            let line =
                |(name, value): &(String, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(value));
            BackendReply::with("200 OK", "", &echo(&heard.headers.iter().map(line).collect::<Vec<_>>()))
        });
        let authorities = format!("{}.remote.pem", files.authorities);
        fs::copy(authority.file(folder.path()), &authorities).unwrap();
        Self { doorward: Doorward::start(&users::alice(), &[]), upstream, remote, authorities }
    }

    /// Starts the option set with addresses of this test, and sends requests to each server.
    pub(super) fn check(&self, set: &OptionSet) {
        let mut set = set.clone();
        let doorward = tcp(&self.doorward.address);
        let is_url = get(&set.common, "auth").is_some_and(|values| values[0].starts_with("http://"));
        put(
            &mut set.common,
            "auth",
            &[&if is_url { format!("http://{doorward}/auth") } else { doorward.to_string() }],
        );
        if get(&set.common, "public").is_some() {
            put(&mut set.common, "public", &[&tcp(&self.doorward.public).to_string()]);
        }
        let mut addresses = Vec::new();
        for server in &mut set.servers {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            put(server, "listen", &[&address.to_string()]);
            addresses.push(address);
            if is(server, "kind", "ecr") {
                put(server, "upstream", &["registry.test:1"]);
                put(server, "upstream_ca", &[&self.authorities]);
            } else {
                put(server, "upstream", &[&self.upstream.address.to_string()]);
            }
        }
        let place = Workplace::new();
        let text = place.write(&set).unwrap_or_else(|error| panic!("{error}\n{}", set.toml()));
        // No DNS server has the name of the remote registry.
        let text = text.replace("default registry.test:1;", &format!("default {};", self.remote.address));
        fs::write(place.written(), text).unwrap();
        let nginx = Started::run(place.into_dir(), addresses[0]);
        for (server, address) in set.servers.iter().zip(&addresses) {
            Probe { server, address: *address, set: &set, nginx: &nginx }.check();
        }
    }
}

fn is(table: &[(&'static str, Vec<String>)], key: &str, value: &str) -> bool {
    get(table, key).is_some_and(|values| values[0] == value)
}

/// Requests to one server.
struct Probe<'s> {
    server: &'s [(&'static str, Vec<String>)],
    address: SocketAddr,
    set: &'s OptionSet,
    nginx: &'s Started,
}

impl Probe<'_> {
    /// Sends a request with curl. Returns the status and the body.
    fn ask(&self, path: &str, arguments: &[String]) -> (String, String) {
        let names = get(self.server, "server_name");
        let name = names.map_or("any.test", |names| names[0].split(',').next().unwrap_or_default());
        let name = if name == "_" { "any.test".to_owned() } else { name.replace('*', "a") };
        let is_plain = is(self.server, "plain_http", "on") || is(self.server, "plain_http", "true");
        let (scheme, port) = (if is_plain { "http" } else { "https" }, self.address.port());
        let mut command = Command::new(program("curl", "curl"));
        command.args(["-sk", "--max-time", "30", "--noproxy", "*", "-w", "\n%{http_code}"]);
        command.arg("--resolve").arg(format!("{name}:{port}:{}", self.address.ip()));
        if is(&self.set.common, "proxy_protocol", "on") || is(&self.set.common, "proxy_protocol", "true") {
            command.arg("--haproxy-protocol");
        }
        command.args(arguments).arg(format!("{scheme}://{name}:{port}{path}"));
        let output = run(command);
        let (body, status) = output.stdout.rsplit_once('\n').unwrap_or_default();
        assert_ne!(status, "000", "{path}: {output:?}\n{}\n{}", self.set.toml(), self.nginx.error_log());
        (status.to_owned(), body.to_owned())
    }

    fn assert(&self, condition: bool, what: &str, answer: &(String, String)) {
        let (text, log) = (self.set.toml(), self.nginx.error_log());
        assert!(condition, "{what}: {answer:?}\n{text}\n{:?}\n{log}", self.server);
    }

    fn check(&self) {
        let credentials = ["-u".to_owned(), "alice:wonderland".to_owned()];
        let mut forged: Vec<String> = Vec::new();
        let facts = get(self.server, "facts").into_iter().flatten();
        let headers = FORGED_HEADERS.iter().map(|name| (*name).to_owned());
        for name in headers.chain(facts.map(|fact| format!("X-Auth-Fact-{fact}"))) {
            forged.extend(["-H".to_owned(), format!("{name}: {FORGED}")]);
        }
        let closed = self.ask("/_doorward", &credentials);
        self.assert(closed.0 == "404", "the location of the auth subrequest is closed", &closed);
        let path = if is(self.server, "kind", "site") || get(self.server, "kind").is_none() {
            "/a/b"
        } else {
            "/v2/"
        };
        if is(self.server, "tokens", "registry") {
            // The registry checks the client, and never gets its password.
            let answer = self.ask(path, &[&credentials[..], &forged].concat());
            self.assert(
                answer.0 == "200" && !answer.1.contains(FORGED),
                "the registry gets no identity",
                &answer,
            );
            self.assert(!answer.1.contains("authorization"), "the registry gets no password", &answer);
            return;
        }
        let refused = self.ask(path, &forged);
        self.assert(refused.0 == "401", "a client without credentials is refused", &refused);
        let wrong = self.ask(path, &["-u".to_owned(), "alice:".to_owned()]);
        self.assert(wrong.0 == "401", "a client with an empty password is refused", &wrong);
        let admitted = self.ask(path, &[&credentials[..], &forged].concat());
        self.assert(admitted.0 == "200", "a client with credentials is admitted", &admitted);
        self.assert(
            !admitted.1.contains(FORGED),
            "headers of the client with an identity are removed",
            &admitted,
        );
        self.assert(!admitted.1.contains("authorization"), "the password is removed", &admitted);
        // A registry reads no identity, and gets none without locations of the administrator.
        let gets_identity = path != "/v2/" || get(self.server, "include").is_some();
        if !is(self.server, "kind", "ecr") {
            self.assert(
                admitted.1.contains("x-auth-user: alice") == gets_identity,
                "the identity is that of doorward",
                &admitted,
            );
        }
        for public in get(self.server, "public_paths").into_iter().flatten() {
            let answer = self.ask(public, &[&credentials[..], &forged].concat());
            let has_identity = answer.1.contains(FORGED) || answer.1.contains("alice");
            self.assert(answer.0 == "200" && !has_identity, "a public path has no identity", &answer);
        }
    }
}
