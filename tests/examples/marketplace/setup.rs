//! The registry of the marketplace: nginx, doorward configured by one of the two examples, and a registry. The registry
//! verifies tokens with the files that `doorward signing-key init` wrote.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::marketplace_service::{INTERNAL, Integration, MarketplaceService};
use crate::examples::{FOLDER, examples};
use crate::support::api::Api;
use crate::support::client::{Answer, Request, tcp};
use crate::support::doorward::{Doorward, doorward};
use crate::support::image::{make, skopeo};
use crate::support::nginx::{Image, Nginx};
use crate::support::process::Output;
use crate::support::registry::Registry;
use crate::support::{eventually, free_port};
use crate::token::claims;

/// The URL of the web service in the examples, and the audience of the tokens.
const SHOP: &str = "https://shop.example.com";
pub(super) const SERVICE: &str = "registry.example.com";

/// An account and one of its keys.
pub(super) type Credentials<'w> = (&'w str, &'w str);

pub(super) struct MarketplaceSetup {
    home: TempDir,
    pub(super) nginx: Nginx,
    pub(super) doorward: Doorward,
    _registry: Registry,
    pub(super) service: Api,
    pub(super) marketplace: MarketplaceService,
    integration: Integration,
    change_count: AtomicUsize,
}

/// Copies the required files of `examples/` into `dir`, with the URL of the fake service. Returns the path of the
/// configuration.
pub(super) fn copy(integration: Integration, dir: &Path, service: &str) -> String {
    let name =
        if integration == Integration::Requests { "marketplace.toml" } else { "marketplace-files.toml" };
    for name in [name, "marketplace-policy.toml"] {
        let text = fs::read_to_string(examples().join(name)).unwrap();
        let text = text.replace(FOLDER, &dir.display().to_string()).replace(SHOP, service);
        fs::write(dir.join(name), text).unwrap();
    }
    for folder in ["token", "market"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    let token = ("admin-token", "0123456789abcdef0123456789abcdef");
    for (name, text) in [("shop-key", INTERNAL), token, ("market/groups", ""), ("market/api-keys", "")] {
        fs::write(dir.join(name), text).unwrap();
    }
    dir.join(name).display().to_string()
}

/// Creates the signing keys and returns the configuration lines for the registry.
pub(super) fn init(dir: &Path, realm: &str) -> String {
    let keys = dir.join("token/keys.pem").display().to_string();
    let output =
        doorward(&["signing-key", "init", "--signing-keys", &keys, "--service", SERVICE, "--realm", realm]);
    assert_eq!(output.code, Some(0), "{output:?}");
    fs::read_to_string(dir.join("token/registry-auth.yml")).unwrap()
}

impl MarketplaceSetup {
    pub(super) fn start(integration: Integration) -> Self {
        Self::start_with(integration, &[], |text| text)
    }

    /// Starts the servers with additional flags and a changed configuration.
    pub(super) fn start_with(
        integration: Integration,
        flags: &[&str],
        change: impl Fn(String) -> String,
    ) -> Self {
        let (dir, marketplace) = (tempfile::tempdir().unwrap(), MarketplaceService::new(integration));
        let asked = marketplace.clone();
        let service = Api::start(move |call| asked.answer(call));
        let settings = copy(integration, dir.path(), &service.url());
        fs::write(&settings, change(fs::read_to_string(&settings).unwrap())).unwrap();
        let auth = init(dir.path(), "http://NGINX/token");
        // Hashes can be slow on a test machine. The time limit of the authenticator chain must still fit into the
        // timeout of nginx.
        let own = ["--config", &settings, "--hash-wait-timeout", "5s"];
        let doorward = Doorward::start_in(dir, &[&own[..], flags].concat());
        // The port is chosen as late as possible. Another process could use it until nginx listens.
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let registry = Registry::start_with(&auth.replace("NGINX", &address.to_string()));
        let image = Image::new()
            .set("KIND", "registry")
            .set("TOKENS", "registry")
            .set("AUTH", tcp(&doorward.address).to_string())
            .set("PUBLIC", tcp(&doorward.public).to_string())
            .set("UPSTREAM", registry.address.to_string())
            .set("PLAIN_HTTP", "on");
        let nginx = Nginx::at(address, image);
        let home = tempfile::tempdir().unwrap();
        make(&home.path().join("image"), 2);
        make(&home.path().join("other"), 3);
        let change_count = AtomicUsize::new(0);
        Self { home, nginx, doorward, _registry: registry, service, marketplace, integration, change_count }
    }

    /// Notifies doorward of a change of an account and returns when the change is in force.
    pub(super) fn notify(&self, account: &str) {
        match self.integration {
            Integration::Requests => {
                let flush = Request::new("POST", &format!("/flush?user={account}")).body("");
                assert_eq!(self.doorward.admin(&flush).status, 204);
            }
            Integration::Files => self.write(),
        }
    }

    /// Writes both files with a probe entry, and waits until the probe is in force. The probe bypasses the rate limit
    /// of nginx. It uses another user and address each time, so that no earlier failure counts.
    fn write(&self) {
        let number = self.change_count.fetch_add(1, Ordering::SeqCst);
        let probe = format!("probe{number}");
        let key = self.marketplace.key(&probe, "probe", &[], false);
        let keys = self.marketplace.keys_file();
        self.marketplace.revoke(&key);
        self.put("groups", &format!("{}probe.{number}: {probe}\n", self.marketplace.groups_file()));
        self.put("api-keys", &keys);
        let asked = format!("/token?service={SERVICE}&scope=repository:any/probe.{number}:pull");
        let request =
            Request::get(&asked).header("X-Original-Host", SERVICE).from(&format!("192.0.2.{number}"));
        eventually("the files are in force", || {
            let answer = self.doorward.ask(&request.clone().basic(&probe, &key));
            (answer.status == 200 && !access(&answer).is_empty()).then_some(())
        });
    }

    /// Replaces a file atomically.
    pub(super) fn put(&self, name: &str, text: &str) {
        let path = self.doorward.folder().join("market").join(name);
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    }

    /// Creates a key and returns it when it is in force.
    pub(super) fn key(&self, account: &str, name: &str) -> String {
        let key = self.marketplace.key(account, name, &[], false);
        self.notify(account);
        key
    }

    pub(super) fn reserve(&self, account: &str, name: &str) {
        self.marketplace.reserve(account, name).unwrap();
        self.notify(account);
    }

    pub(super) fn buy(&self, account: &str, offer: &str) {
        self.marketplace.sell(account, offer);
        self.notify(account);
    }

    pub(super) fn take_back(&self, account: &str, offer: &str) {
        self.marketplace.take_back(account, offer);
        self.notify(account);
    }

    pub(super) fn revoke(&self, key: &str) {
        let account = self.marketplace.revoke(key);
        self.notify(&account);
    }

    /// Requests a token. The request is anonymous if the account is empty.
    pub(super) fn ask(&self, who: Credentials<'_>, scope: &str) -> Answer {
        let request = Request::get(&format!("/token?service={SERVICE}&scope={scope}"));
        self.nginx.ask(&if who.0.is_empty() { request } else { request.basic(who.0, who.1) })
    }

    /// Returns the permissions of a token, or the status if there is none.
    pub(super) fn access(&self, who: Credentials<'_>, scope: &str) -> Result<String, u16> {
        let answer = self.ask(who, scope);
        if answer.status != 200 {
            return Err(answer.status);
        }
        Ok(access(&answer))
    }

    pub(super) fn push(&self, who: Credentials<'_>, image: &str, name: &str) -> Output {
        let from = format!("oci:{}:one", self.home.path().join(image).display());
        let to = format!("docker://{}/{name}:one", self.nginx.address);
        self.run(&["copy", "--preserve-digests", "--dest-tls-verify=false", &by("--dest-", who), &from, &to])
    }

    pub(super) fn pull(&self, who: Credentials<'_>, name: &str) -> Output {
        let back = tempfile::tempdir().unwrap();
        let from = format!("docker://{}/{name}:one", self.nginx.address);
        let to = format!("oci:{}:one", back.path().display());
        self.run(&["copy", "--preserve-digests", "--src-tls-verify=false", &by("--src-", who), &from, &to])
    }

    pub(super) fn log_in(&self, who: Credentials<'_>) -> Output {
        let registry = self.nginx.address.to_string();
        self.run(&["login", "--tls-verify=false", "-u", who.0, "-p", who.1, &registry])
    }

    fn run(&self, arguments: &[&str]) -> Output {
        skopeo(self.home.path(), arguments)
    }
}

fn by(side: &str, who: Credentials<'_>) -> String {
    if who.0.is_empty() { format!("{side}no-creds") } else { format!("{side}creds={}:{}", who.0, who.1) }
}

/// Returns the token of a response.
pub(super) fn token(answer: &Answer) -> String {
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    told["token"].as_str().expect("a token").to_owned()
}

/// Returns the permissions of the token of a response.
fn access(answer: &Answer) -> String {
    let claims = claims(&token(answer));
    let one = |access: &Value| {
        let actions = access["actions"].as_array().unwrap().iter().filter_map(Value::as_str);
        format!("{}:{}", access["name"].as_str().unwrap(), actions.collect::<Vec<_>>().join(","))
    };
    claims["access"].as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(" ")
}
