//! User names and control characters in log lines.

use serde_json::Value;

use super::{line, question, start};
use crate::support::client::{Request, basic};
use crate::support::doorward::Doorward;
use crate::support::users;

#[test]
fn log_shows_the_user_name_as_it_was_decoded_field_c17() {
    // Without API keys, this is an ordinary user name.
    let users = users::line("dwk_bob", "builder", users::QUICK) + &users::alice();
    let doorward = Doorward::start(&users, &[]);
    assert_eq!(doorward.log_in("dwk_bob", "builder", "192.0.2.1"), 200);
    assert_eq!(doorward.log_in("dwk_bob", "wrong", "192.0.2.1"), 401);
    line(&doorward, &["reason=\"wrong_credentials\"", "user=\"dwk_bob\""]);
    // The guess is repeated, answered from the cache of rejections. Then it is sent as a bearer token, which is invalid
    // without API keys.
    assert_eq!(doorward.log_in("dwk_bob", "wrong", "192.0.2.2"), 401);
    line(&doorward, &["reason=\"wrong_credentials\"", "user=\"dwk_bob\"", "192.0.2.2"]);
    let bearer = Request::auth().from("192.0.2.3").header("Authorization", "Bearer dwk_bob");
    assert_eq!(doorward.ask(&bearer).status, 401);
    line(&doorward, &["reason=\"unsupported_scheme\"", "user=\"\"", "192.0.2.3"]);
    // Without padding, in another case, after several blanks.
    for (at, value) in [
        basic("alice:wrong").trim_end_matches('=').to_owned(),
        basic("alice:wrong").replace("Basic ", "bAsIc    "),
        basic("alice:other:wrong"),
    ]
    .into_iter()
    .enumerate()
    {
        let client = format!("192.0.2.{}", 10 + at);
        assert_eq!(doorward.ask(&Request::auth().from(&client).header("Authorization", value)).status, 401);
        line(&doorward, &["reason=\"wrong_credentials\"", "user=\"alice\"", &client]);
    }
}

#[test]
fn denial_log_line_names_the_user_with_and_without_a_worker_cache_entry() {
    let doorward = start(true, &["--log-denials-per-second", "1000"]);
    let denied =
        |uri: &str| question("PUT", uri).header("X-Auth-Rewrite", "yes").basic("alice", "wonderland");
    for number in 0..4 {
        assert_eq!(doorward.ask(&denied(&format!("/v2/a{number}/manifests/1"))).status, 403);
        line(&doorward, &["reason=\"policy\"", "user=\"alice\"", &format!("repository:a{number}:push")]);
    }
}

/// Characters that end a line for some readers, move or hide text in a terminal, or reverse its direction.
const HIDDEN: [char; 9] =
    ['\u{85}', '\u{9b}', '\u{202e}', '\u{2028}', '\u{2029}', '\u{200b}', '\u{2066}', '\u{feff}', '\u{ad}'];

#[test]
fn control_characters_from_clients_are_escaped_in_both_log_formats() {
    let name = |char: char| format!("a{char}b");
    for format in ["json", "text"] {
        let doorward = start(
            true,
            &["--log-format", format, "--log-denials-per-second", "1000", "--log-allowed-requests", "true"],
        );
        for (at, char) in HIDDEN.into_iter().enumerate() {
            let client = format!("192.0.2.{at}");
            let request = Request::auth()
                .header("X-Original-Method", name(char))
                .header("X-Original-URI", format!("/{}", name(char)))
                .header("X-Original-Host", name(char))
                .header("X-Original-Content-Type", "ct:")
                .header("X-Request-ID", name(char))
                .basic("alice", "wrong")
                .from(&client);
            assert_eq!(doorward.ask(&request).status, 401);
            // A user name with such a character is refused and not logged.
            let named = Request::auth().basic(&name(char), "wrong").from("198.51.100.1");
            assert_eq!(doorward.ask(&named).status, 401);
            let line = line(&doorward, &[&client]);
            if format == "json" {
                let value: Value = serde_json::from_str(&line).unwrap();
                for field in ["method", "host", "request_id"] {
                    assert_eq!(value[field], name(char), "{field}: {line}");
                }
            } else {
                assert!(line.contains(&format!("method=\"a{}b\"", char.escape_unicode())), "{line}");
            }
        }
        let log = doorward.log();
        let odd: Vec<char> = log.chars().filter(|char| *char != '\n' && !matches!(char, ' '..='~')).collect();
        assert!(odd.is_empty(), "{format}: {odd:?}");
    }
}
