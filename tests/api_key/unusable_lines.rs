//! Invalid lines of the API key file disable only their own key.

use super::{ApiKeySetup, assert_admitted};
use crate::support::keys::{Key, Presentation, file, presentations};

/// Checks a file with a damaged line between two valid ones, both at start and after a reload. The damaged
/// key is refused, and the other two are accepted. The log names the line and the error.
fn assert_costs_itself(damaged: &str, key: &Key, refusal: &str, what: &str) {
    let (before, after) = (Key::new("ann", "before"), Key::new("bob", "after"));
    let text = format!("# keys\n{}{}\n{}", before.line(), damaged.trim_end(), after.line());
    let started = ApiKeySetup::open(&text);
    let later = ApiKeySetup::of(&[key]);
    assert_admitted(&later.show(Presentation::Bearer, &key.secret), "ann");
    later.put(&text);
    later.await_status(Presentation::Bearer, &key.secret, 401);
    for setup in [started, later] {
        setup.await_log(&format!("/keys:3: {what}"));
        let refusal = refusal.replace("ID", &key.id());
        presentations("ann").into_iter().for_each(|way| setup.assert_refused(way, &key.secret, &refusal));
        assert_admitted(&setup.show(Presentation::Bearer, &before.secret), "ann");
        assert_admitted(&setup.show(Presentation::Bearer, &after.secret), "bob");
        assert_eq!(setup.doorward.metric("doorward_api_keys"), 2.0);
        assert_eq!(setup.doorward.metric("doorward_api_keys_invalid_lines"), 1.0);
    }
}

const ITS_LINE: &str = "API key ID: line 3 of the file is invalid; to see the reason, run: doorward check";
const NOT_THERE: &str = "API key ID is not in the file: it was revoked or never issued";

#[test]
fn line_with_a_malformed_scope_disables_its_key() {
    let key = Key::new("ann", "ci");
    for (scope, what) in [
        (&["pul:team/**"][..], "scope: permission 1: unknown action; the actions are pull"),
        (&["pull:team/**", "push"], "scope: permission 2: not a permission; write ACTIONS:REPOSITORY"),
        (&["pull:{user}/**"], "scope: permission 1: {user} and {group} are only for the policy"),
        (&[""], "scope: permission 1: not a permission; write ACTIONS:REPOSITORY"),
    ] {
        assert_costs_itself(&key.clone().scope(scope).line(), &key, ITS_LINE, what);
    }
}

#[test]
fn line_with_a_scope_that_is_not_a_list_disables_its_key() {
    let key = Key::new("ann", "ci");
    for scope in [serde_json::json!("pull:**"), serde_json::json!([1]), serde_json::json!({"pull": "**"})] {
        assert_costs_itself(
            &key.clone().with("scope", scope).line(),
            &key,
            ITS_LINE,
            "invalid API key: scope: must be an array of strings",
        );
    }
}

#[test]
fn line_with_an_unknown_field_disables_its_key() {
    let key = Key::new("ann", "ci");
    for field in ["expire", "Expires", "scopes", "x"] {
        let line = key.clone().with(field, "2020-01-01T00:00:00Z").line();
        assert_costs_itself(&line, &key, ITS_LINE, "invalid API key: ");
    }
}

