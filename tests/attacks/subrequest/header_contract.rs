//! Conflicting, missing and duplicate proxy headers.

use std::collections::BTreeMap;

use doorward::internals::CONFLICTING;

use super::{assert_forbidden, line, of_alice, question, start};
use crate::support::client::Request;
use crate::support::scale::scaled;

/// Headers of other proxies that do not conflict with those of nginx.
const HARMLESS: [&str; 8] = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "Forwarded",
    "Via",
    "X-Client-IP",
];

#[test]
fn headers_of_other_proxies_are_refused_as_incomplete_with_and_without_a_policy_field_c6_n8_oauth2_proxy_3506()
 {
    for ruled in [false, true] {
        let doorward = start(ruled, &["--log-denials-per-second", "1000"]);
        // Headers that ingress-nginx and Traefik send. The client's own headers are forwarded with them.
        let forged = || {
            Request::auth()
                .header("X-Original-URI", "/v2/public/a/manifests/1")
                .header("X-Original-Method", "GET")
                .header("X-Original-Host", "registry.test")
                .header("X-Original-Content-Type", "ct:")
                .header("X-Real-IP", "192.0.2.1")
        };
        for (name, shown) in CONFLICTING {
            for value in ["/v2/admin/manifests/1", "", "https://registry.test/v2/"] {
                for request in [
                    forged().header(name, value),
                    forged().header(name, value).header(name, value),
                    forged().header(&name.to_uppercase(), value).basic("alice", "wrong"),
                    forged().header(name, value).basic("alice", "wonderland"),
                    Request::auth().header(name, value).basic("alice", "wonderland"),
                    of_alice("GET", "/v2/public/a/manifests/1").header(name, value),
                ] {
                    assert_forbidden(&doorward.ask(&request), "invalid_proxy_headers");
                }
            }
            let line = line(
                &doorward,
                &["reason=\"invalid_proxy_headers\"", &format!("{shown} belongs to another kind")],
            );
            assert!(line.contains("host=\"registry.test\"") && line.contains("method=\"GET\""), "{line}");
        }
        // Harmless headers change nothing, regardless of their number.
        let mut request = of_alice("GET", "/v2/public/a/manifests/1");
        for name in HARMLESS {
            request = request.header(name, "1").header(name, "2");
        }
        assert_eq!(doorward.ask(&request).status, 200);
        assert_eq!(doorward.hashes(), 1.0, "nobody guesses past the contract");
    }
}

#[test]
fn requests_on_one_connection_are_evaluated_separately_field_c6() {
    let doorward = start(false, &[]);
    let mut client = doorward.client();
    let right = of_alice("GET", "/v2/a/manifests/1");
    for _ in 0..3 {
        assert_eq!(client.ask(&right).status, 200);
        let forged = right.clone().header("X-Forwarded-Uri", "/public");
        assert_forbidden(&client.ask(&forged), "invalid_proxy_headers");
    }
}

#[test]
fn missing_duplicate_or_unreadable_header_is_named_in_the_log_field_c9() {
    let doorward = start(true, &["--log-denials-per-second", "1000", "--limits-max-header-bytes", "2048"]);
    let headers = [
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/v2/team/app/manifests/v1?token=hidden"),
        ("X-Original-Host", "registry.test"),
        ("X-Original-Content-Type", "ct:"),
    ];
    let others = [("X-Real-IP", "192.0.2.1"), ("X-Request-ID", "7"), ("X-Auth-Rewrite", "yes")];
    let long = "x".repeat(3000);
    let with = |name: &str, values: &[&str]| {
        let mut request = Request::auth().basic("alice", "wonderland");
        for (other, value) in headers.into_iter().chain(others).filter(|(other, _)| *other != name) {
            request = request.header(other, value);
        }
        values.iter().fold(request, |request, value| request.header(name, value))
    };
    let check = |name: &str, values: &[&str], fault: &str| {
        assert_forbidden(&doorward.ask(&with(name, values)), "invalid_proxy_headers");
        let line = line(&doorward, &[&format!("detail=\"{name} {fault}\"")]);
        // The line also contains the values of the other headers, but not the query.
        let known = |other: &str, part: &str| name == other || line.contains(part);
        assert!(known("X-Original-Host", "host=\"registry.test\""), "{line}");
        assert!(known("X-Original-Method", "method=\"GET\""), "{line}");
        assert!(known("X-Original-URI", "path=\"/v2/team/app/manifests/v1\""), "{line}");
        assert!(!line.contains("hidden"), "{line}");
    };
    for (name, value) in headers {
        check(name, &[], "is missing");
        check(name, &[value, value], "is repeated");
        check(name, &[&long], "is invalid");
    }
    for (name, value) in others {
        check(name, &[value, value], "is repeated");
    }
    check("X-Original-Content-Type", &["text/plain"], "is invalid");
    check("X-Original-Content-Type", &[""], "is invalid");
    check("X-Real-IP", &["registry.test"], "is invalid");
    check("X-Real-IP", &["192.0.2.1, 192.0.2.2"], "is invalid");
    check("X-Auth-Rewrite", &["YES"], "is invalid");
}

