//! `POST /flush` on the admin listener.

use crate::limits::throttle::HOME;
use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::users;

fn log_both_in(doorward: &Doorward) {
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    assert_eq!(doorward.log_in("bob", "builder", HOME), 200);
}

#[test]
fn flush_of_one_user_keeps_the_answers_of_others() {
    let doorward = Doorward::start(&users::two(), &[]);
    log_both_in(&doorward);
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=alice")).status, 204);
    log_both_in(&doorward);
    assert_eq!(doorward.hashes(), 3.0, "alice's password was checked again");
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=nobody")).status, 204);
    log_both_in(&doorward);
    assert_eq!(doorward.hashes(), 3.0);
}

#[test]
fn flush_without_a_user_clears_the_cache() {
    let doorward = Doorward::start(&users::two(), &[]);
    log_both_in(&doorward);
    assert_eq!(doorward.log_in("alice", "looking-glass", HOME), 401);
    assert_eq!(doorward.admin(&Request::new("POST", "/flush")).status, 204);
    log_both_in(&doorward);
    assert_eq!(doorward.hashes(), 5.0);
    assert_eq!(doorward.log_in("alice", "looking-glass", HOME), 401);
    assert_eq!(doorward.hashes(), 6.0, "a rejection is flushed too");
}

#[test]
fn malformed_flush_changes_nothing() {
    let doorward = Doorward::start(&users::two(), &[]);
    log_both_in(&doorward);
    for query in [
        "?usr=alice",
        "?User=alice",
        "?user=alice&all=1",
        "?user=alice&user=bob",
        "?alice",
        "?user=",
        "?user",
        "?user=&",
    ] {
        let answer = doorward.admin(&Request::new("POST", &format!("/flush{query}")));
        assert_eq!(answer.status, 400, "{query}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert_eq!(doorward.admin(&Request::new(method, "/flush")).status, 405, "{method}");
    }
    log_both_in(&doorward);
    assert_eq!(doorward.hashes(), 2.0);
}

#[test]
fn flush_accepts_every_valid_user_name() {
    let doorward = Doorward::start(&users::line("zoë & co", "x", users::QUICK), &[]);
    assert_eq!(doorward.log_in("zoë & co", "x", HOME), 200);
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=zo%C3%AB%20%26%20co")).status, 204);
    assert_eq!(doorward.log_in("zoë & co", "x", HOME), 200);
    assert_eq!(doorward.hashes(), 2.0, "asked anew");
}

#[test]
fn flush_invalidates_an_answer_in_flight() {
    let doorward = Doorward::start(&users::line("alice", "wonderland", users::SLOW), &[]);
    let mut client = doorward.client();
    client.send(&Request::auth().basic("alice", "wonderland").bytes()).unwrap();
    crate::support::eventually("the password is being checked", || {
        (doorward.metric("doorward_cache_misses_total") > 0.0).then_some(())
    });
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=alice")).status, 204);
    assert_eq!(client.receive(false).unwrap().status, 200);
    assert_eq!(doorward.metric("doorward_cache_entries"), 0.0);
}

#[test]
fn throttled_network_keeps_its_known_users_after_a_flush_and_gets_no_new_ones() {
    let doorward = Doorward::start(&users::two(), &crate::limits::throttle::THREE);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    crate::limits::throttle::guess(&doorward, HOME, "alice", 3);
    crate::limits::throttle::guess(&doorward, HOME, "bob", 3);
    for query in ["", "?user=alice"] {
        let hashes = doorward.hashes();
        assert_eq!(doorward.admin(&Request::new("POST", &format!("/flush{query}"))).status, 204);
        assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
        assert_eq!(doorward.hashes(), hashes + 1.0, "asked anew");
        assert_eq!(doorward.log_in("alice", "looking-glass", HOME), 403);
        assert_eq!(doorward.log_in("bob", "builder", HOME), 403, "never proved from there");
    }
    assert_eq!(doorward.admin(&Request::new("POST", "/flush")).status, 204);
    users::put(
        &doorward.htpasswd(),
        users::line("alice", "another", users::QUICK) + &users::line("bob", "builder", users::QUICK),
    );
    crate::support::eventually("the old password is not admitted", || {
        (doorward.log_in("alice", "wonderland", HOME) == 403).then_some(())
    });
}
