//! Ten thousand raw requests: the registry acts only where the policy allows it.
//!
//! Three sources are compared. A tap between nginx and doorward records each auth request. The log of the registry
//! records its actions; the `User-Agent` contains the number of the request. The permissions are written here a second
//! time, as simply as possible.

mod registry_log;
mod setup;

use std::collections::{BTreeMap, BTreeSet};

use doorward::internals::registry_repositories;

use self::registry_log::{RegistryAction, actions_of};
use self::setup::{EnforcementSetup, ObservedRequest};
use crate::support::eventually;
use crate::support::request_corpus::{BASE_BLOB, SECRET_BLOB, corpus};

/// The number of requests.
const COUNT: usize = 12_000;

/// Returns true if the user has the permission. `repository` is the name in the log of the registry. The function is
/// independent of the policy code, so that an error there is not repeated.
fn is_permitted(user: &str, method: &str, repository: &str, is_upload: bool) -> bool {
    let reads = matches!(method, "GET" | "HEAD");
    let writes = reads || matches!(method, "POST" | "PUT" | "PATCH") || (method == "DELETE" && is_upload);
    user == "ann" && (repository.starts_with("open/") && writes || repository.starts_with("base/") && reads)
}

/// Checks that the registry did no more than the policy allowed for the request.
fn check(seen: &ObservedRequest, action: &RegistryAction) {
    let told = format!("{:?}\n{seen:?}\n{action:?}", seen.sample);
    let auth_request = seen.auth_request.as_ref().unwrap_or_else(|| panic!("nobody was asked: {told}"));
    assert!(seen.is_allowed, "it was not allowed: {told}");
    let (repository, mount_source) =
        registry_repositories(&auth_request.method, &auth_request.uri, &auth_request.content_type)
            .expect("it can be read");
    // The registry logs no response for a method without a handler.
    assert_eq!(action.status.unwrap_or(405), seen.status, "the registry's own answer: {told}");
    let is_upload = auth_request.uri.contains("/blobs/uploads/");
    for name in &action.on {
        assert_eq!(repository.as_ref(), Some(name), "another one was judged: {told}");
        assert!(is_permitted(seen.sample.user, &action.method, name, is_upload), "acted on {name}: {told}");
    }
    for name in action.touched.iter().filter(|name| !action.on.contains(*name)) {
        assert_eq!(mount_source.as_ref(), Some(name), "looked into {name}: {told}");
        assert!(is_permitted(seen.sample.user, "GET", name, false), "looked into {name}: {told}");
    }
    // The log of some versions names no files, but the URI still contains the source of the mount.
    for source in action.sources() {
        assert!(is_permitted(seen.sample.user, "GET", &source, false), "asked for {source}: {told}");
    }
}

/// The numbers of requests by result.
#[derive(Default)]
struct Figures {
    answers: BTreeMap<u16, usize>,
    auth_requests: usize,
    allowed: usize,
    action: usize,
    mounted: usize,
    unmounted: usize,
}

impl Figures {
    fn count(&mut self, seen: &ObservedRequest, action: Option<&RegistryAction>) {
        *self.answers.entry(seen.status).or_default() += 1;
        self.auth_requests += usize::from(seen.auth_request.is_some());
        self.allowed += usize::from(action.is_some());
        self.action += usize::from(action.is_some_and(|action| !action.on.is_empty()));
        let is_mount = seen.sample.target.contains("from=");
        self.mounted += usize::from(is_mount && seen.status == 201);
        self.unmounted += usize::from(
            action.is_some_and(|action| action.method == "POST" && is_mount && seen.status == 202),
        );
    }

