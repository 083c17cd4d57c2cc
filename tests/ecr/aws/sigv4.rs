//! The verifier of AWS signatures that the tests use.
//!
//! Written from the IAM User Guide, "Create a signed AWS API request", without code of the SDK.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::support::backend::ReceivedRequest;

/// HMAC with SHA-256 (RFC 2104), for keys of up to 64 bytes.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad =
        |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ with).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn text<'a>(heard: &'a ReceivedRequest, name: &str) -> &'a str {
    std::str::from_utf8(heard.header(name).unwrap_or_else(|| panic!("no {name}: {heard:?}"))).unwrap()
}

/// Returns the part of the Authorization header that follows `word`.
fn part<'a>(authorization: &'a str, word: &str) -> &'a str {
    let (_, rest) = authorization.split_once(word).unwrap_or_else(|| panic!("no {word}: {authorization}"));
    rest.split(',').next().unwrap().trim()
}

/// Returns the access key that signed the request. Checks that `secret` made the signature, for this region and
/// service, and that every relevant part of the request is signed.
pub(super) fn signer(heard: &ReceivedRequest, secret: &str, region: &str, service: &str) -> String {
    let authorization = text(heard, "authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 "), "{authorization}");
    let (key, scope) = part(authorization, "Credential=").split_once('/').unwrap();
    let date = text(heard, "x-amz-date");
    let day = &date[..8];
    assert_eq!(scope, format!("{day}/{region}/{service}/aws4_request"));

    let names = part(authorization, "SignedHeaders=");
    let signed: Vec<&str> = names.split(';').collect();
    assert!(signed.is_sorted(), "{names}");
    for (name, _) in &heard.headers {
        let must = name == "host" || name == "content-type" || name.starts_with("x-amz-");
        assert!(!must || signed.contains(&name.as_str()), "{name} is not signed");
    }
    let headers: String =
        signed.iter().map(|name| format!("{name}:{}\n", text(heard, name).trim())).collect();
    let (path, query) = heard.target.split_once('?').unwrap_or((&heard.target, ""));
    let body = hex(&Sha256::digest(&heard.body));
    let canonical = format!("{}\n{path}\n{query}\n{headers}\n{names}\n{body}", heard.method);
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));

    let mut signing = format!("AWS4{secret}").into_bytes();
    for word in [day, region, service, "aws4_request"] {
        signing = hmac(&signing, word.as_bytes());
    }
    assert_eq!(part(authorization, "Signature="), hex(&hmac(&signing, to_sign.as_bytes())), "{canonical}");
    key.to_owned()
}

/// The example of the IAM User Guide: the signature of a request to list users, of 2015-08-30.
#[test]
fn sigv4_verifier_accepts_the_example_of_aws() {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let heard = ReceivedRequest {
        method: "GET".into(),
        target: "/?Action=ListUsers&Version=2010-05-08".into(),
        version: "HTTP/1.1".into(),
        headers: vec![
            header("host", "iam.amazonaws.com"),
            header("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            header("x-amz-date", "20150830T123600Z"),
            header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, \
                 Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ],
        body: Vec::new(),
        at: std::time::Instant::now(),
    };
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    assert_eq!(signer(&heard, secret, "us-east-1", "iam"), "AKIDEXAMPLE");
}
