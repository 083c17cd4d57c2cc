//! One log line for each refusal, and not so many that an attacker fills the disk: a bucket of
//! lines that refills evenly, and a count of those that it did not let through.
//!
//! A request without credentials is how every client opens (docker sends one with each command),
//! so it is noted at debug level only. An allowed one is logged where `log.allowed` asks for it: a
//! line costs more than the whole check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use actix_http::Request;
use actix_web::http::header::{AUTHORIZATION, HeaderName};

use super::Front;
use super::peer::Peer;
use super::subrequest::{
    Headers, X_ORIGINAL_HOST, X_ORIGINAL_METHOD, X_ORIGINAL_URI, X_REAL_IP, X_REQUEST_ID,
};
use crate::clock::{Clock, Moment};
use crate::gate::credentials::{self, Header};
use crate::gate::verdict::{Denied, Refusal, Verdict};
use crate::network::ClientNetwork;

/// How many seconds' worth of lines may come at once.
const BURST: f64 = 10.0;

/// Characters of a client's value that a line shows; escaped, each may become ten bytes.
const SHOWN_MAX: usize = 100;

/// See the top of this file.
#[derive(Debug)]
pub struct RefusalLog {
    per_second: f64,
    bucket: Mutex<Bucket>,
    clock: Clock,
    /// Whether it was said that nginx names no client.
    nameless: AtomicBool,
}

#[derive(Debug)]
struct Bucket {
    lines: f64,
    filled: Moment,
    suppressed: u64,
}

impl RefusalLog {
    /// With a full bucket.
    pub fn new(per_second: u32, clock: Clock) -> Self {
        let per_second = f64::from(per_second);
        let bucket = Bucket { lines: per_second * BURST, filled: clock.now(), suppressed: 0 };
        Self { per_second, bucket: Mutex::new(bucket), clock, nameless: AtomicBool::new(false) }
    }

    /// Takes a line out of the bucket: how many were suppressed since the last one, or `None` if
    /// this one is.
    pub(super) fn take(&self) -> Option<u64> {
        let now = self.clock.now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = now.since(bucket.filled).as_secs_f64() * self.per_second;
        bucket.lines = (bucket.lines + fresh).min(self.per_second * BURST);
        bucket.filled = now;
        if bucket.lines < 1.0 {
            bucket.suppressed += 1;
            return None;
        }
        bucket.lines -= 1.0;
        Some(std::mem::take(&mut bucket.suppressed))
    }

    /// Counts the verdict, and logs it if it is to be logged.
    pub(super) fn note(&self, front: &Front, request: &Request, verdict: &Verdict) {
        self.note_refused(front, Headers::of(front, request), request.conn_data::<Peer>(), None, verdict);
    }

    /// The same, of what else is refused to a client.
    pub(super) fn note_refused(
        &self,
        front: &Front,
        request: Headers<'_>,
        peer: Option<&Peer>,
        seen: Option<Seen<'_>>,
        verdict: &Verdict,
    ) {
        match verdict {
            Verdict::Allow(grant) => {
                front.allowed.inc();
                if front.log_allowed {
                    Line::of(front, request, peer, seen).write(verdict, 0);
                } else if grant.is_stale() {
                    self.write(front, request, peer, seen, verdict);
                }
                return;
            }
            Verdict::Challenge(Refusal::Missing) if !tracing::enabled!(tracing::Level::DEBUG) => {}
            _ => self.write(front, request, peer, seen, verdict),
        }
        self.warn_of_nameless(request, verdict);
        let label = crate::metrics::VerdictLabel { verdict: verdict.name(), reason: verdict.reason() };
        front.metrics.verdicts.get_or_create(&label).inc();
    }
}

impl RefusalLog {
    fn write(
        &self,
        front: &Front,
        request: Headers<'_>,
        peer: Option<&Peer>,
        seen: Option<Seen<'_>>,
        verdict: &Verdict,
    ) {
        match self.take() {
            Some(suppressed) => Line::of(front, request, peer, seen).write(verdict, suppressed),
            None => drop(front.metrics.log_suppressed.inc()),
        }
    }

