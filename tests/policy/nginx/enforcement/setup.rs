//! nginx, a tap, doorward with the policy of the corpus, and a registry with a secret repository.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use doorward::internals::ExplainedRules;

use crate::support::client::{Answer, Client, Request, basic, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template};
use crate::support::registry::Registry;
use crate::support::request_corpus::{
    BASE_BLOB, BASE_MANIFEST, OWN_UPLOAD, RULES, SECRET_BLOB, SECRET_MANIFEST, Sample, THEIR_UPLOAD, manifest,
};
use crate::support::upstream::Tap;
use crate::support::users;

/// The prefix of the `User-Agent`, which the number of the request follows.
pub(super) const AGENT: &str = "judged-";

pub(super) struct EnforcementSetup {
    nginx: Nginx,
    tap: Tap,
    pub(super) doorward: Doorward,
    pub(super) registry: Registry,
    rules: ExplainedRules,
    client: Option<Client>,
    /// The last upload of ann in each repository, and an upload of another user in secret/app.
    uploads: HashMap<String, String>,
    their_upload: String,
}

/// The auth request that nginx sent to doorward.
#[derive(Debug)]
pub(super) struct AuthRequest {
    pub(super) method: String,
    pub(super) uri: String,
    host: String,
    pub(super) content_type: String,
    /// True if all values are UTF-8.
    is_text: bool,
}

/// A request and its response as seen by the client.
#[derive(Debug)]
pub(super) struct ObservedRequest {
    pub(super) sample: Sample,
    pub(super) status: u16,
    /// The auth request, or `None` if nginx answered itself.
    pub(super) auth_request: Option<AuthRequest>,
    /// True if the policy allows the auth request.
    pub(super) is_allowed: bool,
}

