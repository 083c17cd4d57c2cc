//! The rules for lines, which are those of Apache and nginx.

use super::*;

const SHA: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

fn read(text: impl AsRef<[u8]>) -> ParsedHtpasswd {
    parse(
        text.as_ref().to_vec(),
        &HtpasswdParseOptions { fingerprint_key: [5; 32], ..HtpasswdParseOptions::default() },
    )
}

fn findings(text: impl AsRef<[u8]>) -> Vec<String> {
    read(text).findings.iter().map(ToString::to_string).collect()
}

/// Returns true if `user` has a valid line.
fn has_valid_line(parsed: &ParsedHtpasswd, user: &str) -> bool {
    parsed.users.find(user.as_bytes()).is_some_and(|entry| entry.format.is_some())
}

#[test]
fn comments_blank_lines_crlf_bom_and_extra_fields_are_accepted() {
    let text = format!(
        "\u{feff}alice:{SHA}\r\n# bob:{SHA}\n\n   \r\n#\n  carol:{SHA}:Carol Example:x\t \ndave:{SHA}"
    );
    let parsed = read(&text);
    assert_eq!(parsed.findings, []);
    for user in ["alice", "carol", "dave"] {
        assert!(has_valid_line(&parsed, user), "{user}");
        let entry = parsed.users.find(user.as_bytes()).unwrap();
        assert_eq!(parsed.users.hash_text(&entry), SHA.as_bytes());
    }
    assert!(parsed.users.find(b"bob").is_none());
    assert!(parsed.users.find(b"# bob").is_none());
    assert_eq!(parsed.users.len(), 3);
}

#[test]
fn first_of_duplicate_lines_is_used_even_if_invalid() {
    let parsed = read(format!("alice:$2y$\nalice:{SHA}\nbob:{SHA}\nbob:$2y$\n"));
    assert!(!has_valid_line(&parsed, "alice"));
    assert!(has_valid_line(&parsed, "bob"));
    let notes: Vec<_> =
        parsed.findings.iter().filter(|finding| !finding.is_line_invalid).map(|f| f.line).collect();
    assert_eq!(notes, [2, 4]);
    assert_eq!(parsed.users.invalid_lines(), 1);
}

#[test]
fn invalid_line_affects_only_its_own_user() {
    let parsed = read(format!("alice\nbob:\n:{SHA}\ncarol:hunter2\ndave:{SHA}\ne\x01ve:{SHA}\n"));
    for user in ["alice", "bob", "carol"] {
        assert!(parsed.users.find(user.as_bytes()).is_some() && !has_valid_line(&parsed, user), "{user}");
    }
    assert!(has_valid_line(&parsed, "dave"));
    assert_eq!(parsed.users.len(), 4);
}

#[test]
fn finding_shows_place_and_remedy_but_no_hash() {
    let messages = findings("# users\n  carol:hunter2\n:x\n");
    assert_eq!(
        messages,
        [
            "2:9: the hash format is unknown, perhaps it is the password itself (line of 13 bytes); the user cannot \
             log in: set the password again with htpasswd -B FILE NAME",
            "3:1: the user name is empty; write NAME:HASH",
        ]
    );
}

#[test]
fn file_of_another_kind_is_parsed_with_bounded_findings() {
    let binary: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let parsed = read(binary);
    assert!(parsed.findings.len() <= FINDINGS_MAX);
    let many = "x\n".repeat(5000);
    assert!(read(many).findings.len() <= FINDINGS_MAX);
    let long = format!("alice:{}\nbob:{SHA}\n", "y".repeat(100_000));
    let parsed = read(long);
    assert!(!has_valid_line(&parsed, "alice") && has_valid_line(&parsed, "bob"));
}

#[test]
fn user_names_are_compared_as_case_sensitive_bytes() {
    let parsed =
        read([b"zo\xeb:".as_slice(), SHA.as_bytes(), b"\nzo\xc3\xab:", SHA.as_bytes(), b"\n"].concat());
    assert_eq!(parsed.findings, []);
    assert!(parsed.users.find(b"zo\xeb").is_some());
    assert!(parsed.users.find("zoë".as_bytes()).is_some());
    assert!(parsed.users.find(b"Zo\xeb").is_none());
}

#[test]
fn bcrypt_costs_and_formats_are_counted() {
    let bcrypt = |cost: u8| format!("$2y${cost:02}$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK");
    let parsed = read(format!("a:{}\nb:{}\nc:{SHA}\n", bcrypt(5), bcrypt(10)));
    assert_eq!(parsed.users.bcrypt_cost_range(), Some((5, 10)));
    assert_eq!(parsed.users.count_formats().into_iter().collect::<Vec<_>>(), [("bcrypt", 2), ("sha", 1)]);
}
