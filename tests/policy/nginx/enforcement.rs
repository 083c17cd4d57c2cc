//! Ten thousand raw requests: the registry acts only where the policy allows it.
//!
//! Three witnesses are compared. A tap between nginx and doorward has what doorward was asked; the
//! registry's log has what the registry did, which is found by the client's name, a number for each
//! request; and the rights are written down once more here, as simply as can be.

mod registry_log;
mod setup;

use std::collections::{BTreeMap, BTreeSet};

use doorward::policy::rules::PolicyDecision;
use doorward::request::endpoint::RegistryTarget;
use doorward::request::registry;

use self::registry_log::{RegistryAction, actions_of};
use self::setup::{EnforcementSetup, ObservedRequest};
use crate::support::eventually;
use crate::support::request_corpus::{BASE_BLOB, SECRET_BLOB, corpus};

/// How many are sent.
const COUNT: usize = 12_000;

/// What ann may do, by what the registry itself calls the repository: written another time, so that
/// a fault of the policy's is not repeated.
fn is_permitted(user: &str, method: &str, repository: &str, is_upload: bool) -> bool {
    let reads = matches!(method, "GET" | "HEAD");
    let writes = reads || matches!(method, "POST" | "PUT" | "PATCH") || (method == "DELETE" && is_upload);
    user == "ann" && (repository.starts_with("open/") && writes || repository.starts_with("base/") && reads)
}

/// Whether the registry did more for a request than the policy was asked for and allowed.
fn check(seen: &ObservedRequest, action: &RegistryAction) {
    let told = format!("{:?}\n{seen:?}\n{action:?}", seen.sample);
    let auth_request = seen.auth_request.as_ref().unwrap_or_else(|| panic!("nobody was asked: {told}"));
    assert!(matches!(seen.judgement, Some(PolicyDecision::Allowed { .. })), "it was not allowed: {told}");
    let asked = registry::parse_request(&auth_request.method, &auth_request.uri, &auth_request.content_type)
        .expect("it can be read");
    // It logs no answer to a method that it has no handler for.
    assert_eq!(action.status.unwrap_or(405), seen.status, "the registry's own answer: {told}");
    let is_upload = auth_request.uri.contains("/blobs/uploads/");
    for name in &action.on {
        assert_eq!(asked.target, RegistryTarget::Repository(name), "another one was judged: {told}");
        assert!(is_permitted(seen.sample.user, &action.method, name, is_upload), "acted on {name}: {told}");
    }
    for name in action.touched.iter().filter(|name| !action.on.contains(*name)) {
        assert_eq!(
            asked.mount_source.as_ref().map(|source| &source.repository),
            Some(name),
            "looked into {name}: {told}"
        );
        assert!(is_permitted(seen.sample.user, "GET", name, false), "looked into {name}: {told}");
    }
    // Where the log names no files, it is still known what the registry was asked to mount.
    for source in action.sources() {
        assert!(is_permitted(seen.sample.user, "GET", &source, false), "asked for {source}: {told}");
    }
}

/// How many of each.
#[derive(Default)]
struct Figures {
    answers: BTreeMap<u16, usize>,
    asked: usize,
    allowed: usize,
    action: usize,
    mounted: usize,
    unmounted: usize,
}

impl Figures {
    fn count(&mut self, seen: &ObservedRequest, action: Option<&RegistryAction>) {
        *self.answers.entry(seen.status).or_default() += 1;
        self.asked += usize::from(seen.auth_request.is_some());
        self.allowed += usize::from(action.is_some());
        self.action += usize::from(action.is_some_and(|action| !action.on.is_empty()));
        let is_mount = seen.sample.target.contains("from=");
        self.mounted += usize::from(is_mount && seen.status == 201);
        self.unmounted += usize::from(
            action.is_some_and(|action| action.method == "POST" && is_mount && seen.status == 202),
        );
    }

    /// Enough of each that a fault would have been met.
    #[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
    fn check(&self) {
        let of = |status: u16| self.answers.get(&status).copied().unwrap_or_default();
        println!(
            "{COUNT} requests: {} asked about, {} allowed, the registry acted on a repository for {}; {} mounts made, {} begun as uploads; answers: {:?}",
            self.asked, self.allowed, self.action, self.mounted, self.unmounted, self.answers
        );
        // What has more than one reading nginx refuses before it asks.
        assert!(self.asked > COUNT / 2 && self.allowed > COUNT / 4 && self.action > COUNT / 5);
        assert!(of(403) > COUNT / 4 && of(401) > COUNT / 50 && of(400) > COUNT / 200);
        assert!(
            of(200) > COUNT / 20 && of(201) > COUNT / 50 && of(202) > COUNT / 40 && of(204) > COUNT / 200
        );
        assert!(self.mounted > 100 && self.unmounted > 100);
        // A 500 is the registry's own: it answers so for some digests. nginx makes a 503 of doorward's.
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
    // What the registry logs of a request it logs before it answers the next one.
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
            // The registry's log leaves out only what it has no route for, and nobody but the registry
            // says yes.
            None => {
                let allowed = matches!(seen.judgement, Some(PolicyDecision::Allowed { .. }));
                let unrouted = seen.status == 404 && seen.sample.target.contains("/referrers/");
                assert!(!allowed || unrouted, "it got lost: {seen:?}");
                assert!(matches!(seen.status, 400..=499), "{seen:?}");
            }
        }
    }
    figures.check();
    let unavailable = setup.doorward.metric("doorward_verdicts_total{verdict=\"unavailable\"");
    assert_eq!(unavailable, 0.0, "{}", setup.doorward.log());
    assert!(!setup.doorward.log().contains("panic"), "{}", setup.doorward.log());

    // What is secret has not come into any repository that the registry acted on.
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
    // Past nginx, all of this happens, and the log says so.
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
    // And through nginx, by him who may.
    assert_eq!(setup.through_nginx("bob", "b2", &format!("/v2/secret/app/blobs/{SECRET_BLOB}")), 200);
    assert_eq!(setup.through_nginx("ann", "a1", &format!("/v2/secret/app/blobs/{SECRET_BLOB}")), 403);
}
