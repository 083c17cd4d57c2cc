//! Rows of the failure table: each status that is not an acceptance.

use super::ExpectedVerdict::{Granted, Rejected, Unavailable};
use super::FailureCase;
use crate::support::backend::Reply;

pub(super) fn rows() -> Vec<FailureCase> {
    let redirect = Reply::with("302 Found", "Location: http://127.0.0.1:1/\r\n", "");
    let soon = Reply::with("429 Too Many Requests", "Retry-After: 7\r\n", "");
    let later = Reply::with("503 Service Unavailable", "Retry-After: 7\r\n", "");
    let never = Reply::with("503 Service Unavailable", "Retry-After: never\r\n", "");
    let denied = Reply::with("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
    let neither = |failure, code, log| FailureCase::saying(failure, Reply::status(code), Unavailable, log);
    vec![
        neither(
            "204 No Content",
            204,
            "vendor: responded with 204, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses",
        ),
        FailureCase::saying(
            "204, set as accepted",
            Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
            Granted,
            "",
        )
        .set("accepted_statuses = [204]\n"),
        FailureCase::saying("302 Found", redirect, Unavailable, "vendor: responded with 302"),
        neither("304 Not Modified", 304, "vendor: responded with 304"),
        neither(
            "400 Bad Request",
            400,
            "vendor: responded with 400, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses",
        ),
        FailureCase::saying("401 Unauthorized", denied, Rejected, "verdict=\"challenge\""),
        FailureCase::saying("403 Forbidden", Reply::status(403), Rejected, "verdict=\"challenge\""),
        neither(
            "404 Not Found",
            404,
            "vendor: responded with 404, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses",
        ),
        FailureCase::saying("404, set as unknown", Reply::status(404), Rejected, "verdict=\"challenge\"")
            .set("unknown_user_statuses = [404]\n"),
        neither("407 Proxy Authentication Required", 407, "vendor: responded with 407"),
        neither(
            "418",
            418,
            "vendor: responded with 418, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses",
        ),
        neither("429 without Retry-After", 429, "vendor: responded with 429"),
        FailureCase::saying("429 with Retry-After", soon, Unavailable, "vendor: responded with 429"),
        neither("500 Internal Server Error", 500, "vendor: responded with 500"),
        neither("502 Bad Gateway", 502, "vendor: responded with 502"),
        neither("503 without Retry-After", 503, "vendor: responded with 503"),
        FailureCase::saying("503 with Retry-After", later, Unavailable, "vendor: responded with 503"),
        FailureCase::saying(
            "503 with rubbish in Retry-After",
            never,
            Unavailable,
            "vendor: responded with 503",
        ),
        neither("999", 999, "vendor: responded with 999"),
    ]
}
