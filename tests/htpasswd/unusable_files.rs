//! htpasswd files that cannot be used, at start and by `check` (GHSA-4mr2-fg2p-w63c).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::server::listeners::assert_error;
use crate::support::doorward::{Doorward, doorward};
use crate::support::process::Output;
use crate::support::users;

/// Runs `serve` and `check` with the file at `path`. Both must fail.
fn both(path: &Path) -> [Output; 2] {
    let path = path.to_str().unwrap();
    [
        doorward(&["serve", "--listen", "127.0.0.1:0", "--htpasswd", path]),
        doorward(&["check", "--htpasswd", path]),
    ]
}

/// Checks that both end with this error after the path of the file.
fn assert_both(path: &Path, rest: &str) {
    for output in both(path) {
        assert_error(&output, &format!("doorward: {}{rest}", path.display()));
    }
}

/// Checks the error for a file with this content.
fn assert_content(content: impl AsRef<[u8]>, rest: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, content).unwrap();
    assert_both(&path, rest);
}

#[test]
fn missing_file_is_reported_with_the_command_that_creates_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nobody's");
    assert_both(
        &path,
        &format!(": the file does not exist; create it with: htpasswd -B -c {} NAME", path.display()),
    );
}

#[test]
fn non_regular_file_is_refused_by_its_type() {
    let dir = tempfile::tempdir().unwrap();
    assert_both(dir.path(), ": it is a directory, not a file");
    assert_both(Path::new("/dev/null"), ": it is a device, a pipe or a socket, not a file");
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_both(&socket, ": it is a device, a pipe or a socket, not a file");
}

#[test]
fn dangling_or_circular_link_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    for output in both(&path) {
        assert_error(&output, "(os error 40)");
    }
}

#[test]
fn binary_file_is_an_error() {
    let rubbish: Vec<u8> = (0..=255_u8).cycle().take(10_000).collect();
    for content in [&rubbish[..], b"\0", b"\xff\xfe\xff", b"\x7fELF\x02\x01\x01\0", &[0; 5000]] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, content).unwrap();
        for output in both(&path) {
            let begin = format!("doorward: {}: not an htpasswd file: it is ", path.display());
            assert_eq!(output.code, Some(1), "{output:?}");
            assert!(output.stderr.starts_with(&begin) && !output.stderr.contains("panicked"), "{output:?}");
        }
    }
}

#[test]
fn file_of_a_gibibyte_is_refused_by_size_without_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    // The file is sparse and takes no space on the disk.
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    assert_both(&path, ": the file has more than 268435456 bytes; raise htpasswd.max_bytes");
}

#[test]
fn configured_file_size_limit_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, users::alice() + &"# a comment\n".repeat(100)).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(doorward(&["check", "--htpasswd", path]).code, Some(0));
    let output = doorward(&["check", "--htpasswd", path, "--htpasswd-max-bytes", "1KiB"]);
    assert_error(
        &output,
        &format!("doorward: {path}: the file has more than 1024 bytes; raise htpasswd.max_bytes"),
    );
}

/// Returns the error text about a hash, with its remedy.
fn cant(what: &str) -> String {
    format!(
        "{what}; the user cannot log in: set the password again with htpasswd -B FILE NAME (no line of the file is valid)"
    )
}

#[test]
fn each_damaged_hash_is_reported_with_its_line_and_remedy() {
    let damaged = "the bcrypt hash is truncated or malformed ($2y$, a cost of two digits, $, then 53 characters of ./A-Za-z0-9)";
    let apr1 = "the $apr1$ hash is truncated or malformed ($apr1$, a salt of at most 8 characters without $, $, then 22 characters of ./0-9A-Za-z)";
    let costly = users::alice().replace("$2y$04$", "$2y$99$");
    let whole = users::alice();
    let cases = [
        (&costly[..], "the bcrypt cost 99 is not between 4 and 14"),
        ("alice:$2y$99$\n", damaged),
        (&whole[..40], damaged),
        ("alice:$apr1$\n", apr1),
        ("alice:$apr1$abcdefgh$\n", apr1),
        ("alice:{SHA}!!!\n", "the {SHA} hash is not the base64 of 20 bytes"),
        ("alice:{SHA}\n", "the {SHA} hash is not the base64 of 20 bytes"),
        ("alice:{SSHA}AAAA\n", "the {SSHA} hash is not the base64 of 20 bytes and a salt"),
        ("alice:\n", "there is no password hash after the colon"),
        (
            "alice:rl0uE0e2WKB0.\n",
            "DES crypt is rejected: it uses eight characters of a password and is broken in hours",
        ),
        (
            "alice:wonderland\n",
            "the hash format is unknown, perhaps it is the password itself (line of 16 bytes)",
        ),
    ];
    for (content, what) in cases {
        assert_content(content, &format!(":1:7: {}", cant(what)));
    }
    assert_content(
        "# who\n\n  alice\n",
        ":3:8: the line of 5 bytes has no colon; it may be a password; write NAME:HASH (no line of the file is valid)",
    );
    assert_content(":x\n", ":1:1: the user name is empty; write NAME:HASH (no line of the file is valid)");
}

