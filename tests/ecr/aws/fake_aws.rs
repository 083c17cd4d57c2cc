//! A fake AWS: ECR, STS, instance metadata and container credentials. All services share one address and are
//! distinguished by the form of the request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::sigv4::signer;
use super::{Fetcher, SECRET};
use crate::support::backend::{Backend, ReceivedRequest, Reply};

/// The secret of the credentials that STS and the metadata services return.
pub(super) const SESSION_SECRET: &str = "session-SECRET-of-a-role";

/// The service that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Ecr,
    Sts,
    Instance,
    Container,
}

pub(super) fn service(heard: &ReceivedRequest) -> Service {
    match (&heard.method[..], heard.header("x-amz-target")) {
        (_, Some(target)) => {
            assert_eq!(target, b"AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
            assert_eq!(heard.header("content-type"), Some(&b"application/x-amz-json-1.1"[..]));
            assert_eq!((&heard.method[..], &heard.body[..]), ("POST", &b"{}"[..]));
            Service::Ecr
        }
        ("POST", None) => Service::Sts,
        _ if heard.target.starts_with("/latest/") => Service::Instance,
        _ => Service::Container,
    }
}

/// Returns an HTTP date that differs from the local time by `offset` seconds.
pub(super) fn date(offset: i64) -> String {
    httpdate::fmt_http_date(shifted(offset))
}

pub(super) fn shifted(offset: i64) -> SystemTime {
    let span = Duration::from_secs(offset.unsigned_abs());
    if offset < 0 { SystemTime::now() - span } else { SystemTime::now() + span }
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Returns a token that contains the signing key id. It expires 12 hours after the time of AWS, which differs from the
/// local time by `offset` seconds.
pub(super) fn token(who: &str, offset: i64) -> Reply {
    let token = BASE64_STANDARD.encode(format!("AWS:for {who}"));
    let expires = seconds(shifted(offset + 12 * 60 * 60));
    let body = format!(
        r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{expires:.3},"proxyEndpoint":"https://r"}}]}}"#
    );
    let headers = format!("Content-Type: application/x-amz-json-1.1\r\nDate: {}\r\n", date(offset));
    Reply::with("200 OK", &headers, &body)
}

/// Returns an error in the format of ECR.
pub(super) fn refused(code: &str, offset: i64) -> Reply {
    let headers = format!("Content-Type: application/x-amz-json-1.1\r\nDate: {}\r\n", date(offset));
    Reply::with("400 Bad Request", &headers, &format!(r#"{{"__type":"{code}","message":"{SECRET}"}}"#))
}

/// Returns an error in the format of STS.
pub(super) fn refused_by_sts(status: &str, code: &str, offset: i64) -> Reply {
    let headers = format!("Content-Type: text/xml\r\nDate: {}\r\n", date(offset));
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{SECRET}</Message></Error>");
    Reply::with(status, &headers, &format!("<ErrorResponse>{error}</ErrorResponse>"))
}

/// Returns a session of STS, which expires after an hour on the clock of STS.
pub(super) fn session(action: &str, key: &str, offset: i64) -> Reply {
    let expires = iso(offset + 3600);
    let body = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{SESSION_SECRET}</SecretAccessKey>\
         <SessionToken>the-session</SessionToken><Expiration>{expires}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>A:d</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/d</Arn>\
         </AssumedRoleUser></{action}Result></{action}Response>"
    );
    Reply::with("200 OK", &format!("Content-Type: text/xml\r\nDate: {}\r\n", date(offset)), &body)
}

/// Returns the credentials of the metadata services.
pub(super) fn role(key: &str) -> Reply {
    let expires = iso(3600);
    Reply::json(&format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{key}","SecretAccessKey":"{SESSION_SECRET}","Token":"the-session","Expiration":"{expires}","LastUpdated":"2026-01-01T00:00:00Z"}}"#
    ))
}

/// Returns the time as ISO 8601, converted from the HTTP date.
fn iso(offset: i64) -> String {
    let text = date(offset);
    let words: Vec<&str> = text.split(' ').collect();
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = names.iter().position(|name| *name == words[2]).unwrap() + 1;
    format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4])
}

/// Returns the value of a field of the form that STS received.
pub(super) fn field(heard: &ReceivedRequest, name: &str) -> Option<String> {
    let (_, value) = heard.form().into_iter().find(|(n, _)| n == name.as_bytes())?;
    Some(String::from_utf8(value).unwrap())
}

/// Returns the secret of the credentials that signed the request.
pub(super) fn secret_of(heard: &ReceivedRequest) -> &'static str {
    if heard.header("x-amz-security-token").is_some() { SESSION_SECRET } else { SECRET }
}

/// Answers requests to every service. Every access key is accepted, and every request succeeds.
pub(super) fn everything(heard: &ReceivedRequest) -> Reply {
    match service(heard) {
        Service::Ecr => token(&signer(heard, secret_of(heard), "eu-central-1", "ecr"), 0),
        Service::Sts => {
            let action = field(heard, "Action").unwrap();
            if action == "AssumeRole" {
                signer(heard, secret_of(heard), "eu-central-1", "sts");
            }
            session(&action, &format!("ASIA{action}"), 0)
        }
        Service::Instance => match (&heard.method[..], &heard.target[..]) {
            ("PUT", "/latest/api/token") => {
                Reply::with("200 OK", "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "imds-token")
            }
            ("GET", target) => {
                assert_eq!(heard.header("x-aws-ec2-metadata-token"), Some(&b"imds-token"[..]), "IMDSv2");
                match target {
                    "/latest/meta-data/placement/region" => Reply::with("200 OK", "", "eu-central-1"),
                    "/latest/meta-data/iam/security-credentials/" => Reply::with("200 OK", "", "the-role"),
                    "/latest/meta-data/iam/security-credentials/the-role" => role("ASIAINSTANCE"),
                    _ => Reply::status(404),
                }
            }
            _ => Reply::status(405),
        },
        Service::Container => role("ASIACONTAINER"),
    }
}

/// Returns `fetcher` with the address of this fake AWS.
pub(super) fn of(aws: &Backend, fetcher: Fetcher) -> Fetcher {
    fetcher.env("AWS_ENDPOINT_URL", format!("http://{}", aws.address))
}

/// Checks that a token for this access key was fetched, with a lifetime of 12 hours.
pub(super) fn assert_token(told: &str, key: &str) {
    let token = BASE64_STANDARD.encode(format!("AWS:for {key}"));
    let rest = told.strip_prefix(&format!("token {token} for ")).unwrap_or_else(|| panic!("{told}"));
    let life: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    assert!((43_190..=43_200).contains(&life), "{told}");
}
