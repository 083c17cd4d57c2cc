//! A flush after a change waits for the reload.

use std::fs;

use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::users;

fn flush(doorward: &Doorward, query: &str) -> (u16, String) {
    let answer = doorward.admin(&Request::new("POST", &format!("/flush{query}")).host("localhost"));
    (answer.status, answer.text().to_owned())
}

/// A long poll interval, so that only the flush finds the change in time.
const SELDOM: [&str; 2] = ["--reload-poll-interval", "1h"];

#[test]
fn flush_after_a_removal_is_answered_once_the_removal_has_taken_effect_field_n3() {
    for query in ["?user=bob", ""] {
        let doorward = Doorward::start(&users::two(), &SELDOM);
        assert_eq!(doorward.log_in("bob", "builder", "192.0.2.1"), 200);
        users::put(&doorward.htpasswd(), users::alice());
        assert_eq!(flush(&doorward, query), (204, String::new()), "{query}");
        assert_eq!(doorward.log_in("bob", "builder", "192.0.2.1"), 401, "{query}");
        assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200, "{query}");
        // The file is emptied in place.
        fs::write(doorward.htpasswd(), "").unwrap();
        assert_eq!(flush(&doorward, query).0, 204, "{query}");
        assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 401, "{query}");
    }
}

#[test]
fn flush_with_an_invalid_file_reports_it_and_flushes_field_n3() {
    let doorward = Doorward::start(&users::two(), &SELDOM);
    assert_eq!(doorward.log_in("bob", "builder", "192.0.2.1"), 200);
    users::put(&doorward.htpasswd(), "bob\nalice\n");
    let (status, told) = flush(&doorward, "?user=bob");
    assert_eq!(status, 503, "{told}");
    assert!(told.contains("the htpasswd file cannot be used; the last valid content is active"), "{told}");
    assert_eq!(doorward.log_in("bob", "builder", "192.0.2.1"), 200);
    assert_eq!(doorward.hashes(), 2.0, "bob was flushed");
    users::put(&doorward.htpasswd(), users::alice());
    assert_eq!(flush(&doorward, "?user=bob").0, 204);
    assert_eq!(doorward.log_in("bob", "builder", "192.0.2.1"), 401);
}
