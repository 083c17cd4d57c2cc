//! Many commands at once on one file.

use std::fs::File;
use std::process::{Child, Stdio};

use super::{QUICK, Users, command};
use crate::support::oracle::OracleVerdict;
use crate::support::oracle::auth_basic::AuthBasic;
use crate::support::users;

/// Number of users that are added, and of other users that are set and removed at the same time.
const ADDED: usize = 100;
const OTHERS: usize = 10;

/// Starts `doorward user` without waiting for it.
fn start(users: &Users, what: &str, name: &str) -> Child {
    let mut command = command(&users.path, what);
    command.arg(name).stderr(Stdio::piped());
    if what != "remove" {
        let password = users.dir.path().join("password");
        command.arg("--stdin").args(QUICK).stdin(File::open(password).unwrap());
    }
    command.spawn().unwrap()
}

#[test]
fn hundred_concurrent_commands_lose_no_line() {
    let others: String = ["set", "removed"]
        .iter()
        .flat_map(|kind| (0..OTHERS).map(move |i| users::line(&format!("{kind}{i}"), "before", users::QUICK)))
        .collect();
    let users = Users::of(&format!("# the first line\n{others}# the last line\n"));
    std::fs::write(users.dir.path().join("password"), "after\n").unwrap();
    let mut running = Vec::new();
    for i in 0..ADDED {
        running.push((format!("add{i}"), start(&users, "add", &format!("added{i}"))));
        if i < OTHERS {
            running.push((format!("set{i}"), start(&users, "set", &format!("set{i}"))));
            running.push((format!("remove{i}"), start(&users, "remove", &format!("removed{i}"))));
        }
    }
    for (what, child) in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = users.text();
    assert_eq!(text.lines().count(), 2 + OTHERS + ADDED, "{text}");
    assert!(text.starts_with("# the first line\nset0:") && text.contains("\n# the last line\nadded"));
    let nginx = AuthBasic::start();
    nginx.file("users", text.as_bytes());
    let says = |name: String, password: &str| nginx.ask("users", name.as_bytes(), password.as_bytes());
    for i in 0..ADDED {
        assert_eq!(says(format!("added{i}"), "after"), OracleVerdict::Accepts, "added{i}");
    }
    for i in 0..OTHERS {
        assert_eq!(says(format!("set{i}"), "after"), OracleVerdict::Accepts, "set{i}");
        assert_eq!(says(format!("removed{i}"), "before"), OracleVerdict::Refuses, "removed{i}");
    }
    assert_eq!(users.names(), ["htpasswd", "password"]);
}
