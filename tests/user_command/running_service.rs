//! A running service admits an added user and refuses a removed one.

use super::{QUICK, Users};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

const HERE: &str = "192.0.2.1";

#[test]
fn running_service_admits_an_added_user_and_refuses_a_removed_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, users::alice()).unwrap();
    let doorward =
        Doorward::start_in(folder, &["--reload-poll-interval", "100ms", "--cache-rejection-ttl", "0s"]);
    let users = Users { path: doorward.htpasswd(), ..Users::none() };
    let log_in = |name: &str, password: &str, status: u16| {
        eventually(&format!("{name} with {password} gets {status}"), || {
            (doorward.log_in(name, password, HERE) == status).then_some(())
        });
    };
    log_in("alice", "wonderland", 200);
    log_in("bob", "builder", 401);
    users.add("bob", "builder");
    log_in("bob", "builder", 200);
    users.quietly("set", &["bob", "--stdin", QUICK[0], QUICK[1]], "sings");
    log_in("bob", "builder", 401);
    log_in("bob", "sings", 200);
    users.quietly("remove", &["bob"], "");
    log_in("bob", "sings", 401);
    log_in("alice", "wonderland", 200);
    assert_eq!(doorward.metric("doorward_htpasswd_users"), 1.0);
}
