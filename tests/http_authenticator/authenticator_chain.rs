//! An htpasswd file and an HTTP service in one chain, in both orders.

use super::{HOME, UNKNOWN, assert_by, assert_challenged, service_with_carol, staff, start, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

/// Returns an htpasswd file with alice and dora. The service has carol and dora; the two passwords of dora
/// differ.
fn known() -> String {
    users::alice() + &users::line("dora", "of the file", users::QUICK)
}

fn dora_and_carol() -> Backend {
    Backend::start(|heard| {
        let (user, password) = heard.who();
        Reply::status(match (&user[..], &password[..]) {
            ("carol", "sings") | ("dora", "of the service") => 200,
            ("carol" | "dora", _) => 401,
            _ => 404,
        })
    })
}

fn ask(doorward: &Doorward, user: &str, password: &str) -> crate::support::client::Answer {
    doorward.ask(&Request::auth().basic(user, password).from(HOME))
}

#[test]
fn with_the_file_first_each_user_is_checked_by_the_source_that_lists_the_user() {
    let backend = dora_and_carol();
    let doorward = start(Some(&known()), &(staff("") + &vendor(backend.address, UNKNOWN)));
    // A user in the file is checked only against the file, even if the service has the user too.
    assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
    assert_challenged(&ask(&doorward, "alice", "x"));
    assert_by(&ask(&doorward, "dora", "of the file"), "dora", "staff");
    assert_challenged(&ask(&doorward, "dora", "of the service"));
    assert_eq!(backend.connections(), 0, "who has a line is not asked of the service");
    // A user of the service only.
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
    assert_challenged(&ask(&doorward, "carol", "x"));
    assert_eq!(backend.requests(), 2);
    // A user of neither.
    assert_challenged(&ask(&doorward, "nobody", "x"));
    assert_eq!(backend.requests(), 3);
}

#[test]
fn with_the_service_first_its_acceptance_and_its_rejection_are_final() {
    let backend = dora_and_carol();
    let doorward = start(Some(&known()), &(vendor(backend.address, UNKNOWN) + &staff("")));
    // The service does not have alice, and the file does.
    assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
    assert_challenged(&ask(&doorward, "alice", "x"));
    assert_eq!(backend.requests(), 2);
    assert_by(&ask(&doorward, "dora", "of the service"), "dora", "vendor");
    assert_challenged(&ask(&doorward, "dora", "of the file"));
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
    assert_challenged(&ask(&doorward, "carol", "x"));
    assert_challenged(&ask(&doorward, "nobody", "x"));
    assert_eq!(backend.requests(), 7);
}

#[test]
fn without_an_unknown_status_no_later_authenticator_is_called() {
    let backend = Backend::saying(Reply::status(401));
    let doorward = start(Some(&known()), &(vendor(backend.address, "") + &staff("")));
    assert_challenged(&ask(&doorward, "alice", "wonderland"));
    backend.say(Reply::status(404));
    super::assert_unavailable(&ask(&doorward, "dora", "of the file"));
    assert_eq!(doorward.hashes(), 0.0);
}

#[test]
fn status_401_configured_as_unknown_calls_the_next_authenticator() {
    let backend = Backend::saying(Reply::status(401));
    let doorward =
        start(Some(&known()), &(vendor(backend.address, "unknown_user_statuses = [401]") + &staff("")));
    assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
    assert_challenged(&ask(&doorward, "alice", "x"));
    backend.say(Reply::status(403));
    assert_challenged(&ask(&doorward, "dora", "of the file"));
}

#[test]
fn user_known_only_to_the_service_costs_no_hash() {
    let backend = service_with_carol();
    let doorward = start(Some(&users::alice()), &(staff("") + &vendor(backend.address, UNKNOWN)));
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
    assert_challenged(&ask(&doorward, "carol", "x"));
    assert_challenged(&ask(&doorward, "nobody", "x"));
    assert_eq!(doorward.hashes(), 0.0);
    assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
    assert_eq!(doorward.hashes(), 1.0, "the other side of it");
}

#[test]
fn user_with_an_unusable_line_is_rejected_although_the_service_has_the_user() {
    let backend = Backend::saying(Reply::status(200));
    let file = users::alice() + "mallory:$2y$10$damaged\neve\n";
    let doorward = start(Some(&file), &(staff("") + &vendor(backend.address, "")));
    assert_challenged(&ask(&doorward, "mallory", "x"));
    assert_challenged(&ask(&doorward, "eve", "x"));
    assert_eq!(backend.connections(), 0);
    // A user without a line is checked by the service.
    assert_by(&ask(&doorward, "mallor", "x"), "mallor", "vendor");
}

#[test]
fn user_moves_between_file_and_service_when_a_line_is_added_or_removed() {
    let backend = service_with_carol();
    let settings = staff("") + &vendor(backend.address, UNKNOWN);
    let doorward = super::start_with(Some(&users::alice()), &settings, &["--reload-poll-interval", "100ms"]);
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
    users::put(&doorward.htpasswd(), users::alice() + &users::line("carol", "of the file", users::QUICK));
    eventually("the service's word for carol is out of force", || {
        (ask(&doorward, "carol", "sings").status == 401).then_some(())
    });
    assert_by(&ask(&doorward, "carol", "of the file"), "carol", "staff");
    users::put(&doorward.htpasswd(), users::alice());
    eventually("so is the file's", || (ask(&doorward, "carol", "of the file").status == 401).then_some(()));
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
}

#[test]
fn authenticator_without_a_name_is_named_after_its_type() {
    let backend = service_with_carol();
    let settings = staff("") + &vendor(backend.address, UNKNOWN);
    let settings = settings.replace("name = \"staff\"\n", "").replace("name = \"vendor\"\n", "");
    let doorward = start(Some(&users::alice()), &settings);
    assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "htpasswd");
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "http");
    assert_challenged(&ask(&doorward, "carol", "x"));
}

#[test]
fn two_services_are_called_in_the_configured_order() {
    let (first, second) = (service_with_carol(), Backend::saying(Reply::status(200)));
    let other = vendor(second.address, "").replace("\"vendor\"", "\"other\"");
    let doorward = start(None, &(vendor(first.address, UNKNOWN) + &other));
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
    assert_challenged(&ask(&doorward, "carol", "x"));
    assert_eq!(second.requests(), 0);
    assert_by(&ask(&doorward, "erin", "x"), "erin", "other");
    assert_eq!((first.requests(), second.requests()), (3, 1));
}
