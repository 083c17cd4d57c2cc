//! The parser of the API key file, and the effect of invalid lines.

use super::*;

const ID: &str = "0123456789";

fn line(more: &str) -> String {
    let hash = "0".repeat(64);
    format!(r#"{{"id":"{ID}","hash":"sha256:{hash}","owner":"alice","name":"ci"{more}}}"#)
}

fn read(text: &str) -> ParsedApiKeys {
    parse(text.as_bytes(), &"keys".into(), None)
}

fn describe_match(parsed: &ParsedApiKeys) -> &'static str {
    match parsed.index.find(&ApiKeyId::parse(ID).unwrap()) {
        Some(ApiKeyMatch::ApiKey(_)) => "a key",
        Some(ApiKeyMatch::InvalidLine(_)) => "a bad line",
        None => "nothing",
    }
}

#[test]
fn comments_and_blank_lines_are_ignored() {
    let text = format!("\u{feff}# keys\r\n\r\n{}\r\n", line(""));
    let parsed = read(&text);
    assert_eq!((describe_match(&parsed), parsed.invalid_lines), ("a key", 0));
    let record = parsed.index.records().next().unwrap();
    assert_eq!(record.expires_at, None);
    assert!(record.identity.api_key.as_ref().unwrap().scope.is_none());
    assert_eq!(read("").index.records().count(), 0);
}

#[test]
fn optional_fields_are_parsed() {
    let more = r#","scope":["pull:a/**","catalog"],"created":"2026-01-01T00:00:00Z","expires":"2026-01-02T00:00:00Z","note":"x"#;
    let parsed = read(&line(&format!("{more}\"")));
    let record = parsed.index.records().next().unwrap();
    assert_eq!(record.expires_at, Some(1_767_312_000));
    assert!(record.identity.scope().is_some());
    // An empty scope permits nothing.
    let parsed = read(&line(r#","scope":[]"#));
    assert!(parsed.index.records().next().unwrap().identity.scope().is_some());
}

#[test]
fn invalid_line_disables_its_key_and_reports_why() {
    let other = line("").replace(ID, "abcdefghij");
    for (bad, expected) in [
        (line(r#","scope":["pul:a"]"#), "scope: "),
        (line(r#","scope":["pull:{user}/x"]"#), "for the policy"),
        (line(r#","expires":"tomorrow""#), "expires: write the time in UTC"),
        (line(r#","created":"1960-01-01T00:00:00Z""#), "created: "),
        // A misspelled field must not create a key without an expiry.
        (line(r#","expire":"2026-01-01T00:00:00Z""#), r#"unknown field "expire"; did you mean "expires"?"#),
        (line("").replace("alice", "a:b"), "owner: "),
        (line("").replace("\"ci\"", "\"c i\""), "name: "),
        (line("").replace("sha256", "md5"), "hash: "),
    ] {
        let parsed = read(&format!("{bad}\n{other}\n"));
        assert_eq!(describe_match(&parsed), "a bad line", "{bad}");
        assert_eq!((parsed.invalid_lines, parsed.index.records().count()), (1, 1), "{bad}");
        assert!(
            parsed.line_errors[0].line == 1 && parsed.line_errors[0].message.contains(expected),
            "{:?}",
            parsed.line_errors
        );
    }
    for cut in ["x", "{", &line("")[..40], &line("").replace(ID, "short")] {
        let parsed = read(&format!("{cut}\n{other}"));
        assert_eq!(
            (describe_match(&parsed), parsed.invalid_lines, parsed.index.records().count()),
            ("nothing", 1, 1),
            "{cut}"
        );
    }
}

#[test]
fn duplicate_id_disables_both_lines() {
    for pair in [
        [line(""), line(r#","scope":[]"#)],
        [line(""), line(r#","scope":["x"]"#)],
        [line(r#","scope":["x"]"#), line("")],
    ] {
        assert_eq!(describe_match(&read(&pair.join("\n"))), "a bad line", "{pair:?}");
    }
}

#[test]
fn line_errors_are_bounded_and_free_of_control_characters() {
    let parsed = read(&"\u{1b}[31m\n".repeat(1000));
    assert_eq!((parsed.line_errors.len(), parsed.invalid_lines), (LINE_ERRORS_MAX, 1000));
    assert!(parsed.line_errors.iter().all(|error| !error.message.contains(char::is_control)));
}
