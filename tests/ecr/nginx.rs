//! A remote registry over TLS that requires credentials of its own: a fake ECR behind nginx.

mod certificates;
mod forwarded_headers;
mod own_configuration;
mod proxy_secret;
mod push;
mod redirect_hosts;
pub(crate) mod redirects;
mod refused_credentials;
mod responses;
mod rewritten_addresses;
mod skopeo;
mod with_doorward;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tempfile::TempDir;

use crate::support::api::{Api, Call, Reply as ApiReply};
pub(crate) use crate::support::backend::Reply;
use crate::support::backend::{Authority, Backend, ReceivedRequest, server_named};
use crate::support::client::{Answer, Request};
use crate::support::dns::DnsServer;
use crate::support::eventually;
use crate::support::nginx::{Image, Nginx, alice, nginx};
use crate::support::process::run;

/// The host name of the registry. The DNS server of the test resolves it and the name of the storage to 127.0.0.1.
const NAME: &str = "registry.ecr.test";
pub(crate) const STORAGE: &str = "storage.ecr.test";

/// The proxy secret that nginx sends to doorward.
const SECRET: &str = "of-a-test-0123456789-of-a-test";

/// The default credentials that doorward returns for the registry.
const TOKEN: &str = "Basic QVdTOnVwc3RyZWFtLXRva2Vu";

/// A fake ECR, a fake doorward, and nginx between them.
pub(crate) struct EcrSetup {
    pub(super) nginx: Nginx,
    pub(crate) ecr: Backend,
    pub(crate) doorward: Api,
    /// The value of X-Upstream-Authorization.
    token: Arc<Mutex<String>>,
    /// The response of doorward to `/auth/refused`.
    page: Arc<Mutex<ApiReply>>,
    authority: Authority,
    names: DnsServer,
    _dir: TempDir,
}

/// Returns the answer of doorward. alice is admitted and gets the credentials of the registry. A target that contains
/// `denied` is denied to every user.
fn judge(call: &Call, token: &str) -> ApiReply {
    assert_eq!(call.path(), "/auth", "{call:?}");
    if call.basic() != Some(("alice".to_owned(), "wonderland".to_owned())) {
        let challenge = "Basic realm=\"Registry\", charset=\"UTF-8\"";
        return ApiReply::status(401).with("WWW-Authenticate", challenge).with("X-Auth-Reason", "anonymous");
    }
    if call.header("x-original-uri").contains("denied") {
        return ApiReply::status(403)
            .with("X-Auth-Reason", "policy")
            .with("X-Auth-Scope", "repository:denied:pull");
    }
    let yes = ApiReply::status(200).with("X-Auth-User", "alice").with("X-Auth-By", "htpasswd");
    let yes = if call.header("x-original-uri").contains("&from=") {
        yes.with("X-Upstream-URI", call.header("x-original-uri").split('?').next().unwrap())
    } else {
        yes
    };
    yes.with("X-Upstream-Authorization", token)
}

/// Returns the response of doorward for a registry that refused the credentials.
fn page() -> ApiReply {
    let text = r#"{"errors":[{"code":"UNAVAILABLE","message":"the registry refused the credentials of this proxy","detail":null}]}"#;
    let text = format!("{text}\n").into_bytes();
    ApiReply::Say(503, vec![("Content-Type".into(), "application/json".into())], text)
}

impl EcrSetup {
    /// Starts the servers with additional settings and with a registry that sends these responses.
    fn start(
        set: impl Fn(Image) -> Image,
        says: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new("Test Authority");
        let tls = server_named(&authority.pair(NAME, 2099), NAME);
        let setup = Self::over(authority, Some(tls), set);
        setup.found();
        setup.ecr.behave(says);
        setup
    }

    /// Starts the servers without pushes and with a registry that accepts every request.
    pub(crate) fn plain() -> Self {
        Self::start(|image| image, |_| Reply::json("{}"))
    }

    /// Starts the servers with the given TLS configuration of the registry.
    fn over(authority: Authority, tls: Option<Arc<ServerConfig>>, set: impl Fn(Image) -> Image) -> Self {
        let ecr = Backend::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls, |_| Reply::json("{}"));
        let token = Arc::new(Mutex::new(TOKEN.to_owned()));
        let page = Arc::new(Mutex::new(page()));
        let (said, shown) = (Arc::clone(&token), Arc::clone(&page));
        let doorward = Api::start(move |call| match call.path() {
            "/auth/refused" => shown.lock().unwrap().clone(),
            _ => judge(call, &said.lock().unwrap()),
        });
        let names = DnsServer::start(Some([127, 0, 0, 1]));
        let dir = tempfile::tempdir().unwrap();
        let ca = authority.file(dir.path());
        let secret = dir.path().join("secret");
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        let image = Image::new()
            .set("KIND", "ecr")
            .set("AUTH", doorward.address.to_string())
            .set("UPSTREAM", format!("{NAME}:{}", ecr.address.port()))
            .set("UPSTREAM_CA", ca.display().to_string())
            .set("PROXY_SECRET_FILE", secret.display().to_string())
            .set("RESOLVER", names.address.to_string())
            .set("PLAIN_HTTP", "on");
        let nginx = Nginx::of(set(image));
        Self { nginx, ecr, doorward, token, page, authority, names, _dir: dir }
    }

    /// Waits until nginx has resolved the name of the registry. The test does not count the requests that this takes.
    fn found(&self) {
        eventually("the registry is found", || {
            (self.nginx.ask(&alice(Request::get("/v2/"))).status == 200).then_some(())
        });
    }

    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.nginx.ask(request)
    }

    /// Sends a GET request as alice.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask(&alice(Request::get(target)))
    }

    /// Returns a URL with the registry's own name.
    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.ecr.address.port())
    }

    /// Returns the requests for this target that the registry received.
    fn heard(&self, target: &str) -> Vec<ReceivedRequest> {
        self.ecr.heard().into_iter().filter(|heard| heard.target == target).collect()
    }

    /// Returns the reports of refused credentials that doorward received.
    fn reported_refusals(&self) -> Vec<Call> {
        self.doorward.calls().into_iter().filter(|call| call.path() == "/auth/refused").collect()
    }
}

/// Returns a header as text, or an empty string if it is missing.
fn value<'a>(heard: &'a ReceivedRequest, name: &str) -> &'a str {
    heard.header(name).map_or("", |value| std::str::from_utf8(value).unwrap())
}

/// Returns true if nginx has at least this version.
fn is_since(version: [u32; 3]) -> bool {
    let mut command = Command::new(nginx());
    command.arg("-v");
    let said = run(command).stderr;
    let number = |part: &str| part.trim().parse::<u32>().unwrap_or_default();
    let parts: Vec<u32> = said.rsplit('/').next().unwrap().split('.').map(number).collect();
    parts >= version.to_vec()
}
