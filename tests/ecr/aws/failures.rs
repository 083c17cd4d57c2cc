//! Failures of AWS and their remedies.

use std::time::{Duration, Instant};

use super::Fetcher;
use super::fake_aws::{assert_token, date, everything, of, refused, refused_by_sts, token};
use crate::support::backend::{Authority, Backend, Reply, server};

const ROLE: &str = "arn:aws:iam::123456789012:role/registry";

/// Returns the error for this response of ECR. Checks that only one request is sent.
fn reported(reply: Reply) -> String {
    let aws = Backend::saying(reply);
    let told = of(&aws, Fetcher::with_key()).fetch();
    assert_eq!(aws.requests(), 1, "{told}");
    told
}

#[track_caller]
fn assert_reported(told: &str, kind: &str, words: &str) {
    assert!(told.starts_with(&format!("{kind}: ")), "{told}");
    assert!(told.contains(words), "{told}");
}

#[test]
fn ecr_refusal_is_reported_with_its_remedy() {
    for (code, words) in [
        ("AccessDeniedException", "allow the IAM action ecr:GetAuthorizationToken"),
        ("UnrecognizedClientException", "the access key does not exist"),
        ("ExpiredTokenException", "the credentials have expired"),
        ("InvalidSignatureException", "the secret key is wrong"),
        ("UnknownOperationException", "check that the endpoint is the ECR API"),
    ] {
        assert_reported(
            &reported(refused(code, 0)),
            "rejected",
            &format!("ECR rejected the call: 400 {code}; "),
        );
        assert_reported(&reported(refused(code, 0)), "rejected", words);
    }
    let redirect = Reply::with("302 Found", "Location: http://127.0.0.1:1/\r\n", "");
    assert_reported(&reported(redirect), "rejected", "ECR rejected the call: 302");
    assert_reported(&reported(Reply::status(403)), "rejected", "ecr:GetAuthorizationToken");
    assert_reported(&reported(Reply::status(500)), "failed", "ECR failed: 500");
    // A registry in place of the API.
    assert_reported(&reported(Reply::status(404)), "rejected", "not the registry (dkr.ecr)");
}

#[test]
fn throttling_is_reported_with_retry_after() {
    assert_reported(&reported(refused("ThrottlingException", 0)), "throttled", "throttles calls: 400");
    let later = |status: &str| Reply::with(status, "Retry-After: 30\r\n", "");
    assert!(reported(later("429 Too Many Requests")).starts_with("throttled (30 s): "));
    assert!(reported(later("503 Service Unavailable")).starts_with("throttled (30 s): "));
}

#[test]
fn unusable_ecr_response_is_an_error_with_the_cause() {
    let large = "a".repeat(64 * 1024 + 1);
    for (reply, words) in [
        (Reply::json(""), "is not JSON"),
        (Reply::with("200 OK", "Content-Type: text/html\r\n", "<html>Sign in</html>"), "is not JSON"),
        (Reply::json("{}"), "authorizationData is missing"),
        (Reply::json(&large), "more than 64 KiB"),
        (Reply::raw(format!("HTTP/1.1 200 OK\r\n\r\n{large}")).close(), "more than 64 KiB"),
    ] {
        assert_reported(&reported(reply), "answer", words);
    }
    let cut = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"authorizationData\"").close();
    assert_reported(&reported(cut), "connect", "the connection broke");
    assert_reported(&reported(Reply::raw("SSH-2.0-OpenSSH\r\n").close()), "connect", "the connection broke");
    assert_reported(&reported(Reply::raw("").close()), "connect", "the connection broke");
}

#[test]
fn slow_ecr_response_times_out() {
    let begun = Instant::now();
    let slow = Reply::json("{}").held();
    assert_reported(&reported(slow), "timeout", "no response within 10s");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(18), "{took:?}");
}

#[test]
fn dripping_ecr_response_times_out() {
    assert_reported(
        &reported(token("x", 0).drip(Duration::from_millis(200))),
        "timeout",
        "no response within 10s",
    );
}

#[test]
fn fetch_with_several_sts_retries_has_a_total_timeout() {
    // STS does not respond. With a web identity, the SDK sends three requests.
    let aws = Backend::saying(Reply::status(500).held());
    let dir = tempfile::tempdir().unwrap();
    let identity = dir.path().join("token");
    std::fs::write(&identity, "a.web.identity").unwrap();
    let fetcher = of(&aws, Fetcher::new())
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", identity.to_str().unwrap());
    let begun = Instant::now();
    let told = fetcher.fetch();
    assert!(
        told.starts_with("timeout: STS: no response within ")
            || told.starts_with("timeout: no token within 20s"),
        "{told}"
    );
    assert!(begun.elapsed() < Duration::from_secs(28));
}

