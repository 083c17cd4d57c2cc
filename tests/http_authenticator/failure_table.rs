//! Each failure of a service: verdict, log line, time limit.
//!
//! `cargo test --all-features --test it failure_table -- --nocapture` prints the table.

mod content;
mod status;
mod tls;
mod transport;

use std::any::Any;
use std::time::{Duration, Instant};

use super::{HOME, assert_challenged, assert_unavailable, start, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request, basic};

/// What is set in every row: short, so that the table does not take all day.
const CONNECT: Duration = Duration::from_millis(500);
const WHOLE: Duration = Duration::from_secs(2);
const TIMES: &str = "connect_timeout = \"500ms\"\ntimeout = \"2s\"\n";

/// How much later a machine may be that does many other things. With it a row must still end before
/// nginx's own patience does.
const SLACK: Duration = Duration::from_secs(5);

/// proxy_read_timeout, unless it is set.
const NGINX: Duration = Duration::from_secs(10);

const USER: &str = "alice@example.test";
const PASSWORD: &str = "sesame-of-alice";
const KEY: &str = "key-of-the-service-itself";

/// What becomes of the request.
#[derive(Clone, Copy, Debug)]
enum ExpectedVerdict {
    Granted,
    Rejected,
    Unavailable,
}

/// One row of the table.
struct FailureCase {
    fault: &'static str,
    /// What is set besides the name, the credentials and the times.
    settings: String,
    verdict: ExpectedVerdict,
    bound: Duration,
    /// What the log line contains.
    log: &'static str,
    /// What must live as long.
    kept: Box<dyn Any>,
}

impl FailureCase {
    fn new(
        fault: &'static str,
        url: &str,
        verdict: ExpectedVerdict,
        log: &'static str,
        kept: impl Any,
    ) -> Self {
        let settings = format!("url = \"{url}/v1/ask?email={{username}}\"\n");
        Self { fault, settings, verdict, bound: WHOLE, log, kept: Box::new(kept) }
    }

    /// A service that always answers the same.
    fn saying(fault: &'static str, reply: Reply, verdict: ExpectedVerdict, log: &'static str) -> Self {
        let backend = Backend::saying(reply);
        Self::new(fault, &format!("http://{}", backend.address), verdict, log, backend)
    }

    fn set(mut self, lines: &str) -> Self {
        self.settings += lines;
        self
    }

    fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }
}

/// What a row says when the body of the answer is looked at.
const ACTIVE: &str = "accepted_if = { \"/active\" = true }\n";

/// What the log says of the one refusal, and all of the log.
fn line(log: &str) -> String {
    let refused = log.lines().filter(|line| line.contains(" request denied")).collect::<Vec<_>>();
    assert!(refused.len() <= 1, "one request is one line: {log}");
    refused.first().map_or_else(String::new, |line| (*line).to_owned())
}

/// What was seen of one row.
struct ObservedFailure {
    answer: Answer,
    took: Duration,
    /// The log line of the refusal.
    line: String,
    log: String,
}

/// Asks once, in a world of its own.
fn ask(row: &FailureCase) -> ObservedFailure {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, format!("{KEY}\n")).unwrap();
    let settings = format!(
        "[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nheaders = {{ Authorization = \"Basic {{basic}}\", X-Api-Key = \"{{file:{}}}\" }}\n{TIMES}{}",
        key.display(),
        row.settings
    );
    let doorward = start(None, &settings);
    let mut client = doorward.client();
    let begin = Instant::now();
    let answer = client.ask(&Request::auth().basic(USER, PASSWORD).from(HOME));
    let took = begin.elapsed();
    // The log is written by a thread of its own.
    let line = crate::support::eventually("the log says what was refused", || {
        let line = line(&doorward.log());
        (answer.status == 200 || !line.is_empty()).then_some(line)
    });
    ObservedFailure { answer, took, line, log: doorward.log() }
}

/// Looks at everything that a row promises.
fn judge(row: &FailureCase, seen: &ObservedFailure) {
    let ObservedFailure { answer, took, line, log } = seen;
    match row.verdict {
        ExpectedVerdict::Granted => {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("x-auth-user"), Some(USER), "{answer:?}");
        }
        ExpectedVerdict::Rejected => assert_challenged(answer),
        ExpectedVerdict::Unavailable => assert_unavailable(answer),
    }
    assert!(*took < row.bound + SLACK && *took < NGINX, "{took:?}");
    assert!(line.contains(row.log), "wanted {}\n   got {log}", row.log);
    assert_eq!(matches!(row.verdict, ExpectedVerdict::Unavailable), line.contains("ERROR"), "{line}");
    for secret in [PASSWORD, KEY, "email=", &basic(format!("{USER}:{PASSWORD}"))["Basic ".len()..]] {
        assert!(!log.contains(secret), "the log says {secret}: {log}");
    }
}

/// The row as it was seen.
fn shown(row: &FailureCase, seen: &ObservedFailure, good: bool) -> String {
    let detail = seen.line.split_once("detail=\"").map_or("", |(_, rest)| rest);
    let detail = detail.split_once("\" user=").map_or(detail, |(detail, _)| detail);
    format!(
        "| {}{} | {} {:?} | {} ms | {} ms | {} |\n",
        if good { "" } else { "**NOT AS IT SHOULD BE** " },
        row.fault,
        seen.answer.status,
        row.verdict,
        seen.took.as_millis(),
        row.bound.as_millis(),
        detail.replace("\\\"", "\"").replace('|', "\\|")
    )
}

#[test]
fn each_service_failure_gets_its_verdict_log_line_and_time_limit() {
    let rows = [transport::rows(), status::rows(), content::rows(), tls::rows()].into_iter().flatten();
    let mut table = String::from("| fault | verdict | took | bound | log |\n|---|---|---|---|---|\n");
    let mut faults = Vec::new();
    let mut count = 0;
    for row in rows {
        count += 1;
        let seen = ask(&row);
        // Each is tried, so that one run tells everything that is wrong.
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&row, &seen)));
        table += &shown(&row, &seen, judged.is_ok());
        if judged.is_err() {
            faults.push(row.fault);
        }
        drop(row.kept);
    }
    #[expect(clippy::print_stdout, reason = "the table is there to be quoted")]
    {
        println!("{table}");
    }
    assert!(count > 40, "only {count} rows were tried");
    assert!(faults.is_empty(), "not as they should be: {faults:#?}");
}

#[test]
fn redirect_from_the_service_is_never_followed() {
    let elsewhere = Backend::saying(Reply::json("{\"active\": true}"));
    for code in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://{}/ask\r\n", elsewhere.address);
        let backend = Backend::saying(Reply::with(&format!("{code} Elsewhere"), &location, ""));
        let doorward = start(None, &vendor(backend.address, ""));
        assert_unavailable(&doorward.ask(&Request::auth().basic(USER, PASSWORD)));
        assert_eq!(backend.requests(), 1, "{code}");
    }
    assert_eq!(elsewhere.connections(), 0, "nobody showed it the password");
    // The other side of it: asked itself, it admits.
    let doorward = start(None, &vendor(elsewhere.address, ""));
    assert_eq!(doorward.log_in(USER, PASSWORD, HOME), 200);
}
