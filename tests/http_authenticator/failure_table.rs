//! Each failure of a service: verdict, log line and time limit.
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

/// Timeouts of every row. They are short, so that the table does not take long.
const CONNECT: Duration = Duration::from_millis(500);
const WHOLE: Duration = Duration::from_secs(2);
const TIMES: &str = "connect_timeout = \"500ms\"\ntimeout = \"2s\"\n";

/// Additional time on a busy machine. Even with it, a row must end before the timeout of nginx.
const SLACK: Duration = Duration::from_secs(5);

/// The default of proxy_read_timeout.
const NGINX: Duration = Duration::from_secs(10);

const USER: &str = "alice@example.test";
const PASSWORD: &str = "sesame-of-alice";
const KEY: &str = "key-of-the-service-itself";

/// Expected verdict for the request.
#[derive(Clone, Copy, Debug)]
enum ExpectedVerdict {
    Granted,
    Rejected,
    Unavailable,
}

/// A row of the table.
struct FailureCase {
    failure: &'static str,
    /// Settings besides the name, the credentials and the timeouts.
    settings: String,
    verdict: ExpectedVerdict,
    bound: Duration,
    /// Text that the log line must contain.
    log: &'static str,
    /// Values that must live as long as the row, such as the service.
    kept: Box<dyn Any>,
}

impl FailureCase {
    fn new(
        failure: &'static str,
        url: &str,
        verdict: ExpectedVerdict,
        log: &'static str,
        kept: impl Any,
    ) -> Self {
        let settings = format!("url = \"{url}/v1/ask?email={{username}}\"\n");
        Self { failure, settings, verdict, bound: WHOLE, log, kept: Box::new(kept) }
    }

    /// A row with a service that always sends the same response.
    fn saying(failure: &'static str, reply: Reply, verdict: ExpectedVerdict, log: &'static str) -> Self {
        let backend = Backend::saying(reply);
        Self::new(failure, &format!("http://{}", backend.address), verdict, log, backend)
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

/// Setting of the rows that check the body of the response.
const ACTIVE: &str = "accepted_if = { \"/active\" = true }\n";

/// Returns the log line of the refusal, or an empty string. Fails if there is more than one.
fn line(log: &str) -> String {
    let refused = log.lines().filter(|line| line.contains(" request denied")).collect::<Vec<_>>();
    assert!(refused.len() <= 1, "one request is one line: {log}");
    refused.first().map_or_else(String::new, |line| (*line).to_owned())
}

/// Result of one row.
struct ObservedFailure {
    answer: Answer,
    took: Duration,
    /// Log line of the refusal.
    line: String,
    log: String,
}

/// Sends one request to a new doorward process.
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
    // Another thread writes the log.
    let line = crate::support::eventually("the log says what was refused", || {
        let line = line(&doorward.log());
        (answer.status == 200 || !line.is_empty()).then_some(line)
    });
    ObservedFailure { answer, took, line, log: doorward.log() }
}

/// Checks every expectation of a row.
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

/// Returns the result as a row of the printed table.
fn shown(row: &FailureCase, seen: &ObservedFailure, good: bool) -> String {
    let detail = seen.line.split_once("detail=\"").map_or("", |(_, rest)| rest);
    let detail = detail.split_once("\" user=").map_or(detail, |(detail, _)| detail);
    format!(
        "| {}{} | {} {:?} | {} ms | {} ms | {} |\n",
        if good { "" } else { "**NOT AS IT SHOULD BE** " },
        row.failure,
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
    let mut failed = Vec::new();
    let mut count = 0;
    for row in rows {
        count += 1;
        let seen = ask(&row);
        // Each row runs, so that one run reports every failed row.
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&row, &seen)));
        table += &shown(&row, &seen, judged.is_ok());
        if judged.is_err() {
            failed.push(row.failure);
        }
        drop(row.kept);
    }
    #[expect(clippy::print_stdout, reason = "the table is there to be quoted")]
    {
        println!("{table}");
    }
    assert!(count > 40, "only {count} rows were tried");
    assert!(failed.is_empty(), "not as they should be: {failed:#?}");
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
    // Control: if the other service is configured directly, it accepts the user.
    let doorward = start(None, &vendor(elsewhere.address, ""));
    assert_eq!(doorward.log_in(USER, PASSWORD, HOME), 200);
}