#[test]
fn sts_refusal_is_reported_with_its_remedy() {
    let says = |status: &'static str, code: &'static str| {
        let aws = Backend::start(move |_| refused_by_sts(status, code, 0));
        let told = of(&aws, Fetcher::with_key()).set("role_arn", ROLE).fetch();
        (told, aws.requests())
    };
    let (told, asked) = says("403 Forbidden", "AccessDenied");
    assert_reported(&told, "rejected", "STS rejected the call: 403 AccessDenied; allow sts:AssumeRole");
    assert_eq!(asked, 1);
    assert_reported(
        &says("403 Forbidden", "InvalidClientTokenId").0,
        "rejected",
        "the access key does not exist",
    );
    assert_reported(&says("403 Forbidden", "ExpiredToken").0, "rejected", "have expired");
    let (told, asked) = says("400 Bad Request", "Throttling");
    assert_reported(&told, "throttled", "STS throttles calls");
    assert_eq!(asked, 1);
}

#[test]
fn unreachable_or_unresolvable_endpoint_is_a_connect_error() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fetcher = Fetcher::with_key().set("endpoint", format!("http://{closed}"));
    assert_reported(&fetcher.fetch(), "connect", "cannot connect");
    let fetcher = fetcher.set("endpoint", "http://registry.invalid");
    let told = fetcher.fetch();
    assert_reported(&told, "connect", "ECR: the host name cannot be resolved");
    assert_reported(&told, "connect", "; check the name of the region, and the resolver");
}

#[test]
fn endpoint_with_an_untrusted_certificate_is_a_tls_error() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("theirs");
    let aws = Backend::secure(server(&authority.good()), token("x", 0));
    let fetcher = Fetcher::with_key().set("endpoint", format!("https://{}", aws.address));
    assert_reported(&fetcher.fetch(), "tls", "ECR: TLS: ");
    assert_reported(&fetcher.fetch(), "tls", "AWS_CA_BUNDLE");
    let trusting = fetcher.clone().env("AWS_CA_BUNDLE", authority.file(dir.path()).to_str().unwrap());
    assert_token(&trusting.fetch(), "x");
    let told = fetcher.env("AWS_CA_BUNDLE", "/nonexistent/ca.pem").fetch();
    assert_reported(&told, "tls", "the file of AWS_CA_BUNDLE cannot be read");
}

#[test]
fn proxy_is_used_for_https_only_and_not_for_no_proxy_hosts() {
    let proxy = Backend::start(|heard| {
        assert_eq!(
            (&heard.method[..], &heard.target[..]),
            ("CONNECT", "api.ecr.eu-central-1.amazonaws.com:443")
        );
        Reply::status(403)
    });
    let url = format!("http://{}", proxy.address);
    let fetcher =
        Fetcher::with_key().env("HTTPS_PROXY", &url).env("HTTP_PROXY", &url).env("http_proxy", &url);
    assert_reported(&fetcher.fetch(), "connect", "ECR: cannot connect");
    assert_eq!(proxy.requests(), 1);
    let aws = Backend::start(everything);
    assert_token(&of(&aws, fetcher.clone()).fetch(), "AKIDENV");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let direct = fetcher.env("NO_PROXY", "127.0.0.1").set("endpoint", format!("https://{closed}"));
    assert_reported(&direct.fetch(), "connect", "cannot connect");
    assert_eq!(proxy.requests(), 1);
}

#[test]
fn instance_without_a_role_or_with_refused_metadata_is_a_credentials_error() {
    let fetcher = |aws: &Backend| {
        of(aws, Fetcher::new())
            .without("AWS_EC2_METADATA_DISABLED")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", aws.address))
    };
    let aws = Backend::start(|heard| match &heard.method[..] {
        "PUT" => everything(heard),
        _ => Reply::status(404),
    });
    assert_reported(&fetcher(&aws).fetch(), "credentials", "the instance has no role");
    let aws = Backend::saying(Reply::status(403));
    assert_reported(
        &fetcher(&aws).fetch(),
        "rejected",
        "the instance's metadata service rejected the call: 403",
    );
    let aws = Backend::saying(Reply::with("200 OK", &format!("Date: {}\r\n", date(0)), "not JSON"));
    let container =
        Fetcher::new().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}/", aws.address));
    assert_reported(
        &of(&aws, container).fetch(),
        "credentials",
        "the response of the container's credential service is invalid",
    );
    let aws = Backend::saying(Reply::status(500));
    let container =
        Fetcher::new().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}/", aws.address));
    assert_reported(&of(&aws, container).fetch(), "failed", "the container's credential service failed: 500");
}
