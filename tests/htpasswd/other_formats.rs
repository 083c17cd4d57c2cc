//! Password files of other programs, configured as the htpasswd file.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::secrets::MARK;
use crate::support::test_folder::{TestFolder, all_output};
use crate::support::users;

/// A file: its program, its content, and words of the error about it.
type Case = (&'static str, Vec<u8>, &'static str);

fn hash() -> String {
    users::line("x", "wonderland", 4).trim_end().replace("x:", "")
}

/// Returns two lines of one pattern, each with another user and secret.
fn two(pattern: &str) -> Vec<u8> {
    let line = |user: &str| pattern.replace("USER", user).replace("SECRET", &format!("{MARK}{user}")) + "\n";
    (line("alice") + &line("bob")).into_bytes()
}

/// Files that do not consist of lines.
fn other_formats() -> Vec<Case> {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{MARK}\n-----END PRIVATE KEY-----\n");
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let binary = |magic: &[u8]| [magic, b"\0\x01\x02\0", MARK.as_bytes()].concat();
    vec![
        ("gzip", binary(b"\x1f\x8b\x08\0"), "compressed by gzip; unpack it"),
        ("bzip2", binary(b"BZh91AY&SY"), "compressed by bzip2"),
        ("xz", binary(b"\xfd7zXZ\0"), "compressed by xz"),
        ("zstd", binary(b"\x28\xb5\x2f\xfd"), "compressed by zstd"),
        ("a spreadsheet", binary(b"PK\x03\x04"), "a ZIP archive, or a spreadsheet"),
        ("7z", binary(b"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
        ("a PNG", binary(b"\x89PNG\r\n\x1a\n"), "an image"),
        ("a JPEG", binary(b"\xff\xd8\xff\xe0"), "an image"),
        ("a GIF", binary(b"GIF89a"), "an image"),
        ("a PDF", binary(b"%PDF-1.7"), "a PDF document"),
        ("a program", binary(b"\x7fELF"), "a program"),
        ("SQLite", binary(b"SQLite format 3\0"), "a database of SQLite"),
        ("KeePass", binary(b"\x03\xd9\xa2\x9a"), "a database of KeePass"),
        ("a keytab", binary(b"\x05\x02"), "a keytab"),
        ("a Berkeley DB", binary(b"\0\x05\x31\x62"), "a binary file"),
        ("a file after a crash", vec![0; 4096], "full of NUL bytes"),
        (
            "UTF-16 of PowerShell",
            [&b"\xff\xfe"[..], &wide(&format!("alice:{MARK}\r\n"))].concat(),
            "UTF-16 text",
        ),
        ("UTF-16 without a mark", wide(&format!("alice:{MARK}\r\nbob:{MARK}\r\n")), "UTF-16 text"),
        ("a private key", pem.clone().into_bytes(), "PEM, a key or a certificate"),
        ("a certificate", pem.replace("PRIVATE KEY", "CERTIFICATE").into(), "PEM"),
        ("Kubernetes's Secret", two("---\nkind: Secret\nauth: SECRET"), "YAML"),
        ("docker's config.json", format!("{{\"auths\":{{\"r\":{{\"auth\":\"{MARK}\"}}}}}}\n").into(), "JSON"),
        ("a Django dump", format!("[\n {{\"password\": \"{MARK}\"}}\n]\n").into(), "JSON"),
        (
            "Tomcat's users",
            format!("<?xml version='1.0'?>\n<user password=\"{MARK}\"/>\n").into(),
            "XML or HTML",
        ),
        ("a web page", format!("<!DOCTYPE html>\n<p>{MARK}:{MARK}\n").into(), "XML or HTML"),
    ]
}

/// Files that consist of lines.
fn other_lines() -> Vec<Case> {
    let hex = |digits: usize| "0123456789abcdef".chars().cycle().take(digits).collect::<String>();
    let of = |pattern: &str| {
        pattern.replace("HEX32", &hex(32)).replace("HEX40", &hex(40)).replace("HEX64", &hex(64))
    };
    let lines = |pattern: &str| two(&of(pattern));
    let encoded = BASE64_STANDARD.encode(format!("{MARK}{MARK}"));
    vec![
        ("htdigest", lines("USER:realm SECRET:HEX32"), "the line is from htdigest"),
        ("Django's CSV", lines("USER,pbkdf2_sha256$600000$SECRET$x="), "has no colon"),
        ("Django's export", lines("USER:pbkdf2_sha256$600000$SECRET$x="), "Django's PBKDF2"),
        ("Django's bcrypt", lines("USER:bcrypt_sha256$$2b$12$SECRET"), "Django's bcrypt"),
        ("Django's argon2", lines("USER:argon2$argon2id$SECRET"), "Django's argon2"),
        ("werkzeug's export", lines("USER:pbkdf2:sha256:600000$SECRET$x"), "werkzeug's PBKDF2"),
        ("werkzeug's scrypt", lines("USER:scrypt:32768:8:1$SECRET$x"), "werkzeug's scrypt"),
        ("CSV", lines("USER,SECRET,2026-01-01T10:00"), "the hash format is unknown"),
        ("CSV with semicolons", lines("USER;SECRET"), "has no colon"),
        ("TSV", lines("USER\tSECRET"), "has no colon, perhaps a space"),
        ("YAML of users", lines("- name: USER SECRET"), "the hash format is unknown"),
        ("INI", lines("USER = SECRET"), "has no colon"),
        (".env", lines("USER=SECRET"), "has no colon"),
        ("INI with sections", lines("[users]\nUSER = SECRET"), "has no colon"),
        (".netrc", lines("machine r login USER password SECRET"), "has no colon, perhaps a space"),
        (".pgpass", lines("localhost:5432:db:USER:SECRET"), "the hash format is unknown"),
        (
            "Squid's and Samba's smbpasswd",
            lines("USER:1001:SECRET:HEX32:[U]:LCT-1"),
            "the hash format is unknown",
        ),
        ("pwdump", lines("USER:500:SECRET:HEX32:::"), "the hash format is unknown"),
        ("/etc/passwd", lines("USER:x:1001:1001:SECRET:/home:/bin/sh"), "its hash is in another file"),
        ("a locked /etc/shadow", lines("USER:!:19000:0:99999:7:::"), "the account is locked"),
        ("Dovecot's", lines("USER:{SCRAM-SHA-256}4096,SECRET"), "{SCRAM-SHA-256} is not supported"),
        ("LDAP's", lines("USER:{SSHA512}SECRET"), "{SSHA512} is not supported"),
        ("Spring's", lines("USER:{noop}SECRET"), "{noop} is not supported"),
        ("an unknown scheme", lines("USER:{SECRET}x"), "the scheme in braces is unknown"),
        ("WordPress's", lines("USER:$P$BSECRET"), "WordPress's"),
        ("Drupal's", lines("USER:$S$ESECRET"), "Drupal's hash"),
        ("MySQL's", lines("USER:*HEX40"), "MySQL's hash"),
        ("PostgreSQL's", lines("USER:md5HEX32"), "PostgreSQL's MD5"),
        ("PostgreSQL's SCRAM", lines("USER:SCRAM-SHA-256$4096:SECRET"), "PostgreSQL's SCRAM"),
        ("ASP.NET's", lines("USER:AQAAAASECRET"), "ASP.NET's hash"),
        ("Jenkins's", lines("USER:#jbcrypt:$2a$SECRET"), "Jenkins's prefix"),
        ("SQL Server's", lines("USER:0x0200SECRET"), "SQL Server's hash"),
        ("hex digests", lines("USER:HEX64"), "a SHA-256 hash in hexadecimal"),
        ("passlib's", lines("USER:$pbkdf2-sha256$SECRET"), "PBKDF2"),
        ("Cisco's", lines("USER:$9$SECRET"), "Cisco's scrypt"),
        ("FreeRADIUS's", lines("USER Cleartext-Password:= \"SECRET\""), "the hash format is unknown"),
        ("SQL", lines("INSERT INTO users VALUES ('USER', 'SECRET');"), "has no colon"),
        ("base64 of pairs", format!("{encoded}\n{encoded}\n").into(), "has no colon"),
        ("a URL with a password", lines("https://USER:SECRET@r.example.com/"), "the hash format is unknown"),
        ("a shell history", lines("curl -u USER:SECRET http://r"), "the hash format is unknown"),
    ]
}

fn assert_diagnosed(folder: &TestFolder, what: &str, words: &str, content: &[u8]) {
    for arguments in [&["check"][..], &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]]
    {
        let output = folder.run(arguments, "");
        let told = all_output(&output);
        assert_eq!(output.code, Some(1), "{what}, {arguments:?}: {told}");
        assert!(told.contains(words), "{what}, {arguments:?}: {told}");
        // One error for the file, or one for each line if the lines are names and hashes.
        let most = if arguments[0] == "serve" { 1 } else { content.split(|b| *b == b'\n').count() - 1 };
        assert!(told.lines().count() <= most.max(1), "{what}, {arguments:?}: {told}");
    }
    assert_eq!(fs::read(&folder.path).unwrap(), content, "{what}");
}

#[test]
fn file_of_another_format_is_named_in_one_line_and_not_changed() {
    let cases = other_formats();
    for (what, content, words) in &cases {
        let folder = TestFolder::of(content);
        assert_diagnosed(&folder, what, words, content);
        for arguments in [&["user", "list"][..], &["user", "add", "--stdin", "--cost", "4", "carol"]] {
            let output = folder.run(arguments, "wonderland");
            assert_eq!(output.code, Some(1), "{what}: {output:?}");
            assert!(
                output.stderr.contains(words) && all_output(&output).lines().count() == 1,
                "{what}: {output:?}"
            );
            assert_eq!(&fs::read(&folder.path).unwrap(), content, "{what}");
        }
    }
    assert!(cases.len() + other_lines().len() >= 50);
}

#[test]
fn file_with_foreign_lines_is_reported_without_its_secrets() {
    for (what, content, words) in other_lines() {
        let folder = TestFolder::of(&content);
        assert_diagnosed(&folder, what, words, &content);
        let list = folder.run(&["user", "list"], "");
        assert_eq!(list.code, Some(0), "{what}: {list:?}");
        assert!(list.stdout.contains("cannot log in: "), "{what}: {list:?}");
        let add = folder.run(&["user", "add", "--stdin", "--cost", "4", "carol"], "wonderland");
        match add.code {
            // Lines with names and hashes are an htpasswd file with unusable lines.
            Some(0) => {
                assert_eq!(all_output(&add), "", "{what}");
                assert_eq!(
                    folder.run(&["user", "verify", "--stdin", "carol"], "wonderland").code,
                    Some(0),
                    "{what}"
                );
            }
            _ => {
                assert!(
                    add.stderr.contains("lines is NAME:HASH, so the file seems to have another format"),
                    "{what}: {add:?}"
                );
                assert_eq!(fs::read(&folder.path).unwrap(), content, "{what}");
            }
        }
    }
}

#[test]
fn shadow_file_admits_users_with_a_supported_hash() {
    let folder = TestFolder::of(format!(
        "root:!:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nalice:{}:19000:0:99999:7:::\n",
        hash()
    ));
    let check = folder.run(&["check"], "");
    assert!(check.stdout.contains("users that can log in: 1 (bcrypt 1); invalid lines: 2"), "{check:?}");
    assert_eq!(folder.run(&["user", "verify", "--stdin", "alice"], "wonderland").code, Some(0));
    assert_eq!(folder.run(&["user", "verify", "--stdin", "root"], "wonderland").code, Some(3));
}

#[test]
fn wrong_file_set_as_policy_groups_or_api_keys_is_reported_without_secrets() {
    for (what, content, words) in other_formats() {
        let folder = TestFolder::of(users::alice());
        let file = folder.dir.path().join("file");
        fs::write(&file, &content).unwrap();
        for flag in
            ["--policy", "--groups", "--api-keys", "--token-signing-keys", "--proxy-secret-file", "--config"]
        {
            let output = folder.run(&["check", flag, file.to_str().unwrap()], "");
            // `check` does not read the file of the proxy secret. All others are read: API keys are JSON, and
            // key pairs are PEM.
            let is_read = flag != "--proxy-secret-file";
            assert!(!is_read || output.code != Some(0), "{what}, {flag}: {output:?}");
            if matches!(flag, "--policy" | "--groups" | "--config") {
                assert!(all_output(&output).contains(words), "{what}, {flag}: {output:?}");
            }
        }
    }
    for (what, content, _) in other_lines() {
        let folder = TestFolder::of(users::alice());
        let file = folder.dir.path().join("file");
        fs::write(&file, &content).unwrap();
        for flag in ["--policy", "--groups", "--api-keys", "--token-signing-keys", "--config"] {
            let output = folder.run(&["check", flag, file.to_str().unwrap()], "");
            // A group file accepts any words that are valid names.
            assert!(flag == "--groups" || output.code != Some(0), "{what}, {flag}: {output:?}");
            if flag != "--groups" {
                let serve = folder.run(
                    &[
                        "serve",
                        "--listen",
                        "127.0.0.1:0",
                        "--admin-listen",
                        "127.0.0.1:0",
                        flag,
                        file.to_str().unwrap(),
                    ],
                    "",
                );
                assert_ne!(serve.code, Some(0), "{what}, {flag}: {serve:?}");
            }
        }
    }
}
