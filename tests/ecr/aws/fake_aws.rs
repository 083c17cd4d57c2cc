//! AWS, as far as it is asked: ECR, STS, an instance's metadata, a container's credentials. All at one
//! address, told apart by what only that service is asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::sigv4::signer;
use super::{Fetcher, SECRET};
use crate::support::backend::{Backend, ReceivedRequest, Reply};

/// The secret of the credentials that STS and the metadata services give.
pub(super) const SESSION_SECRET: &str = "session-SECRET-of-a-role";

/// Which service a request is for.
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

/// A date as HTTP has it, so far from now.
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

/// A token for the one who signed, which ends 12 h from AWS's now, so far from ours.
pub(super) fn token(who: &str, offset: i64) -> Reply {
    let token = BASE64_STANDARD.encode(format!("AWS:for {who}"));
    let expires = seconds(shifted(offset + 12 * 60 * 60));
    let body = format!(
        r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{expires:.3},"proxyEndpoint":"https://r"}}]}}"#
    );
    let headers = format!("Content-Type: application/x-amz-json-1.1\r\nDate: {}\r\n", date(offset));
    Reply::with("200 OK", &headers, &body)
}

/// A refusal as ECR has it.
pub(super) fn refused(code: &str, offset: i64) -> Reply {
    let headers = format!("Content-Type: application/x-amz-json-1.1\r\nDate: {}\r\n", date(offset));
    Reply::with("400 Bad Request", &headers, &format!(r#"{{"__type":"{code}","message":"{SECRET}"}}"#))
}

/// A refusal as STS has it.
pub(super) fn refused_by_sts(status: &str, code: &str, offset: i64) -> Reply {
    let headers = format!("Content-Type: text/xml\r\nDate: {}\r\n", date(offset));
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{SECRET}</Message></Error>");
    Reply::with(status, &headers, &format!("<ErrorResponse>{error}</ErrorResponse>"))
}

/// The session that STS gives, which ends in an hour of its time.
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

/// The credentials that the metadata services give.
pub(super) fn role(key: &str) -> Reply {
    let expires = iso(3600);
    Reply::json(&format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{key}","SecretAccessKey":"{SESSION_SECRET}","Token":"the-session","Expiration":"{expires}","LastUpdated":"2026-01-01T00:00:00Z"}}"#
    ))
}

/// A date as ISO 8601 has it, from the one that HTTP has.
fn iso(offset: i64) -> String {
    let text = date(offset);
    let words: Vec<&str> = text.split(' ').collect();
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = names.iter().position(|name| *name == words[2]).unwrap() + 1;
    format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4])
}

/// The value of a field of the form that STS is sent.
pub(super) fn field(heard: &ReceivedRequest, name: &str) -> Option<String> {
    let (_, value) = heard.form().into_iter().find(|(n, _)| n == name.as_bytes())?;
    Some(String::from_utf8(value).unwrap())
}

/// Whose secret it is.
pub(super) fn secret_of(heard: &ReceivedRequest) -> &'static str {
    if heard.header("x-amz-security-token").is_some() { SESSION_SECRET } else { SECRET }
}

/// All of AWS: each key is known, and each is given what it asks for.
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

/// Somebody whose AWS this is.
pub(super) fn of(aws: &Backend, fetcher: Fetcher) -> Fetcher {
    fetcher.env("AWS_ENDPOINT_URL", format!("http://{}", aws.address))
}

/// That it is a token for this access key, and for the next 12 h.
pub(super) fn assert_token(told: &str, key: &str) {
    let token = BASE64_STANDARD.encode(format!("AWS:for {key}"));
    let rest = told.strip_prefix(&format!("token {token} for ")).unwrap_or_else(|| panic!("{told}"));
    let life: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    assert!((43_190..=43_200).contains(&life), "{told}");
}