    /// Says once that nginx asks without naming the client: all clients are then one network, and
    /// the first who guesses throttles them all.
    fn warn_of_nameless(&self, headers: Headers<'_>, verdict: &Verdict) {
        if matches!(verdict, Verdict::Forbid(Denied::Untrusted)) {
            return;
        }
        let named = headers.one(&X_REAL_IP) != Header::Absent;
        let of_nginx = headers.one(&X_ORIGINAL_URI) != Header::Absent;
        if !named && of_nginx && !self.nameless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "nginx sends no X-Real-IP, so all clients count as one network: add proxy_set_header X-Real-IP $remote_addr to the auth location"
            );
        }
    }
}

/// What was asked, where it is not what nginx's headers say.
#[derive(Clone, Copy)]
pub(super) struct Seen<'s> {
    /// By what somebody said who he is.
    pub(super) authorization: Header<'s>,
    /// The method.
    pub(super) method: &'s str,
    /// The path.
    pub(super) path: &'s str,
}

/// What a line says. Values of the client's are cut here, and escaped once, where they are written.
struct Line {
    user: String,
    client: String,
    network: String,
    method: String,
    host: String,
    path: String,
    request_id: String,
}

/// As much of a client's value as a line shows.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(SHOWN_MAX).collect()
}

impl Line {
    fn of(front: &Front, headers: Headers<'_>, peer: Option<&Peer>, seen: Option<Seen<'_>>) -> Self {
        let value = |name: &HeaderName| match headers.one(name) {
            Header::Once(value) => value,
            Header::Absent | Header::Unclear => b"",
        };
        // Of an untrusted peer's headers none is believed; the address is its own.
        let client = match headers.subrequest(peer, false) {
            Ok(subrequest) => subrequest.client().ok().flatten(),
            Err(_) => peer.and_then(|peer| peer.address),
        };
        let (authorization, method, uri) = match seen {
            Some(seen) => (seen.authorization, seen.method.as_bytes(), seen.path.as_bytes()),
            None => (headers.one(&AUTHORIZATION), value(&X_ORIGINAL_METHOD), value(&X_ORIGINAL_URI)),
        };
        let credentials = credentials::read(authorization, true).ok();
        Self {
            user: credentials.map(|c| shown(c.user())).unwrap_or_default(),
            client: client.map(|address| address.to_string()).unwrap_or_default(),
            network: ClientNetwork::of(client, front.prefixes).to_string(),
            method: shown(method),
            host: shown(value(&X_ORIGINAL_HOST)),
            // A query may hold somebody's token.
            path: shown(uri.split(|b| *b == b'?').next().unwrap_or_default()),
            request_id: shown(value(&X_REQUEST_ID)),
        }
    }

    fn write(&self, verdict: &Verdict, suppressed: u64) {
        let (name, reason) = (verdict.name(), verdict.reason());
        let detail = verdict.detail();
        // Left out of the line where there is none.
        let detail = Some(&*detail).filter(|detail| !detail.is_empty());
        let Self { user, client, network, method, host, path, request_id } = self;
        // Of a token the name stands in it, and not in a password.
        let vouched = match verdict {
            Verdict::Allow(grant) => grant.identity().map(|identity| shown(identity.user.as_bytes())),
            _ => None,
        };
        let user = vouched.as_ref().unwrap_or(user);
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    verdict = name,
                    reason,
                    detail,
                    user,
                    client,
                    network,
                    method,
                    host,
                    path,
                    request_id,
                    suppressed,
                    $text
                )
            };
        }
        match verdict {
            Verdict::Allow(grant) if grant.is_stale() => {
                line!(warn, "allowed by its last answer, stale=true")
            }
            Verdict::Allow(_) => line!(info, "allowed"),
            Verdict::Challenge(Refusal::Missing) => line!(debug, "refused"),
            Verdict::Unavailable(_) | Verdict::NoCredentials(_) => line!(error, "refused"),
            _ => line!(warn, "refused"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_refusals_is_cut_and_counted() {
        let clock = Clock::manual();
        let log = RefusalLog::new(2, clock.clone());
        let written = (0..100).filter(|_| log.take().is_some()).count();
        assert_eq!(written, 20);
        clock.advance(Duration::from_secs(1));
        assert_eq!(log.take(), Some(80));
        assert_eq!(log.take(), Some(0));
        assert_eq!(log.take(), None);
    }

    #[test]
    fn a_line_shows_no_line_break_of_the_clients() {
        assert_eq!(format!("{:?}", shown(b"a\nb\x1b[31m")), r#""a\nb\u{1b}[31m""#);
        assert!(shown(&[b'x'; 10_000]).len() <= SHOWN_MAX);
    }
}
