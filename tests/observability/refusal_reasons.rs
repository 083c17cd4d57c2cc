//! Every refusal reason has a log line with user, cause and client.

use std::fs;

use doorward::internals::Reason;
use tempfile::TempDir;

use crate::support::client::{Client, Request};
use crate::support::doorward::{Doorward, doorward};
use crate::support::{eventually, users};
use crate::token::bearer::{BEARER, MANIFEST, question, show};
use crate::token::{POLICY, get, post, token};

/// Client address in the log line of every case.
const CLIENT: &str = "client=\"192.0.2.1\"";

/// A refused request and the expected words of its log line.
struct Case {
    doorward: Doorward,
    request: Request,
    status: u16,
    says: Vec<&'static str>,
    /// Connections that must stay open during the request.
    _held: Vec<Client>,
}

/// Starts doorward with token issuing, alice and bob, these settings and these files; `{dir}` in the settings
/// is their folder.
fn place(users: &str, settings: &str, flags: &[&str]) -> Doorward {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let files =
        [("policy.toml", POLICY), ("secret", "0123456789abcdef0123456789abcdef"), ("upstream", "s3cret")];
    for (name, text) in files {
        fs::write(at(name), text).unwrap();
    }
    fs::write(at("keys"), "").unwrap();
    if !users.is_empty() {
        fs::write(at("htpasswd"), users).unwrap();
    }
    let made = doorward(&[
        "signing-key",
        "init",
        "--signing-keys",
        &at("keys.pem"),
        "--service",
        crate::token::SERVICE,
    ]);
    assert_eq!(made.code, Some(0), "{made:?}");
    fs::write(at("doorward.toml"), settings.replace("{dir}", dir.path().to_str().unwrap())).unwrap();
    let (config, policy, signing, keys) =
        (at("doorward.toml"), at("policy.toml"), at("keys.pem"), at("keys"));
    let own =
        ["--config", &config, "--policy", &policy, "--token-signing-keys", &signing, "--api-keys", &keys];
    let names = ["--token-service", crate::token::SERVICE, "--token-realm", crate::token::REALM];
    Doorward::start_in(dir, &[&own[..], &names, flags].concat())
}

fn plain() -> Doorward {
    place(&users::two(), "", &BEARER)
}

/// Returns a request to `/auth` and one to `/token` with these credentials.
fn both(authorization: &str) -> [Request; 2] {
    let with = |request: Request| request.header("Authorization", authorization);
    [with(question("GET", MANIFEST)), with(get("service=registry.test"))]
}

fn basic(pair: &str) -> String {
    crate::support::client::basic(pair)
}