    /// Checks that each kind of request occurred often enough to reveal an error.
    #[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
    fn check(&self) {
        let of = |status: u16| self.answers.get(&status).copied().unwrap_or_default();
        println!(
            "{COUNT} requests: {} asked about, {} allowed, the registry acted on a repository for {}; {} mounts made, {} begun as uploads; answers: {:?}",
            self.auth_requests, self.allowed, self.action, self.mounted, self.unmounted, self.answers
        );
        // nginx refuses ambiguous paths without an auth request.
        assert!(self.auth_requests > COUNT / 2 && self.allowed > COUNT / 4 && self.action > COUNT / 5);
        assert!(of(403) > COUNT / 4 && of(401) > COUNT / 50 && of(400) > COUNT / 200);
        assert!(
            of(200) > COUNT / 20 && of(201) > COUNT / 50 && of(202) > COUNT / 40 && of(204) > COUNT / 200
        );
        assert!(self.mounted > 100 && self.unmounted > 100);
        // A 500 comes from the registry, which returns it for some digests. nginx turns a 500 of doorward into a 503.
        for status in [429, 502, 503, 504] {
            assert_eq!(of(status), 0, "{status}");
        }
    }
}

#[test]
fn registry_acts_only_on_repositories_that_the_policy_allowed() {
    let mut setup = EnforcementSetup::start();
    let seen: Vec<ObservedRequest> =
        corpus(COUNT).enumerate().map(|(number, sample)| setup.send(number, sample)).collect();
    // The registry logs a request before it answers the next one.
    assert_eq!(setup.past_nginx(COUNT, "GET", "/v2/"), 200);
    let actions_of = eventually("the log is whole", || {
        let actions_of = actions_of(&setup.registry.log());
        actions_of.get(&COUNT).is_some_and(|last| last.status.is_some()).then_some(actions_of)
    });
    let mut figures = Figures::default();
    for (number, seen) in seen.iter().enumerate() {
        let action = actions_of.get(&number);
        figures.count(seen, action);
        match action {
            Some(action) => check(seen, action),
            // The log omits only requests without a route, and a successful response can only come from the registry.
            None => {
                let unrouted = seen.status == 404 && seen.sample.target.contains("/referrers/");
                assert!(!seen.is_allowed || unrouted, "it got lost: {seen:?}");
                assert!(matches!(seen.status, 400..=499), "{seen:?}");
            }
        }
    }
    figures.check();
    let unavailable = setup.doorward.metric("doorward_verdicts_total{verdict=\"unavailable\"");
    assert_eq!(unavailable, 0.0, "{}", setup.doorward.log());
    assert!(!setup.doorward.log().contains("panic"), "{}", setup.doorward.log());

    // No repository that the registry acted on contains the secret blob.
    let names: BTreeSet<&String> = actions_of.values().flat_map(|action| &action.on).collect();
    assert!(names.len() >= 10 && names.iter().all(|name| !name.starts_with("secret/")), "{names:?}");
    for name in names {
        assert_eq!(setup.reads(name, SECRET_BLOB), 404, "{name}");
    }
    assert_eq!(setup.reads("open/app", BASE_BLOB), 200, "a mount that was allowed is there");
}

#[test]
fn requests_past_nginx_appear_in_the_registry_log() {
    let setup = EnforcementSetup::start();
    // Without nginx, all these requests succeed and are logged.
    assert_eq!(setup.past_nginx(1, "GET", &format!("/v2/secret/app/blobs/{SECRET_BLOB}")), 200);
    let mount = format!("/v2/open/other/blobs/uploads/?mount={SECRET_BLOB}&from=secret%2Fapp");
    assert_eq!(setup.past_nginx(2, "POST", &mount), 201);
    assert_eq!(setup.past_nginx(3, "GET", &format!("/v2/%73ecret%2Fapp/blobs/{SECRET_BLOB}")), 200);
    assert_eq!(setup.reads("open/other", SECRET_BLOB), 200);
    let log = setup.registry.log();
    let actions_of = actions_of(&log);
    assert!(
        actions_of[&1].on.contains("secret/app") && actions_of[&3].on.contains("secret/app"),
        "{actions_of:?}"
    );
    assert_eq!(actions_of[&2].sources().collect::<Vec<_>>(), ["secret/app"]);
    let names_files = log.contains("GetContent");
    assert_eq!(actions_of[&2].touched.contains("secret/app"), names_files, "{actions_of:?}");
    // Through nginx, only a permitted user can read it.
    assert_eq!(setup.through_nginx("bob", "b2", &format!("/v2/secret/app/blobs/{SECRET_BLOB}")), 200);
    assert_eq!(setup.through_nginx("ann", "a1", &format!("/v2/secret/app/blobs/{SECRET_BLOB}")), 403);
}
