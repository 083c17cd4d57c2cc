//! What is read of a file of keys, and what a line costs that can't be used.

use super::*;

const ID: &str = "0123456789";

fn line(more: &str) -> String {
    let hash = "0".repeat(64);
    format!(r#"{{"id":"{ID}","hash":"sha256:{hash}","owner":"alice","name":"ci"{more}}}"#)
}

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), &"keys".into(), None)
}

fn found(parsed: &Parsed) -> &'static str {
    match parsed.file.find(&Id::parse(ID).unwrap()) {
        Some(Found::ApiKey(_)) => "a key",
        Some(Found::Bad(_)) => "a bad line",
        None => "nothing",
    }
}

#[test]
fn a_key_is_a_line_and_comments_and_blank_lines_count_for_nothing() {
    let text = format!("\u{feff}# keys\r\n\r\n{}\r\n", line(""));
    let parsed = read(&text);
    assert_eq!((found(&parsed), parsed.bad), ("a key", 0));
    let record = parsed.file.records().next().unwrap();
    assert_eq!(record.expires, None);
    assert!(record.identity.key.as_ref().unwrap().scope.is_none());
    assert_eq!(read("").file.records().count(), 0);
}

#[test]
fn what_may_be_said_of_a_key_is_read() {
    let more = r#","scope":["pull:a/**","catalog"],"created":"2026-01-01T00:00:00Z","expires":"2026-01-02T00:00:00Z","note":"x"#;
    let parsed = read(&line(&format!("{more}\"")));
    let record = parsed.file.records().next().unwrap();
    assert_eq!(record.expires, Some(1_767_312_000));
    assert!(record.identity.scope().is_some());
    // An empty scope is one that permits nothing.
    let parsed = read(&line(r#","scope":[]"#));
    assert!(parsed.file.records().next().unwrap().identity.scope().is_some());
}

#[test]
fn a_line_that_cannot_be_used_costs_that_key_and_says_why() {
    let other = line("").replace(ID, "abcdefghij");
    for (bad, what) in [
        (line(r#","scope":["pul:a"]"#), "scope: "),
        (line(r#","scope":["pull:{user}/x"]"#), "for the policy"),
        (line(r#","expires":"tomorrow""#), "expires: write it in UTC"),
        (line(r#","created":"1960-01-01T00:00:00Z""#), "created: "),
        // An end that is misspelt must not make a key without one.
        (line(r#","expire":"2026-01-01T00:00:00Z""#), "expire: there is no such field; you may mean expires"),
        (line("").replace("alice", "a:b"), "owner: "),
        (line("").replace("\"ci\"", "\"c i\""), "name: "),
        (line("").replace("sha256", "md5"), "hash: "),
    ] {
        let parsed = read(&format!("{bad}\n{other}\n"));
        assert_eq!(found(&parsed), "a bad line", "{bad}");
        assert_eq!((parsed.bad, parsed.file.records().count()), (1, 1), "{bad}");
        assert!(parsed.faults[0].line == 1 && parsed.faults[0].what.contains(what), "{:?}", parsed.faults);
    }
    for cut in ["x", "{", &line("")[..40], &line("").replace(ID, "short")] {
        let parsed = read(&format!("{cut}\n{other}"));
        assert_eq!((found(&parsed), parsed.bad, parsed.file.records().count()), ("nothing", 1, 1), "{cut}");
    }
}

#[test]
fn of_two_lines_with_one_id_neither_counts() {
    for pair in [
        [line(""), line(r#","scope":[]"#)],
        [line(""), line(r#","scope":["x"]"#)],
        [line(r#","scope":["x"]"#), line("")],
    ] {
        assert_eq!(found(&read(&pair.join("\n"))), "a bad line", "{pair:?}");
    }
}

#[test]
fn a_fault_shows_no_control_character_and_their_number_is_bounded() {
    let parsed = read(&"\u{1b}[31m\n".repeat(1000));
    assert_eq!((parsed.faults.len(), parsed.bad), (FAULTS_MAX, 1000));
    assert!(parsed.faults.iter().all(|fault| !fault.what.contains(char::is_control)));
}