#[test]
fn error_about_a_hash_does_not_contain_the_hash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, "alice:hunter2hunter2\nbob:$2y$10$halfofasecret\n").unwrap();
    for output in both(&path) {
        let all_output = format!("{}{}", output.stdout, output.stderr);
        assert!(!all_output.contains("hunter2") && !all_output.contains("halfofasecret"), "{all_output}");
    }
}

#[test]
fn truncated_file_admits_the_users_before_the_cut() {
    let whole = users::two();
    let doorward = Doorward::start(&whole[..whole.len() - 20], &[]);
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    assert_eq!(doorward.log_in("bob", "builder", "192.0.2.1"), 401);
    assert!(
        doorward.log().contains("htpasswd:2:5: the bcrypt hash is truncated or malformed"),
        "{}",
        doorward.log()
    );
}

#[test]
fn check_reports_every_unusable_line_and_counts_usable_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    let text = users::alice()
        + "# comment\r\nmallory:$apr1$\n\nalice:x\neve\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=:field\r\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let output = doorward(&["check", "--htpasswd", path.to_str().unwrap()]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let name = path.display();
    let lines: Vec<&str> = output.stdout.lines().collect();
    let begins = [
        format!("{name}:3:9: the $apr1$ hash is truncated"),
        format!(
            "{name}:5:1: note: the user is listed in an earlier line, which is used; remove one of the lines"
        ),
        format!("{name}:6:4: the line of 3 bytes has no colon"),
        format!("{name}: users that can log in: 2 (bcrypt 1, sha 1); invalid lines: 2"),
        format!("{name}: capacity: "),
    ];
    assert_eq!(lines.len(), begins.len(), "{}", output.stdout);
    for (line, begin) in lines.iter().zip(&begins) {
        assert!(line.starts_with(begin), "wanted {begin}\n   got {line}");
    }
}

#[test]
fn check_of_a_valid_file_exits_0() {
    let dir = crate::server::listeners::folder();
    let path = dir.path().join("htpasswd");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let output = doorward(&["check", "--htpasswd", path.to_str().unwrap()]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let (users, bound) = output.stdout.split_once('\n').unwrap();
    assert_eq!(users, format!("{}: users that can log in: 1 (bcrypt 1); invalid lines: 0", path.display()));
    assert!(bound.starts_with(&format!("{}: capacity: ", path.display())), "{bound}");
    assert_eq!(output.stderr, "");
}

/// Returns the numbers in a line of `check`, in order.
fn numbers(line: &str) -> Vec<f64> {
    line.split(|c: char| !c.is_ascii_digit() && c != '.').filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn check_reports_login_capacity_with_and_without_an_attack_field_s5() {
    let dir = crate::server::listeners::folder();
    let path = dir.path().join("htpasswd");
    for (cost, flags) in [
        (users::QUICK, &["--hash-threads", "3"][..]),
        (users::USUAL, &["--hash-threads", "3"]),
        (users::USUAL, &["--hash-threads", "1", "--hash-wait-timeout", "10s"]),
        (users::SLOW, &["--hash-threads", "1", "--hash-wait-timeout", "100ms"]),
    ] {
        fs::write(&path, users::line("alice", "wonderland", cost)).unwrap();
        let output = doorward(&[&["check", "--htpasswd", path.to_str().unwrap()], flags].concat());
        let bound = output.stdout.lines().find_map(|line| Some(line.rsplit_once(": capacity: ")?.1)).unwrap();
        let figures = numbers(&bound.replace("100ms", "0.1s"));
        let [at_once, attacked, millis, threads, wait] = figures[..] else { panic!("{bound}: {figures:?}") };
        // A tenth of the wait is left for what else takes the cores' time.
        let wanted = (0.9 * threads * wait * 1000.0 / millis).clamp(2.0 * threads, 4096.0);
        // The time is rounded to a tenth of a millisecond.
        assert!((at_once / wanted - 1.0).abs() < 0.1, "{bound}: about {wanted}");
        assert_eq!(attacked, at_once - (at_once / 4.0).ceil(), "{bound}");
    }
}

#[test]
fn check_warns_about_a_wide_spread_of_hash_costs_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, users::alice() + &users::line("bob", "builder", users::USUAL)).unwrap();
    let output = doorward(&["check", "--htpasswd", path.to_str().unwrap()]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("note: the bcrypt costs are between 4 and 10"), "{output:?}");
}
