//! Unusable lines: every output has the same diagnosis, and none has the text of the line.

use std::fs;

use crate::support::doorward::Doorward;
use crate::support::secrets::MARK;
use crate::support::test_folder::{TestFolder, all_output};
use crate::support::{eventually, users};

/// Returns a folder whose htpasswd file also has a valid line, so that the service starts.
fn beside_a_good_line(line: &str) -> TestFolder {
    TestFolder::of(users::line("good", "wonderland", users::QUICK) + line + "\n")
}

/// Lines from twuni/docker-registry.helm#13 and haproxytech/kubernetes-ingress#807, and variants.
fn not_understood() -> Vec<(String, &'static str)> {
    let hash = users::alice().trim_end().replace("alice:", "");
    vec![
        (MARK.to_owned(), "has no colon; it may be a password"),
        (hash.clone(), "is a hash without a user name"),
        (format!("alice {MARK}"), "has no colon, perhaps a space instead"),
        (format!("alice\t{hash}"), "has no colon, perhaps a space instead"),
        // Variants: other separators, a secret before the colon, and one in each field.
        (format!("alice,{MARK},10:30"), "the hash format is unknown"),
        (format!("{MARK}:{MARK}"), "the hash format is unknown"),
        (format!("postgres=//alice={MARK}@db:5432/app"), "the hash format is unknown"),
        (format!("password = {MARK}"), "has no colon, perhaps a space instead"),
        (format!("{MARK}:"), "there is no password hash after the colon"),
        (format!("alice={MARK}"), "has no colon; it may be a password"),
        (format!("alice:{MARK}:{MARK}"), "the hash format is unknown"),
        (format!("\u{1b}[31m{MARK}:x"), "the user name has a control character"),
    ]
}

#[test]
fn text_of_an_unusable_line_is_in_no_output_field_c2() {
    for (line, what) in not_understood() {
        let folder = beside_a_good_line(&line);
        let check = folder.run(&["check"], "");
        assert_eq!(check.code, Some(1), "{line}: {check:?}");
        assert!(check.stdout.contains(":2:") && check.stdout.contains(what), "{line}: {check:?}");
        let list = folder.run(&["user", "list"], "");
        assert_eq!(list.code, Some(0), "{line}: {list:?}");
        assert!(list.stdout.starts_with("good\tbcrypt, cost 4\n"), "{line}: {list:?}");
        if !what.starts_with("the user name") {
            let length = line.len();
            let told = format!("line 2, {length} bytes\tcannot log in: ");
            assert!(list.stdout.contains(&told), "{line}: {list:?}");
        }
        let file = fs::read_to_string(&folder.path).unwrap();
        let doorward = Doorward::start(&file, &["--log-level", "debug"]);
        assert!(doorward.log().contains(what), "{line}: {}", doorward.log());
        // At debug level, a reload logs the users that changed.
        users::put(&doorward.htpasswd(), file + "# changed\n" + &format!("{MARK}-2 x\n{MARK}-3\n"));
        eventually("the file is reloaded", || {
            doorward.log().contains("htpasswd file reloaded").then_some(())
        });
        assert_eq!(doorward.log_in("good", "wonderland", "192.0.2.1"), 200);
    }
}

#[test]
fn file_with_only_a_password_is_reported_by_line_and_length_field_c2() {
    for text in [format!("{MARK}\n"), format!("{MARK} {MARK}"), format!("{MARK}\n{MARK}\n{MARK}\n")] {
        let folder = TestFolder::of(&text);
        for arguments in
            [&["check"][..], &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]]
        {
            let output = folder.run(arguments, "");
            assert_eq!(output.code, Some(1), "{output:?}");
            let line = all_output(&output);
            assert!(line.contains(":1:") && line.contains("bytes has no colon"), "{output:?}");
            assert_eq!(line.trim_end().lines().count(), 1, "{output:?}");
        }
    }
}

/// Lines whose user cannot log in with any password: the hash, and words of the error about it.
fn cannot_be_checked() -> Vec<(String, &'static str, &'static str)> {
    let hash = users::line("x", "wonderland", 4).trim_end().replace("x:", "");
    vec![
        ("rl0uE0e2WKB0.".into(), "DES crypt", "htpasswd -B"),
        (hash.replace('$', "$$"), "each $ is written twice, as in a compose file", "write each $ once"),
        (hash.replace("$04$", "$15$"), "the bcrypt cost 15 is not between 4 and 14", "htpasswd -B"),
        ("{SHA512-CRYPT}$6$x".into(), "{SHA512-CRYPT} is not supported", "htpasswd -B"),
        ("!".into(), "the account is locked", "htpasswd -B"),
        (String::new(), "there is no password hash after the colon", "htpasswd -B"),
        (
            "$argon2id$v=19$m=131072,t=1,p=1$2cqyLayLNH5UojWw5ugBHw$09//TONOU3oZUKsqyfMaojRq9pLVmRmlz2sFoHfCgcM".into(),
            "exceeds a limit: 64 MiB",
            "htpasswd -B",
        ),
        // Variants.
        (format!("\"{hash}\""), "there are quotes around the hash or the line", "remove the quotes"),
        (format!("{{BLF-CRYPT}}{hash}"), "the hash follows {BLF-CRYPT}", "remove it"),
        (format!("{{CRYPT}}{hash}"), "the hash follows {CRYPT}", "remove it"),
        (format!("!{hash}"), "the mark of a locked account (!)", "remove it"),
        (format!("{hash},bob:{hash}"), "the hash is followed by other text", "one user per line"),
        ("pbkdf2_sha256$600000$c2FsdA$aGFzaA=".into(), "Django's PBKDF2", "htpasswd -B"),
        ("pbkdf2:sha256:600000$c2FsdA$abcdef".into(), "werkzeug's PBKDF2", "htpasswd -B"),
        ("scrypt:32768:8:1$c2FsdA$abcdef".into(), "werkzeug's scrypt", "htpasswd -B"),
        ("registry:0123456789abcdef0123456789abcdef".into(), "the line is from htdigest", "htpasswd -B"),
        (MARK.to_owned(), "perhaps it is the password itself", "htpasswd -B"),
    ]
}

