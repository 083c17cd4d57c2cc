//! Requests while AWS fails.

use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::api::{Api, Call, Reply};
use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::eventually;
use crate::upstream::{assert_refused, assert_upstream_credentials, of_alice, question, start};

/// The lifetime of a token of ECR, in seconds.
const LIFE: i64 = 12 * 3600;

const ENVIRONMENT: &str = "AWS_ACCESS_KEY_ID=AKIDEXAMPLE
AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
AWS_EC2_METADATA_DISABLED=true
";

fn token(password: &str) -> String {
    BASE64_STANDARD.encode(format!("AWS:{password}"))
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Returns a response of AWS with this token and this remaining lifetime in seconds.
fn gives(token: &str, life: i64) -> Reply {
    let data = serde_json::json!([{
        "authorizationToken": token,
        "expiresAt": now() + life,
        "proxyEndpoint": "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    }]);
    Reply::json(serde_json::json!({ "authorizationData": data }))
}

fn says(status: u16, code: &str) -> Reply {
    let body = serde_json::json!({ "__type": code, "message": "s3cret-message" }).to_string();
    Reply::Say(status, vec![("Content-Type".into(), "application/x-amz-json-1.1".into())], body.into())
}

/// A fake AWS that sends the configured reply.
struct Aws {
    api: Api,
    reply: Arc<Mutex<Reply>>,
}

impl Aws {
    fn start(reply: Reply) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let said = Arc::clone(&reply);
        let api = Api::start(move |call| {
            is_signed(call);
            said.lock().unwrap().clone()
        });
        Self { api, reply }
    }

    fn say(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Starts doorward with a registry of this account at two hosts. Other hosts have no upstream credentials.
    fn doorward(&self) -> Doorward {
        let table = |host: &str| {
            let url = self.api.url();
            format!(
                "[[upstream]]\nname = \"{}\"\nhosts = [\"{host}\"]\ntype = \"ecr\"\nregion = \"eu-central-1\"\nendpoint = \"{url}\"\n",
                host.replace('.', "-")
            )
        };
        let settings = format!("{}{}", table("registry.test"), table("second.test"));
        start(&settings, &[("environment", ENVIRONMENT)], &["--log-level", "debug"])
    }
}

/// Checks that a call has the form that AWS requires. The signature itself is not verified.
fn is_signed(call: &Call) {
    assert_eq!(call.method, "POST");
    assert_eq!(call.header("x-amz-target"), "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
    let authorization = call.header("authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/ecr/aws4_request"), "{authorization}");
}

/// Returns invalid responses of AWS, each with a part of the expected error.
fn invalid_responses() -> Vec<(&'static str, Reply, &'static str)> {
    let data = |text: &str| Reply::json(format!("{{\"authorizationData\":{text}}}"));
    vec![
        ("refuses: AccessDeniedException", says(400, "AccessDeniedException"), "ecr:GetAuthorizationToken"),
        ("refuses: UnrecognizedClientException", says(400, "UnrecognizedClientException"), "Unrecognized"),
        ("refuses: ExpiredTokenException", says(400, "ExpiredTokenException"), "ExpiredToken"),
        ("throttles", says(400, "ThrottlingException"), "ECR throttles calls"),
        ("throttles with 429", Reply::status(429).with("Retry-After", 1), "ECR throttles calls"),
        ("fails with 500", says(500, "InternalFailure"), "ECR failed: 500"),
        ("redirects", Reply::status(302).with("Location", "http://192.0.2.1/"), "302"),
        ("breaks off", Reply::Break, "ECR:"),
        ("speaks no HTTP", Reply::Raw(b"220 mail ready\r\n".to_vec()), "ECR:"),
        ("answers with a page", Reply::Say(200, vec![], b"<html>".to_vec()), "not JSON"),
        ("answers with half of it", Reply::json("{\"authorizationData\":[{"), "not JSON"),
        ("gives nothing", data("[]"), "authorizationData"),
        ("gives no token", data("[{\"expiresAt\":4e9}]"), "authorizationToken"),
        ("gives a malformed token", gives("not base64", LIFE), "base64"),
        ("gives another user's", gives("cm9vdDpzM2NyZXQ=", LIFE), "base64 of AWS:"),
        ("gives a token of 17 KiB", gives(&token(&"s3cret".repeat(2200)), LIFE), "more than"),
        ("gives one that has expired", gives(&token("s3cret"), -60), "expired"),
        ("gives one that expires at once", gives(&token("s3cret"), 5), "expired"),
        ("says no end", data("[{\"authorizationToken\":\"QVdTOng=\"}]"), "expiresAt"),
        (
            "says an end that is none",
            data("[{\"authorizationToken\":\"QVdTOng=\",\"expiresAt\":\"x\"}]"),
            "expiresAt",
        ),
        ("answers with 10 MiB", Reply::Say(200, vec![], vec![b' '; 10 << 20]), "KiB"),
    ]
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is there to be quoted")]
fn each_aws_failure_is_answered_503_with_its_cause() {
    let good = format!("Basic {}", token("good"));
    for (name, reply, told) in invalid_responses() {
        let aws = Aws::start(reply);
        let doorward = aws.doorward();
        let before = Instant::now();
        let answer = doorward.ask(&of_alice("GET", "/v2/"));
        let took = before.elapsed();
        assert_refused(&answer, 503, "upstream_credentials", "s3cret");
        let ready = doorward.ready();
        assert_eq!(ready.status, 503, "{name}");
        assert!(ready.text().contains(told), "{name}: {}", ready.text());
        aws.say(gives(&token("good"), LIFE));
        eventually(name, || {
            let answer = doorward.ask(&of_alice("GET", "/v2/"));
            (answer.header(crate::upstream::HEADER) == Some(&good)).then_some(())
        });
        assert!(doorward.ready().text().starts_with("ready\n"), "{name}");
        let log = eventually("it is logged", || Some(doorward.log()).filter(|log| log.contains(told)));
        assert!(!log.contains("s3cret") && !log.contains(&good[6..]), "{name}: {log}");
        assert!(!log.contains("AKIDEXAMPLE") && !log.contains("wJalr"), "{name}: {log}");
        println!("{name:40} 503 upstream in {} ms; {}", took.as_millis(), ready.text().trim());
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is there to be quoted")]
fn hanging_or_unreachable_aws_delays_neither_start_nor_requests() {
    for gone in [false, true] {
        let mut aws = Aws::start(Reply::Hang);
        if gone {
            aws.api.go();
        }
        let doorward = aws.doorward();
        let before = Instant::now();
        assert_refused(&doorward.ask(&of_alice("GET", "/v2/")), 503, "upstream_credentials", "AKID");
        println!("gone: {gone}: 503 upstream in {} ms", before.elapsed().as_millis());
        aws.say(gives(&token("good"), LIFE));
        if gone {
            aws.api.come();
        }
        eventually("it is back", || (doorward.ask(&of_alice("GET", "/v2/")).status == 200).then_some(()));
    }
}

#[test]
fn token_over_12_kb_is_passed_on_unchanged() {
    let long = token(&"x".repeat(9200));
    assert!(long.len() > 12_000);
    let aws = Aws::start(gives(&long, LIFE));
    let doorward = aws.doorward();
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", "/v2/")), Some(&format!("Basic {long}")));
}

#[test]
fn token_lifetime_follows_the_clock_of_aws() {
    // The lifetime is computed with the `Date` header of the response.
    let date = httpdate(3 * 86_400);
    let aws = Aws::start(gives(&token("good"), 3 * 86_400 + LIFE).with("Date", date));
    let doorward = aws.doorward();
    assert_upstream_credentials(
        &doorward.ask(&of_alice("GET", "/v2/")),
        Some(&format!("Basic {}", token("good"))),
    );
    let ready = doorward.ready().text();
    assert!(ready.contains("valid for 11h") || ready.contains("valid for 12h"), "{ready}");
}

/// Returns an HTTP date that is `seconds` from now.
fn httpdate(seconds: i64) -> String {
    let at = format!("@{}", now() + seconds);
    let mut date = std::process::Command::new("date");
    date.args(["-u", "-d", &at, "+%a, %d %b %Y %H:%M:%S GMT"]).env("LC_ALL", "C");
    String::from_utf8(date.output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn hosts_of_one_account_share_a_token_and_other_hosts_get_none() {
    let aws = Aws::start(gives(&token("good"), LIFE));
    let doorward = aws.doorward();
    let good = format!("Basic {}", token("good"));
    let at = |host: &str| {
        let request = crate::upstream::bare()
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", "/v2/")
            .header("X-Original-Host", host)
            .header("X-Original-Content-Type", "ct:")
            .basic("alice", "wonderland");
        doorward.ask(&request)
    };
    assert_upstream_credentials(&at("registry.test"), Some(&good));
    assert_upstream_credentials(&at("second.test"), Some(&good));
    assert_upstream_credentials(&at("third.test"), Some(""));
    assert_eq!(doorward.ask(&question("GET", "/v2/")).status, 401);
    assert_eq!(aws.api.count(), 1);
}

#[test]
fn token_refused_by_ecr_is_fetched_again() {
    let aws = Aws::start(gives(&token("good"), LIFE));
    let doorward = aws.doorward();
    assert_upstream_credentials(
        &doorward.ask(&of_alice("GET", "/v2/")),
        Some(&format!("Basic {}", token("good"))),
    );
    aws.say(gives(&token("new"), LIFE));
    let said = Request::get("/auth/refused")
        .header(crate::upstream::SECRET_HEADER, crate::upstream::SECRET)
        .header("X-Original-Method", "GET")
        .header("X-Original-URI", "/v2/")
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .header("X-Upstream-Status", "403");
    assert_eq!(doorward.ask(&said).status, 503);
    let new = format!("Basic {}", token("new"));
    eventually("the new one is there", || {
        (doorward.ask(&of_alice("GET", "/v2/")).header(crate::upstream::HEADER) == Some(&new)).then_some(())
    });
    assert_eq!(aws.api.count(), 2);
}

#[test]
fn token_age_is_in_readyz_and_metrics() {
    let aws = Aws::start(gives(&token("good"), LIFE));
    let doorward = aws.doorward();
    let told = doorward.ready().text();
    assert!(told.contains("upstream registry-test: the token is 0s old") || told.contains("s old"), "{told}");
    assert!(doorward.metric("doorward_upstream_token_remaining_seconds") > 11.9 * 3600.0);
    assert!(doorward.metric("doorward_upstream_token_age_seconds") < 60.0);
    assert_eq!(doorward.metric("doorward_upstream_token_fetches_total"), 1.0);
}
