//! Adding, setting, removing and listing users leaves the rest of the file unchanged.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::{QUICK, Users};
use crate::support::oracle::OracleVerdict;
use crate::support::oracle::auth_basic::AuthBasic;
use crate::support::process::run;
use crate::support::{doorward, users};

/// The user `nobody` of Debian, which does not run the tests.
const OTHER_UID: u32 = 65534;

#[test]
fn htpasswd_and_nginx_accept_added_set_and_removed_users() {
    let (users, nginx) = (Users::of(""), AuthBasic::start());
    users.add("alice", "wonderland");
    users.add("zoë", "pässword: with spaces and \"signs\"");
    assert_eq!(users.oracle_verdict(&nginx, "alice", "wonderland"), OracleVerdict::Accepts);
    assert_eq!(
        users.oracle_verdict(&nginx, "zoë", "pässword: with spaces and \"signs\""),
        OracleVerdict::Accepts
    );
    assert_eq!(users.oracle_verdict(&nginx, "alice", "builder"), OracleVerdict::Refuses);
    users.quietly("set", &["alice", "--stdin", QUICK[0], QUICK[1]], "builder");
    assert_eq!(users.oracle_verdict(&nginx, "alice", "builder"), OracleVerdict::Accepts);
    assert_eq!(users.oracle_verdict(&nginx, "alice", "wonderland"), OracleVerdict::Refuses);
    users.quietly("remove", &["alice"], "");
    assert_eq!(users.oracle_verdict(&nginx, "alice", "builder"), OracleVerdict::Refuses);
    assert_eq!(users.text().lines().count(), 1, "zoë alone is left");
}

#[test]
fn file_created_by_htpasswd_can_be_changed() {
    let (users, nginx) = (Users::of(""), AuthBasic::start());
    for (flag, name) in [("-B", "bcrypt"), ("-m", "apr1"), ("-s", "sha"), ("-5", "sha512")] {
        users::htpasswd(&users.path, &[flag], name, "of-apache");
    }
    users.add("ours", "of-doorward");
    users::htpasswd(&users.path, &["-B"], "last", "of-apache");
    for name in ["bcrypt", "apr1", "sha", "sha512", "last"] {
        users.quietly("verify", &[name, "--stdin"], "of-apache");
    }
    assert_eq!(users.oracle_verdict(&nginx, "ours", "of-doorward"), OracleVerdict::Accepts);
}

#[test]
fn only_the_line_of_the_user_is_changed() {
    let text = "# team\r\n\r\nalice:old:Alice Liddell\r\n\t# spaces\r\n bob:x \nalice:second\ncarol";
    let users = Users::of(text);
    users.quietly("set", &["alice", "--stdin", QUICK[0], QUICK[1]], "wonderland");
    let set = users.text();
    let hash = set.split(':').nth(1).unwrap();
    assert!(hash.starts_with("$2y$04$") && hash.len() == 60, "{hash}");
    assert_eq!(set, text.replacen("old", hash, 1));
    users.quietly("remove", &["bob"], "");
    assert_eq!(users.text(), set.replacen(" bob:x \n", "", 1));
    users.quietly("remove", &["alice"], "");
    assert_eq!(users.text(), "# team\r\n\r\n\t# spaces\r\ncarol");
    users.add("dave", "builder");
    assert!(users.text().starts_with("# team\r\n\r\n\t# spaces\r\ncarol\ndave:$2y$04$"), "{}", users.text());
}

#[test]
fn added_line_has_the_line_end_of_the_file() {
    let users = Users::of("# CRLF\r\n");
    users.add("alice", "wonderland");
    users.add("bob", "builder");
    let text = users.text();
    assert!(text.ends_with("\r\n") && text.matches("\r\n").count() == 3, "{text:?}");
    assert_eq!(text.matches('\n').count(), 3, "{text:?}");
}