#[test]
fn line_with_an_invalid_missing_or_duplicate_field_disables_its_key() {
    let key = Key::new("ann", "ci");
    let whole = key.line();
    for (field, value, what) in [
        ("hash", "sha256:00", "hash: "),
        ("hash", &"0".repeat(64), "hash: "),
        ("owner", "", "owner: "),
        ("owner", "a:b", "owner: "),
        ("name", "", "name: "),
        ("name", "two words", "name: "),
        ("expires", "tomorrow", "expires: write the time in UTC"),
        ("expires", "", "expires: write the time in UTC"),
        ("expires", "2027-01-31", "expires: write the time in UTC"),
        ("expires", "2027-01-31T12:00:00+02:00", "expires: write the time in UTC"),
        ("expires", "1960-01-31T12:00:00Z", "expires: write the time in UTC"),
        ("created", "yesterday", "created: write the time in UTC"),
    ] {
        assert_costs_itself(&key.clone().with(field, value).line(), &key, ITS_LINE, what);
    }
    let numbered = key.clone().with("expires", 1_900_000_000).line();
    assert_costs_itself(&numbered, &key, ITS_LINE, "invalid API key: ");
    let unowned = whole.replace("\"owner\":\"ann\"", "\"note\":\"x\"");
    assert_costs_itself(&unowned, &key, ITS_LINE, "invalid API key: missing field owner");
    let twice = whole.replace("\"owner\":\"ann\"", "\"owner\":\"ann\",\"owner\":\"bob\"");
    assert_costs_itself(&twice, &key, ITS_LINE, "invalid API key: a field is present twice");
    // The owner of the key is unknown.
    let nobodys = key.clone().with("id", "short").line();
    assert_costs_itself(&nobodys, &key, NOT_THERE, "id: must be 10 letters and digits");
}

#[test]
fn truncated_or_invalid_json_line_disables_its_key() {
    let key = Key::new("ann", "ci");
    let whole = key.line();
    for cut in [whole.len() - 2, whole.len() / 2, 20, 1] {
        assert_costs_itself(&whole[..cut], &key, NOT_THERE, "invalid API key: not JSON at byte ");
    }
    assert_costs_itself(
        "not a key",
        &key,
        NOT_THERE,
        "the line of 9 bytes is not an API key; write one JSON object per line",
    );
    assert_costs_itself(
        "\u{0}\u{1}\u{fffd}",
        &key,
        NOT_THERE,
        "the line of 5 bytes is not an API key; write one JSON object per line",
    );
    assert_costs_itself(
        &format!("{},", whole.trim_end()),
        &key,
        NOT_THERE,
        "invalid API key: not JSON at byte ",
    );
}

#[test]
fn duplicate_id_disables_both_keys_and_no_other() {
    let (first, other) = (Key::new("ann", "first"), Key::new("ann", "other"));
    let second = Key::new("bob", "second").with("id", first.bare_id());
    for text in [
        file(&[&first, &other, &second]),
        file(&[&second, &other, &first]),
        file(&[&first, &other, &first]),
        first.line() + &other.line() + &second.clone().with("expire", "x").line(),
        second.clone().scope(&["x"]).line() + &other.line() + &first.line(),
    ] {
        let setup = ApiKeySetup::open(&text);
        let why = format!("API key {}: line ", first.id());
        for way in presentations("ann") {
            assert_eq!(setup.show(way, &first.secret).status, 401, "{text}");
            assert_admitted(&setup.show(way, &other.secret), "ann");
        }
        setup.await_log(&why);
        assert_eq!(setup.doorward.metric("doorward_api_keys"), 1.0, "{text}");
    }
    let setup = ApiKeySetup::of(&[&first, &other, &second]);
    setup.await_log(&format!(
        "/keys:3: another line has the same id {}; both are disabled, so remove one",
        first.bare_id()
    ));
    setup.put(file(&[&first, &other]));
    setup.await_status(Presentation::Bearer, &first.secret, 200);
}

#[test]
fn comments_blank_lines_carriage_returns_and_bom_are_ignored() {
    let keys = ["a", "b", "c"].map(|name| Key::new("ann", name));
    let [a, b, c] = keys.each_ref().map(|key| key.line().trim_end().to_owned());
    let text =
        format!("\u{feff}{a}\r\n\r\n  # {}\n\t{b}  \n\n#\n{c}", Key::new("ann", "no").line().trim_end());
    let setup = ApiKeySetup::open(&text);
    for key in &keys {
        assert_admitted(&setup.show(Presentation::Bearer, &key.secret), "ann");
    }
    assert_eq!(setup.doorward.metric("doorward_api_keys_invalid_lines"), 0.0);
    // A key in a comment is not used.
    setup.put(format!("#{a}\n{b}\n"));
    setup.await_status(Presentation::Bearer, &keys[0].secret, 401);
    assert_admitted(&setup.show(Presentation::Bearer, &keys[1].secret), "ann");
}