impl EnforcementSetup {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lines = users::line("ann", "a1", users::QUICK) + &users::line("bob", "b2", users::QUICK);
        fs::write(dir.path().join("htpasswd"), lines).unwrap();
        let rules = dir.path().join("policy.toml");
        fs::write(&rules, RULES).unwrap();
        let rules = rules.display().to_string();
        let doorward = Doorward::start_in(dir, &["--policy", &rules]);
        let tap = Tap::start(tcp(&doorward.address));
        let registry = Registry::start_with_log();
        let nginx = Nginx::start(Template::Registry, tap.address, registry.address);
        let mut setup = Self {
            nginx,
            tap,
            doorward,
            registry,
            rules: ExplainedRules::parse(RULES).unwrap(),
            client: None,
            uploads: HashMap::new(),
            their_upload: String::new(),
        };
        setup.furnish();
        setup
    }

    /// Pushes a blob and a manifest to base/app and other ones to secret/app, directly to the registry.
    fn furnish(&mut self) {
        let registry = &self.registry;
        for (name, content, blob, digest) in [
            ("base/app", "hello", BASE_BLOB, BASE_MANIFEST),
            ("base/manifests/app", "hello", BASE_BLOB, BASE_MANIFEST),
            ("secret/app", "world", SECRET_BLOB, SECRET_MANIFEST),
        ] {
            let at = self.begin(name);
            let put = Request::new("PUT", &format!("/v2/{name}/blobs/uploads/{at}&digest={blob}"));
            let put = put.header("Content-Type", "application/octet-stream").body(content);
            assert_eq!(registry.ask(&put).status, 201);
            let put = Request::new("PUT", &format!("/v2/{name}/manifests/v1"));
            let put = put.header("Content-Type", "application/vnd.oci.image.manifest.v1+json");
            let answer = registry.ask(&put.body(manifest(blob)));
            assert_eq!(answer.header("docker-content-digest"), Some(digest), "{answer:?}");
        }
        self.their_upload = self.begin("secret/app");
    }

    /// Starts an upload directly at the registry. Returns its id and state.
    fn begin(&self, name: &str) -> String {
        let answer = self.registry.ask(&Request::new("POST", &format!("/v2/{name}/blobs/uploads/")).body(""));
        tail(&answer).unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// Sends a request with this number, and records the auth request of nginx.
    pub(super) fn send(&mut self, number: usize, mut sample: Sample) -> ObservedRequest {
        let name =
            sample.target.strip_prefix("/v2/").and_then(|rest| Some(rest.split_once("/blobs/uploads/")?.0));
        let name = name.unwrap_or_default().to_owned();
        if let Some(own) = self.uploads.get(&name) {
            sample.target = sample.target.replace(OWN_UPLOAD, own);
        }
        sample.target = sample.target.replace(THEIR_UPLOAD, &self.their_upload);
        self.tap.forget();
        let bytes = sample.bytes(&format!("{AGENT}{number}"), &basic("ann:a1"));
        let answer = self.exchange(&bytes, sample.method == "HEAD", &sample);
        if let Some(tail) = tail(&answer).filter(|_| answer.status == 202) {
            self.uploads.insert(name, tail);
        }
        let auth_request = auth_request(&self.tap.received());
        let is_allowed = auth_request.as_ref().is_some_and(|request| self.is_allowed(sample.user, request));
        ObservedRequest { status: answer.status, sample, auth_request, is_allowed }
    }

    /// Sends a request over the previous connection, if nginx kept it.
    fn exchange(&mut self, bytes: &[u8], to_head: bool, sample: &Sample) -> Answer {
        let mut client = self.client.take().unwrap_or_else(|| self.nginx.client());
        // A server that answers early can have closed the connection. The response is read anyway.
        let _ = client.send(bytes);
        let answer = client
            .receive(to_head)
            .unwrap_or_else(|error| panic!("{error}: {sample:?}\n{}", self.nginx.log()));
        if answer.header("connection") != Some("close") {
            self.client = Some(client);
        }
        answer
    }

    /// Returns true if `explain` allows the request. The policy evaluates only text.
    fn is_allowed(&self, user: &str, request: &AuthRequest) -> bool {
        let values = [&*request.method, &request.uri, &request.host, &request.content_type];
        let user = (user != "-").then_some(user);
        request.is_text && self.rules.explain(user, values).is_ok()
    }

    /// Returns the status of a read directly at the registry, where every read is permitted.
    pub(super) fn reads(&self, name: &str, blob: &str) -> u16 {
        self.registry.ask(&Request::get(&format!("/v2/{name}/blobs/{blob}"))).status
    }

    /// Sends a request with this number directly to the registry. Returns the status.
    pub(super) fn past_nginx(&self, number: usize, method: &str, target: &str) -> u16 {
        let request = Request::new(method, target).header("User-Agent", format!("{AGENT}{number}"));
        self.registry.ask(&request.body("")).status
    }

    pub(super) fn through_nginx(&self, user: &str, password: &str, target: &str) -> u16 {
        self.nginx.ask(&Request::get(target).basic(user, password)).status
    }
}

/// Returns the id and the state of an upload, from its `Location`.
fn tail(answer: &Answer) -> Option<String> {
    Some(answer.header("location")?.rsplit_once("/blobs/uploads/")?.1.to_owned())
}

/// Returns the auth request that nginx sent to doorward. nginx repeats it over another connection if a kept one was
/// closed.
fn auth_request(sent: &str) -> Option<AuthRequest> {
    let ids: BTreeSet<&str> = sent.lines().filter(|line| line.starts_with("X-Request-ID: ")).collect();
    assert!(ids.len() <= 1, "asked about two: {sent}");
    let header = |name: &str| {
        let (_, value) = sent.split_once(&format!("\r\n{name}: "))?;
        Some(value.split("\r\n").next().unwrap_or_default().trim_matches([' ', '\t']).to_owned())
    };
    Some(AuthRequest {
        method: header("X-Original-Method")?,
        uri: header("X-Original-URI")?,
        host: header("X-Original-Host").unwrap_or_default(),
        content_type: header("X-Original-Content-Type")?.strip_prefix("ct:")?.to_owned(),
        is_text: !sent.contains(char::REPLACEMENT_CHARACTER),
    })
}
