//! `explain` and `/auth` agree on a corpus of generated requests.

use std::collections::BTreeMap;

use doorward::internals::ExplainedRules;
use serde_json::Value;

use super::PolicySetup;
use crate::support::client::{Answer, Request};
use crate::support::doorward::doorward;
use crate::support::request_corpus::{RULES, Sample, corpus};

/// The number of generated requests.
const COUNT: usize = 12_000;

/// Every n-th request is also explained by the command.
const BY_COMMAND: usize = 40;

/// Returns the four values of a request. Returns `None` if a value has a byte that no proxy and no command line passes
/// on.
fn request_values(sample: &Sample) -> Option<[String; 4]> {
    let (uri, host, content_type) = sample.question();
    let asked = [sample.method.clone(), uri, host, content_type.trim().to_owned()];
    let is_text = |text: &String| {
        !text.contains(|c: char| c.is_control() || c == crate::support::request_corpus::NO_TEXT)
    };
    // Blanks at the ends of a header value are removed.
    asked.iter().all(|text| is_text(text) && text.trim() == text).then_some(asked)
}

fn question(user: &str, [method, uri, host, content_type]: &[String; 4]) -> Request {
    let request = Request::auth()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", host)
        .header("X-Original-Content-Type", format!("ct:{content_type}"))
        .header("X-Auth-Rewrite", "yes")
        .from("127.0.0.1");
    if user == "ann" { request.basic("ann", "a1") } else { request }
}

/// Returns the name of the verdict, and the URI that is sent to the backend instead.
fn said(answer: &Answer) -> (&'static str, Option<String>) {
    let verdict = match answer.status {
        200 => "allow",
        401 => "challenge",
        403 => "forbid",
        _ => panic!("{answer:?}"),
    };
    if verdict == "forbid" {
        let reason = if answer.header("x-auth-error").is_some() { "malformed_reference" } else { "policy" };
        assert_eq!(answer.header("x-auth-reason"), Some(reason), "{answer:?}");
    }
    (verdict, answer.header("x-upstream-uri").map(str::to_owned))
}

fn explained(rules: &ExplainedRules, user: &str, request: &[String; 4]) -> (&'static str, Option<String>) {
    let user = (user != "-").then_some(user);
    match rules.explain(user, request.each_ref().map(String::as_str)) {
        Ok(upstream_uri) => ("allow", upstream_uri),
        Err(None) if user.is_none() => ("challenge", None),
        Err(_) => ("forbid", None),
    }
}

fn by_command(
    rules: &str,
    user: &str,
    [method, uri, host, content_type]: &[String; 4],
) -> (String, Option<String>) {
    let settings = ["explain", "--json", "--policy", rules, "--from", "127.0.0.1", "--host", host];
    let output =
        doorward(&[&settings[..], &["--content-type", content_type, "--", user, method, uri]].concat());
    let told: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.code, Some(i32::from(told["verdict"] != "allow")), "{output:?}");
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    (text("verdict").expect("a verdict"), text("upstream_uri"))
}

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
fn explain_and_auth_agree_on_the_whole_corpus() {
    let setup = PolicySetup::of(RULES, "");
    let explained_rules = ExplainedRules::parse(RULES).unwrap();
    let rules = setup.path("policy.toml").display().to_string();
    let mut client = setup.doorward.client();
    let (mut verdicts, mut rewritten, mut commanded) = (BTreeMap::<&str, usize>::new(), 0, 0);
    for (number, sample) in corpus(COUNT).enumerate() {
        let Some(asked) = request_values(&sample) else { continue };
        let said = said(&client.ask(&question(sample.user, &asked)));
        assert_eq!(said, explained(&explained_rules, sample.user, &asked), "{sample:?}");
        *verdicts.entry(said.0).or_default() += 1;
        rewritten += usize::from(said.1.is_some());
        if number % BY_COMMAND == 0 {
            commanded += 1;
            let told = by_command(&rules, sample.user, &asked);
            assert_eq!((&told.0[..], &told.1), (said.0, &said.1), "{sample:?}");
        }
    }
    println!("{verdicts:?}, {rewritten} rewritten; {commanded} by the command too");
    assert!(verdicts.values().sum::<usize>() > 10_000 && verdicts.values().all(|count| *count > COUNT / 50));
    assert!(verdicts["allow"] > COUNT / 4 && rewritten > 100 && commanded > 200);
    assert_eq!(setup.doorward.metric("doorward_verdicts_total{verdict=\"unavailable\""), 0.0);
}