fn cases(
    requests: impl IntoIterator<Item = (Request, u16)>,
    start: impl Fn() -> Doorward,
    says: &[&'static str],
) -> Vec<Case> {
    let case = |(request, status)| Case {
        doorward: start(),
        request,
        status,
        says: says.to_vec(),
        _held: Vec::new(),
    };
    requests.into_iter().map(case).collect()
}

/// Returns the cases of `/auth` and `/token` with these credentials, each with its status.
fn at_both(
    authorization: &str,
    statuses: [u16; 2],
    start: impl Fn() -> Doorward,
    says: &[&'static str],
) -> Vec<Case> {
    cases(both(authorization).into_iter().zip(statuses), start, says)
}

/// Returns every way in which a request is refused for this reason.
fn refusals(reason: Reason) -> Vec<Case> {
    match reason {
        // Not a refusal.
        Reason::Allowed => Vec::new(),
        Reason::NoCredentials => {
            let start = || place(&users::two(), "", &[&BEARER[..], &["--log-level", "debug"]].concat());
            at_both("", [401, 401], start, &["DEBUG", "user=\"\""])
        }
        Reason::MalformedCredentials => {
            let empty = ["detail=\"the password is empty\"", "user=\"alice\""];
            let mut all = at_both(&basic("alice:"), [401, 401], plain, &empty);
            let long = format!("Basic {}", "x".repeat(17 << 10));
            let limit = ["detail=\"the Authorization header is longer than limits.max_header_bytes\""];
            all.extend(at_both(&long, [401, 401], plain, &limit));
            all
        }
        Reason::UnsupportedScheme => at_both("Digest x", [401, 401], plain, &["user=\"\""]),
        Reason::WrongCredentials => {
            let mut all = at_both(&basic("alice:wrong"), [401, 401], plain, &["user=\"alice\""]);
            let long = basic(&format!("nobody:{}", "x".repeat(1025)));
            let limit = ["detail=\"the password is longer than 1024 bytes", "user=\"nobody\""];
            all.extend(at_both(&long, [401, 401], plain, &limit));
            all
        }
        Reason::InvalidApiKey => at_both(
            &basic("alice:dwk_cut"),
            [401, 401],
            plain,
            &["detail=\"malformed API key", "user=\"alice\""],
        ),
        Reason::InvalidToken => {
            let says = ["detail=\"it does not have the form of a token\""];
            cases([(both("Bearer opaque")[0].clone(), 401)], plain, &says)
        }
        Reason::InsufficientScope => by_token(
            "GET",
            "/v2/team/lib/manifests/v1",
            401,
            "detail=\"repository:team/lib:pull is not in the token\"",
        ),
        Reason::Policy => {
            let says = ["detail=\"repository:team/app:push is not granted\"", "user=\"bob\""];
            let mut all = cases([(question("PUT", MANIFEST).basic("bob", "builder"), 403)], plain, &says);
            all.extend(by_token("PUT", MANIFEST, 403, "detail=\"repository:team/app:push was not granted"));
            all
        }
        Reason::MalformedReference => {
            let request = question("GET", "/v2/team/app/manifests/.invalid").basic("alice", "wonderland");
            cases([(request, 403)], plain, &["detail=\"the tag", "user=\"alice\""])
        }
        Reason::InvalidProxyHeaders => {
            let says = ["detail=\"X-Forwarded-Uri belongs to another kind of proxy"];
            let requests =
                both(&basic("alice:wonderland")).map(|request| (request.header("X-Forwarded-Uri", "/"), 403));
            cases(requests, plain, &says)
        }
        Reason::ProxySecret => {
            let table = "proxy_secret_file = \"{dir}/secret\"\n[[upstream]]\ntype = \"bearer\"\ntoken_file = \"{dir}/upstream\"\n";
            let says = ["must send the secret of proxy_secret_file"];
            // At /token no upstream credentials are given, and so no secret is required.
            let requests = [(question("GET", MANIFEST).basic("alice", "wonderland"), 403)];
            let mut all = cases(requests, || place(&users::two(), table, &BEARER), &says);
            // The headers of such a peer are ignored.
            all.iter_mut().for_each(|case| case.says.push("client=\"127.0.0.1\""));
            all
        }
        Reason::Throttled => {
            let start = || {
                let doorward =
                    place(&users::two(), "", &[&BEARER[..], &["--throttle-user-failures", "1"]].concat());
                assert_eq!(doorward.log_in("alice", "guess", "192.0.2.1"), 401);
                doorward
            };
            at_both(&basic("alice:wrong"), [403, 429], start, &["user=\"alice\""])
        }
        Reason::Busy => busy(),
        Reason::AuthenticatorUnavailable => {
            let table = "[[authenticator]]\ntype = \"http\"\nname = \"crm\"\nurl = \"http://127.0.0.1:9/\"\nheaders = { Authorization = \"Basic {basic}\" }\n[[authenticator]]\ntype = \"api_keys\"\n";
            let says = ["ERROR", "detail=\"authenticator crm", "user=\"carol\""];
            at_both(&basic("carol:sings"), [503, 503], || place("", table, &BEARER), &says)
        }
        // Signing fails only if the system returns no random numbers, which a test cannot cause.
        Reason::TokenSigning => Vec::new(),
        Reason::UpstreamCredentials => upstream(),
        Reason::TokenRequest => {
            let other = (get("service=other.test").basic("alice", "wonderland"), 400);
            let mut all = cases([other], plain, &["detail=\"service is not the registry", "path=\"/token\""]);
            let account = (get("service=registry.test&account=bob").basic("alice", "wonderland"), 400);
            all.extend(cases(
                [account],
                plain,
                &["detail=\"account differs from the user", "user=\"alice\""],
            ));
            let secret = (get("service=registry.test&password=wonderland"), 400);
            all.extend(cases([secret], plain, &["detail=\"credentials do not belong in the URL"]));
            all
        }
        Reason::RefreshToken => {
            let form = post("grant_type=refresh_token&service=registry.test&refresh_token=s3cret");
            cases([(form, 404)], plain, &["detail=\"refresh tokens are not supported", "path=\"/token\""])
        }
    }
}

/// Returns the cases of a request with a token of bob. The token was requested for more actions on team/app
/// than bob is permitted.
fn by_token(method: &str, uri: &str, status: u16, says: &'static str) -> Vec<Case> {
    let doorward = plain();
    let query = "service=registry.test&scope=repository:team/app:pull,push";
    let token = token(&doorward, &get(query).basic("bob", "builder"));
    assert_eq!(show(&doorward, &token, "GET", MANIFEST).status, 200);
    let request = question(method, uri).header("Authorization", format!("Bearer {token}"));
    vec![Case { doorward, request, status, says: vec![says, "user=\"bob\""], _held: Vec::new() }]
}

/// Number of checks that are queued before the last one.
const BEFORE: usize = 6;

/// Returns the cases of a busy service: one hash thread, one check per user and network, and slow checks.
fn busy() -> Vec<Case> {
    let file = users::line("alice", "wonderland", users::SLOW);
    let flags = ["--hash-threads", "1", "--hash-per-user-limit", "1", "--hash-wait-timeout", "60s"];
    let case = |(request, status)| {
        let doorward = place(&file, "", &[&BEARER[..], &flags].concat());
        // The last check waits behind the checks of other users.
        let others = (0..BEFORE).map(|number| format!("other{number}"));
        let held = others.chain(["alice".to_owned()]).map(|user| {
            let mut client = doorward.client();
            client.send(&question("GET", MANIFEST).basic(&user, "guess").bytes()).unwrap();
            client
        });
        let held = held.collect();
        eventually("the guesses wait for their checks", || {
            (doorward.metric("doorward_hash_queue_length") as usize >= BEFORE).then_some(())
        });
        Case { doorward, request, status, says: vec!["user=\"alice\""], _held: held }
    };
    both(&basic("alice:other")).into_iter().zip([403, 429]).map(case).collect()
}

/// Returns the cases of an ECR upstream whose token cannot be fetched.
fn upstream() -> Vec<Case> {
    if !cfg!(feature = "ecr") {
        return Vec::new();
    }
    let table = "proxy_secret_file = \"{dir}/secret\"\n[[upstream]]\nname = \"ecr\"\ntype = \"ecr\"\nregion = \"eu-central-1\"\nendpoint = \"http://127.0.0.1:9\"\n";
    let request = question("GET", MANIFEST)
        .basic("alice", "wonderland")
        .header("X-Auth-Proxy-Secret", "0123456789abcdef0123456789abcdef");
    cases(
        [(request, 503)],
        || place(&users::two(), table, &BEARER),
        &["ERROR", "user=\"alice\"", "detail=\""],
    )
}

#[test]
fn every_refusal_reason_is_logged_with_user_cause_and_client_field_d1_c1() {
    let mut count = 0;
    for reason in Reason::ALL {
        for Case { doorward, request, status, says, _held } in refusals(*reason) {
            let answer = doorward.ask(&request);
            assert_eq!(answer.status, status, "{reason:?}: {answer:?}\n{}", doorward.log());
            let client = if says.iter().any(|part| part.starts_with("client=")) { "" } else { CLIENT };
            let cause = format!("verdict=\"{}\" reason=\"{}\"", reason.verdict_name(), reason.name());
            let line = eventually(&format!("{reason:?} is logged: {cause} {says:?}"), || {
                let log = doorward.log();
                let is_it = |line: &&str| line.contains(&cause) && line.contains(client);
                log.lines().rfind(is_it).map(str::to_owned)
            });
            for part in &says {
                assert!(line.contains(part), "{reason:?}: {part} is not in {line}");
            }
            let log = doorward.log();
            for secret in ["wonderland", "builder", "s3cret", "sings", "0123456789abcdef"] {
                assert!(!log.contains(secret), "{reason:?}: {log}");
            }
            count += 1;
        }
    }
    assert!(count >= 25, "{count} refusals");
}

#[test]
fn untrusted_peer_is_logged_by_its_address_at_both_listeners() {
    let flags = ["--trusted-peers", "192.0.2.1", "--public-trusted-peers", "192.0.2.1"];
    let doorward = place(&users::two(), "", &[&BEARER[..], &flags].concat());
    for (address, request, listener) in [
        (&doorward.address, question("GET", MANIFEST), "auth"),
        (&doorward.public, get("service=registry.test"), "public"),
    ] {
        let client = Client::connect(address, crate::support::client::OF_DOORWARD);
        assert!(client.unwrap().try_ask(&request).is_err());
        eventually("it is logged", || {
            let log = doorward.log();
            let is_it = |line: &str| {
                line.contains("connection of an untrusted peer closed")
                    && line.contains(&format!("listener=\"{listener}\""))
                    && line.contains("127.0.0.1")
            };
            log.lines().any(is_it).then_some(())
        });
    }
}