#[test]
fn request_without_proxy_headers_is_answered() {
    let doorward = start(false, &[]);
    let by_curl = Request::auth().header("User-Agent", "curl/8").header("Accept", "*/*");
    let answer = doorward.ask(&by_curl.clone().basic("alice", "wonderland"));
    assert_eq!((answer.status, answer.header("x-auth-user")), (200, Some("alice")));
    assert_eq!(doorward.ask(&by_curl.clone().basic("alice", "wrong")).status, 401);
    assert_eq!(doorward.ask(&by_curl).status, 401);
}

#[test]
fn every_allow_response_has_all_identity_headers_field_c12() {
    let doorward = start(true, &[]);
    let named = doorward.ask(&of_alice("GET", "/v2/a/manifests/1").header("X-Auth-Stale", "true"));
    let anyone = doorward.ask(&question("GET", "/v2/public/a/manifests/1").header("X-Auth-User", "root"));
    for (answer, user, by) in [(named, "alice", "htpasswd"), (anyone, "", "")] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected =
            [("x-auth-user", user), ("x-auth-by", by), ("x-auth-groups", ""), ("x-auth-stale", "")];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{name}: {answer:?}");
        }
    }
}

#[test]
fn every_verdict_and_reason_has_a_metric_series_from_the_start_field_c18() {
    use doorward::internals::Reason;
    let doorward = start(true, &[]);
    let text = doorward.admin(&Request::get("/metrics")).text();
    for reason in Reason::ALL {
        let series = format!(
            "doorward_verdicts_total{{verdict=\"{}\",reason=\"{}\"}} 0\n",
            reason.verdict_name(),
            reason.name()
        );
        assert!(text.contains(&series), "{series} is not in {text}");
    }
    assert_eq!(text.matches("doorward_verdicts_total{").count(), Reason::ALL.len());
    let names: std::collections::BTreeSet<(&str, &str)> =
        Reason::ALL.iter().map(|reason| (reason.verdict_name(), reason.name())).collect();
    assert_eq!(names.len(), Reason::ALL.len(), "no two causes have one label");
}

/// A generator of pseudorandom numbers with a fixed sequence.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most as u64).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is there to be quoted")]
fn headers_of_other_dialects_grant_nothing_beyond_the_proxys_own_headers() {
    let doorward = start(true, &[]);
    let mut client = doorward.client();
    let (mut chance, mut beyond, mut admitted) = (Chance(7), 0, BTreeMap::<&str, usize>::new());
    let count = scaled(300, 2000);
    let uris = [
        "/v2/",
        "/v2/public/a/manifests/1",
        "/v2/team/a/manifests/1",
        "/v2/_catalog",
        "/admin/x",
        "/v2/../admin",
    ];
    let own = ["X-Original-URI", "X-Original-Method", "X-Original-Host", "X-Original-Content-Type"];
    let users = [("alice", "wonderland"), ("bob", "builder"), ("alice", "wrong"), ("", "")];
    for number in 0..count {
        let (user, password) = chance.one(&users);
        let (method, uri) = (chance.one(&["GET", "PUT", "DELETE"]), chance.one(&uris));
        let question = question(method, uri).header("X-Auth-Rewrite", chance.one(&["yes", "no"]));
        let question = if user.is_empty() { question } else { question.basic(user, password) };
        let mut forged = question.clone();
        let extra = 1 + chance.below(4);
        for _ in 0..extra {
            // A header of another family, a duplicate of nginx's own header, a harmless header, or a misspelled one.
            let name = match chance.below(5) {
                0 | 1 => chance.one(&CONFLICTING).1.to_owned(),
                2 => chance.one(&own).to_owned(),
                3 => chance.one(&HARMLESS).to_owned(),
                _ => chance.one(&own).replace('-', chance.one(&["_", "."])),
            };
            let value =
                chance.one(&["/v2/public/a/manifests/1", "GET", "ct:", "registry.test", "192.0.2.9", ""]);
            forged = forged.header(&name, value);
        }
        let (plain, other) = (client.ask(&question), client.ask(&forged));
        *admitted.entry("by the proxy's headers").or_default() += usize::from(plain.status == 200);
        *admitted.entry("with others beside them").or_default() += usize::from(other.status == 200);
        let same = plain.header("x-auth-user") == other.header("x-auth-user");
        if other.status == 200 && !(plain.status == 200 && same) {
            beyond += 1;
            println!("{number}: {forged:?}");
        }
    }
    println!("{count} subrequests with other families' headers: admitted {admitted:?}, beyond {beyond}");
    assert_eq!(beyond, 0);
    assert!(admitted.values().all(|number| *number > 0), "{admitted:?}");
}
