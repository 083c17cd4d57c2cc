//! Unknown user, wrong password and unusable line have equal responses and equal cost.

use super::{assert_allow, assert_challenge};
use crate::support::client::{Request, basic};
use crate::support::doorward::Doorward;
use crate::support::users;

/// Far below the ticks of one check, and far above those of none.
const AT_LEAST: f64 = 0.25;

#[test]
fn unknown_user_wrong_password_and_unusable_line_get_equal_responses() {
    let doorward = Doorward::start(&(users::alice() + "mallory:$2y$10$cut\n"), &[]);
    let face = |request: &Request| doorward.ask(request).face();
    let wrong = face(&Request::auth().basic("alice", "x"));
    assert_eq!(wrong.status, 401);
    assert_eq!(face(&Request::auth().basic("nobody", "x")), wrong);
    assert_eq!(face(&Request::auth().basic("mallory", "x")), wrong);
    assert_eq!(face(&Request::auth().header("Authorization", "Basic !")), wrong);
    assert_eq!(face(&Request::auth().header("Authorization", "Bearer x")), wrong);
    assert_eq!(face(&Request::auth()), wrong);
    // The second refusal comes from the cache.
    assert_eq!(face(&Request::auth().basic("alice", "x")), wrong);
    assert_eq!(face(&Request::auth().basic("nobody", "x")), wrong);
}

/// A cost at which one check takes many ticks.
const COSTLY: u32 = users::USUAL + 1;

/// Returns the processor ticks of one refusal.
fn cost_of_refusal(doorward: &Doorward, user: &str) -> f64 {
    let before = doorward.ticks();
    assert_challenge(&doorward.ask(&Request::auth().basic(user, "looking-glass")));
    (doorward.ticks() - before) as f64
}

#[test]
fn unknown_and_known_users_cost_the_same_time_as_in_cve_2026_41263_and_cve_2026_77582() {
    let doorward = Doorward::start(&users::line("alice", "wonderland", COSTLY), &[]);
    let known = cost_of_refusal(&doorward, "alice");
    let unknown = cost_of_refusal(&doorward, "nobody");
    assert!(known >= 4.0, "{known} ticks are too few to compare");
    assert!(unknown > known * AT_LEAST, "{unknown} ticks for an unknown user, {known} for a known one");
    assert!(known > unknown * AT_LEAST, "{known} ticks for a known user, {unknown} for an unknown one");
}

#[test]
fn cheap_hash_beside_a_costly_one_takes_the_same_time() {
    let text = users::line("alice", "wonderland", COSTLY)
        + &users::line("bob", "builder", users::QUICK)
        + "carol:$apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1\ndave:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nmallory:cut\n";
    let doorward = Doorward::start(&text, &[]);
    let costliest = cost_of_refusal(&doorward, "alice");
    for user in ["bob", "carol", "dave", "mallory", "nobody"] {
        let cost = cost_of_refusal(&doorward, user);
        assert!(cost > costliest * AT_LEAST, "{cost} ticks for {user}, {costliest} for alice");
    }
}

#[test]
fn repeated_requests_for_unknown_and_known_users_cost_the_same_as_in_cve_2026_88010() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for (user, sum) in [("alice", 1.0), ("nobody", 2.0), ("nobody else", 3.0)] {
        for _ in 0..3 {
            assert_challenge(&doorward.ask(&Request::auth().basic(user, "x")));
        }
        assert_eq!(doorward.hashes(), sum, "one hash for {user}, and unknown users are not one user");
    }
    assert_eq!(doorward.metric("doorward_cache_rejected_hits_total"), 6.0);
}

#[test]
fn user_and_password_boundaries_never_collide_in_the_cache_as_in_ghsa_6765_c87h_8mrf() {
    let doorward = Doorward::start(
        &(users::line("ab", "cd", users::QUICK) + &users::line("abc", "x", users::QUICK)),
        &[],
    );
    assert_allow(&doorward.ask(&Request::auth().basic("ab", "cd")), b"ab");
    assert_challenge(&doorward.ask(&Request::auth().basic("abc", "d")));
    assert_challenge(&doorward.ask(&Request::auth().basic("a", "bcd")));
    assert_challenge(&doorward.ask(&Request::auth().basic("ab", "cd:")));
    assert_challenge(&doorward.ask(&Request::auth().header("Authorization", basic("ab:c:d"))));
    assert_allow(&doorward.ask(&Request::auth().basic("ab", "cd")), b"ab");
}

#[test]
fn one_credential_in_several_encodings_is_one_failure_as_in_ghsa_hjj4_hfjm_fmrj() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let wrong = basic("alice:looking-glass!");
    let spellings = [
        wrong.clone(),
        wrong.replace("Basic", "BASIC"),
        wrong.replace("Basic ", "basic    "),
        wrong.trim_end_matches('=').to_owned(),
    ];
    for value in spellings {
        assert_challenge(&doorward.ask(&Request::auth().header("Authorization", value)));
    }
    assert_eq!(doorward.metric("doorward_throttle_failures_total"), 1.0);
    assert_eq!(doorward.hashes(), 1.0);
}
