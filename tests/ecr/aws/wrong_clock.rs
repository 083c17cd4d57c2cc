//! A clock that differs from that of AWS.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake_aws::{
    Service, assert_token, date, of, refused, refused_by_sts, secret_of, service, session, shifted, token,
};
use super::sigv4::signer;
use super::{Fetcher, SECRET};
use crate::support::backend::{Backend, ReceivedRequest, Reply};

const DAY: i64 = 24 * 60 * 60;

/// Whether the request is signed for AWS's time, so far from ours: within the 5 min that AWS takes.
fn is_timely(heard: &ReceivedRequest, offset: i64) -> bool {
    let signed = std::str::from_utf8(heard.header("x-amz-date").unwrap()).unwrap();
    let at = |minutes: i64| {
        let words = httpdate::fmt_http_date(shifted(offset + minutes * 60));
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = names.iter().position(|name| *name == words[2]).unwrap() + 1;
        format!("{}{month:02}{}T{}Z", words[3], words[1], words[4].replace(':', ""))
    };
    signed >= &at(-5)[..] && signed <= &at(5)[..]
}

/// ECR and STS with a clock so far from ours.
fn at(offset: i64) -> Backend {
    Backend::start(move |heard| match (service(heard), is_timely(heard, offset)) {
        (Service::Ecr, false) => refused("InvalidSignatureException", offset),
        (Service::Ecr, true) => token(&signer(heard, secret_of(heard), "eu-central-1", "ecr"), offset),
        (_, false) => refused_by_sts("403 Forbidden", "SignatureDoesNotMatch", offset),
        (_, true) => session("AssumeRole", "ASIAROLE", offset),
    })
}

#[test]
fn wrong_clock_costs_one_extra_call_once() {
    for offset in [DAY, -DAY, 3600, -600] {
        let aws = at(offset);
        let told = of(&aws, Fetcher::with_key()).fetch_times(3);
        told.iter().for_each(|told| assert_token(told, "AKIDENV"));
        assert_eq!(aws.requests(), 4, "{offset}");
    }
}

#[test]
fn wrong_clock_is_corrected_for_sts() {
    let aws = at(-DAY);
    let role = "arn:aws:iam::123456789012:role/registry";
    let told = of(&aws, Fetcher::with_key()).set("role_arn", role).fetch_times(2);
    for told in &told {
        assert_token(told, "ASIAROLE");
        let left: u64 = told.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((3590..=3600).contains(&left), "{told}");
    }
    assert_eq!(aws.requests(), 5);
}

#[test]
fn clock_offset_under_the_skew_limit_costs_no_extra_call() {
    let aws = at(-50);
    assert_token(&of(&aws, Fetcher::with_key()).fetch(), "AKIDENV");
    assert_eq!(aws.requests(), 1);
}

#[test]
fn persistent_signature_refusal_is_retried_once_only_with_clock_skew() {
    for (offset, calls) in [(DAY, 2), (0, 1)] {
        let aws = Backend::start(move |_| refused("InvalidSignatureException", offset));
        let told = of(&aws, Fetcher::with_key()).fetch();
        assert!(told.contains("the secret key is wrong, or the clock of this machine is"), "{told}");
        assert_eq!(aws.requests(), calls);
    }
}

#[test]
fn clock_correction_ends_when_the_clocks_agree_again() {
    // The first token takes two calls; then AWS's clock is what ours is.
    let calls = AtomicUsize::new(0);
    let aws = Backend::start(move |heard| {
        let offset = if calls.fetch_add(1, Ordering::Relaxed) < 2 { DAY } else { 0 };
        if is_timely(heard, offset) {
            token(&signer(heard, SECRET, "eu-central-1", "ecr"), offset)
        } else {
            refused("RequestTimeTooSkewed", offset)
        }
    });
    let told = of(&aws, Fetcher::with_key()).fetch_times(2);
    told.iter().for_each(|told| assert_token(told, "AKIDENV"));
    assert_eq!(aws.requests(), 4);
}

#[test]
fn response_without_a_date_uses_the_local_clock() {
    let body = r#"{"authorizationData":[{"authorizationToken":"QVdTOmE=","expiresAt":EXPIRES}]}"#;
    let expires = super::fake_aws::seconds(shifted(600));
    let body = body.replace("EXPIRES", &expires.to_string());
    let aws = Backend::saying(Reply::json(&body));
    let told = of(&aws, Fetcher::with_key()).fetch();
    let life: u64 = told.split(' ').nth(3).unwrap().parse().unwrap();
    assert!((590..=600).contains(&life), "{told}");
    // With one it is AWS's: by that the token has ended.
    let aws = Backend::saying(Reply::with("200 OK", &format!("Date: {}\r\n", date(601)), &body));
    let told = of(&aws, Fetcher::with_key()).fetch();
    assert!(told.contains("had expired when it was received"), "{told}");
}