#[test]
fn file_mode_owner_and_link_are_preserved() {
    let users = Users::of("# users\n");
    fs::set_permissions(&users.path, fs::Permissions::from_mode(0o604)).unwrap();
    // Only root can change the owner of a file.
    if rustix::process::geteuid().is_root() {
        chown(&users.path, Some(OTHER_UID), Some(OTHER_UID)).unwrap();
    }
    let before = fs::metadata(&users.path).unwrap();
    let link = users.dir.path().join("link");
    std::os::unix::fs::symlink("htpasswd", &link).unwrap();
    for what in ["add", "set"] {
        // The open file keeps its inode number, so that the replacement gets another one.
        let held = fs::File::open(&users.path).unwrap();
        let mut command = super::command(&link, what);
        command.args(["alice", "--generate"]).args(QUICK);
        assert_eq!(run(command).code, Some(0));
        let after = fs::metadata(&users.path).unwrap();
        assert_ne!(held.metadata().unwrap().ino(), after.ino(), "it is replaced, not written to");
        assert_eq!((after.uid(), after.gid(), users.mode()), (before.uid(), before.gid(), 0o604));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
    assert_eq!(users.names(), ["htpasswd", "link"]);
}

#[test]
fn missing_file_is_created_only_with_create_flag_and_is_not_world_readable() {
    let users = Users::none();
    users.refuses("add", &["alice", "--stdin"], b"wonderland", "add --create");
    users.refuses("set", &["alice", "--stdin"], b"wonderland", "the file does not exist");
    users.refuses("remove", &["alice"], b"", "the file does not exist");
    for (what, arguments) in [("list", &[][..]), ("verify", &["alice", "--stdin"])] {
        users.refuses(what, arguments, b"wonderland", "htpasswd");
    }
    users.quietly("add", &["alice", "--create", "--stdin", QUICK[0], QUICK[1]], "wonderland");
    assert_eq!(users.mode(), 0o640);
    users.quietly("add", &["bob", "--create", "--stdin", QUICK[0], QUICK[1]], "builder");
    users.quietly("verify", &["alice", "--stdin"], "wonderland");
    let output = users.run("set", &["alice", "--create", "--generate"], b"");
    assert_eq!(output.code, Some(2), "set makes no file: {output:?}");
}

#[test]
fn new_file_has_the_owner_of_its_folder() {
    let users = Users::none();
    // Only root can change the owner of a file, as in a container that creates the first user.
    let owner =
        if rustix::process::geteuid().is_root() { OTHER_UID } else { rustix::process::geteuid().as_raw() };
    chown(users.dir.path(), Some(owner), None).unwrap();
    users.quietly("add", &["alice", "--create", "--stdin", QUICK[0], QUICK[1]], "wonderland");
    assert_eq!(fs::metadata(&users.path).unwrap().uid(), owner);
    assert_eq!(users.mode(), 0o640);
}

#[test]
fn first_user_is_added_only_to_a_file_without_users() {
    // The first start of a container prints a random password, and the second prints nothing.
    let first = ["admin", "--create", "--if-empty", "--generate", QUICK[0], QUICK[1]];
    for users in [Users::none(), Users::of(""), Users::of("# nobody yet\n\n")] {
        let output = users.run("add", &first, b"");
        let said = output.stdout.strip_prefix("the first user is admin, with the password ");
        let password = said.unwrap_or_else(|| panic!("{output:?}")).trim_end();
        users.quietly("verify", &["admin", "--stdin"], password);
        let text = users.text();
        let again = users.run("add", &["second", "--create", "--if-empty", "--generate"], b"");
        assert_eq!(again.code, Some(0));
        assert!(again.stdout.contains("the file already has users"), "{again:?}");
        assert_eq!(users.text(), text);
    }
    let damaged = Users::of("bob\n");
    assert_eq!(damaged.run("add", &first, b"").code, Some(0));
    assert_eq!(damaged.text(), "bob\n", "a line that can't be read is somebody's");
}

#[test]
fn list_shows_users_with_their_hash_formats() {
    let text = users::line("bob", "builder", 5)
        + "# a comment\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\ncarol:rl0uE0e2WKB0.\nalice:second\n";
    let users = Users::of(&text);
    let output = users.run("list", &[], b"");
    assert_eq!((output.code, &output.stderr[..]), (Some(0), ""));
    let expected = "alice\tsha\nbob\tbcrypt, cost 5\ncarol\tcannot log in: DES crypt is rejected: it uses eight characters of a password and is broken in hours\n";
    assert_eq!(output.stdout, expected);
}

#[test]
fn user_name_that_cannot_be_read_back_is_refused() {
    let users = Users::of("# users\n");
    let long = "n".repeat(256);
    for (name, why) in [
        ("", "empty"),
        ("a:b", "colon"),
        (" a", "space"),
        ("a ", "space"),
        ("a\tb", "control"),
        ("a\nb", "control"),
        ("a\r", "control"),
        ("a\u{7f}", "control"),
        ("#a", "#"),
        (&long, "255"),
    ] {
        for what in ["add", "set"] {
            users.refuses(what, &["--stdin", "--", name], b"wonderland", why);
        }
        users.refuses("remove", &["--", name], b"", why);
    }
    users.add(&"n".repeat(255), "wonderland");
}

#[test]
fn impossible_change_is_refused_and_nothing_is_changed() {
    let users = Users::of(&users::two());
    users.refuses("add", &["alice", "--stdin"], b"x", "alice: the user already exists");
    users.refuses("set", &["carol", "--stdin"], b"x", "carol: the user does not exist");
    users.refuses("remove", &["carol"], b"", "carol: the user does not exist");
    users.refuses("verify", &["carol", "--stdin"], b"x", "carol: the user does not exist");
    users.refuses("verify", &["alice", "--stdin"], b"builder", "alice: wrong password");
}

#[test]
fn invalid_arguments_exit_2() {
    let users = Users::of(&users::two());
    for (what, arguments) in [
        ("add", &[][..]),
        ("add", &["carol", "--stdin", "--generate"]),
        ("add", &["carol", "--stdin", "--cost", "3"]),
        ("add", &["carol", "--stdin", "--cost", "15"]),
        ("remove", &["alice", "--stdin"]),
        ("list", &["alice"]),
        ("nonsense", &[]),
    ] {
        let output = users.run(what, arguments, b"x");
        assert_eq!((output.code, &output.stdout[..]), (Some(2), ""), "{what} {arguments:?}: {output:?}");
    }
    assert_eq!(users.text(), users::two());
    assert_eq!(doorward::doorward(&["user", "list"]).code, Some(1), "which file is not said");
}

#[test]
fn htpasswd_file_can_be_set_by_environment_variable() {
    let users = Users::of(&users::alice());
    let mut command = doorward::command();
    command.args(["user", "list"]).env("DOORWARD_HTPASSWD", &users.path);
    let output = run(command);
    assert_eq!((output.code, &output.stdout[..]), (Some(0), "alice\tbcrypt, cost 4\n"), "{output:?}");
}