#[test]
fn unusable_line_has_the_same_diagnosis_in_every_output_field_c4_d5() {
    for (hash, what, remedy) in cannot_be_checked() {
        let folder = beside_a_good_line(&format!("alice:{hash}"));
        let check = folder.run(&["check"], "");
        let told = check.stdout.lines().find(|line| line.contains(":2:")).unwrap_or_default().to_owned();
        assert!(told.contains(what) && told.contains(remedy), "{hash}: {check:?}");
        // The same diagnosis and a separate exit status, with a right and with a wrong password.
        let diagnosis = told.splitn(4, ':').nth(3).unwrap().trim();
        for password in ["wonderland", "wrong"] {
            let verify = folder.run(&["user", "verify", "alice", "--stdin"], password);
            assert_eq!(verify.code, Some(3), "{hash}: {verify:?}");
            assert_eq!(verify.stderr, format!("doorward: {}:2: {diagnosis}\n", folder.name()), "{hash}");
        }
        let list = folder.run(&["user", "list"], "").stdout;
        assert!(
            list.contains(&format!("cannot log in: {}", diagnosis.split("; ").next().unwrap())),
            "{list}"
        );
        let explain = folder.run(&["explain", "alice", "GET", "/v2/"], "");
        assert_eq!(explain.code, Some(1), "{hash}: {explain:?}");
        assert!(explain.stdout.contains(diagnosis), "{hash}: {explain:?}");
    }
}

#[test]
fn wrong_password_and_unusable_line_differ_in_the_log_and_not_for_the_client_field_c4() {
    let hash = users::line("x", "wonderland", 4).trim_end().replace("x:", "");
    let doubled = format!("alice:{}\n", hash.replace('$', "$$"));
    let doorward = Doorward::start(&(users::line("bob", "builder", 4) + &doubled), &[]);
    for (user, network) in [("alice", "192.0.2.1"), ("bob", "192.0.2.2"), ("nobody", "192.0.2.3")] {
        assert_eq!(doorward.log_in(user, "wonderland", network), 401);
        let line = eventually("the refusal is logged", || {
            let named = format!("user=\"{user}\"");
            doorward
                .log()
                .lines()
                .find(|line| line.contains("request denied") && line.contains(&named))
                .map(str::to_owned)
        });
        assert!(line.contains("reason=\"wrong_credentials\""), "{line}");
        assert_eq!(
            line.contains("is invalid (run doorward check): each $ is written twice"),
            user == "alice",
            "{line}"
        );
    }
    // The exit status reveals whether a password is right only if the line can be checked.
    let folder = TestFolder::of(users::line("bob", "builder", 4));
    assert_eq!(folder.run(&["user", "verify", "bob", "--stdin"], "builder").code, Some(0));
    assert_eq!(folder.run(&["user", "verify", "bob", "--stdin"], "wrong").code, Some(1));
    assert_eq!(folder.run(&["user", "verify", "eve", "--stdin"], "wrong").code, Some(1));
}

#[test]
fn utf_16_file_is_reported_and_not_changed_field_d3() {
    let text = users::two().replace('\n', "\r\n");
    let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let little = [&b"\xff\xfe"[..], &wide(u16::to_le_bytes)].concat();
    let big = [&b"\xfe\xff"[..], &wide(u16::to_be_bytes)].concat();
    for content in [little.clone(), big, wide(u16::to_le_bytes)] {
        let folder = TestFolder::of(&content);
        for arguments in [
            &["check"][..],
            &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
            &["user", "list"],
            &["user", "add", "--stdin", "carol"],
            &["user", "set", "--stdin", "alice"],
            &["user", "remove", "alice"],
            &["user", "verify", "--stdin", "alice"],
        ] {
            let output = folder.run(arguments, "wonderland");
            assert_eq!(output.code, Some(1), "{arguments:?}: {output:?}");
            assert!(output.stderr.contains("UTF-16 text; save it as UTF-8"), "{arguments:?}: {output:?}");
            assert_eq!(all_output(&output).lines().count(), 1, "{arguments:?}: {output:?}");
            assert_eq!(fs::read(&folder.path).unwrap(), content, "{arguments:?}");
        }
    }
    // A line that an ASCII tool appended to such a file is used. Each other line is reported as UTF-16.
    let mixed = TestFolder::of([&little[..], b"\n", users::line("carol", "builder", 4).as_bytes()].concat());
    let check = mixed.run(&["check"], "");
    assert!(check.stdout.contains("the line is encoded as UTF-16; save the file as UTF-8"), "{check:?}");
}
