//! Malformed credentials and headers: each is refused, and the next request is answered.

use std::path::Path;

use super::{assert_allow, assert_challenge, assert_forbid, assert_no_user};
use crate::support::client::{Request, basic};
use crate::support::doorward::Doorward;
use crate::support::users;

/// Returns a request with this `Authorization` header.
fn with(value: impl AsRef<[u8]>) -> Request {
    Request::auth().header("Authorization", value)
}

#[test]
fn authorization_scheme_is_case_insensitive() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let pair = basic("alice:wonderland").replace("Basic ", "");
    for scheme in ["Basic ", "basic ", "BASIC ", "bAsIc ", "Basic   "] {
        assert_allow(&doorward.ask(&with(format!("{scheme}{pair}"))), b"alice");
    }
    for scheme in ["Basicx ", "Basi ", "Basic", "Basic\t", "Basic:", "Basic,", "Bas ic "] {
        assert_challenge(&doorward.ask(&with(format!("{scheme}{pair}"))));
    }
}

#[test]
fn unknown_authorization_scheme_is_challenged() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let pair = basic("alice:wonderland").replace("Basic ", "");
    for value in ["Bearer x", "bearer", "Digest username=\"alice\"", "Negotiate YII", "AWS4-HMAC-SHA256 x"] {
        assert_challenge(&doorward.ask(&with(value)));
    }
    assert_challenge(&doorward.ask(&with(format!("Bearer {pair}"))));
}

#[test]
fn invalid_base64_is_challenged() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let good = basic("alice:wonderland");
    let pair = good.replace("Basic ", "");
    let cases = [
        String::new(),
        "Basic".into(),
        "Basic ".into(),
        "Basic =".into(),
        "Basic !!!!".into(),
        "Basic alice:wonderland".into(),
        format!("{good}!"),
        format!("{good} {pair}"),
        format!("{good}, {good}"),
        format!("{good},"),
        format!("Basic \"{pair}\""),
        format!("Basic {}", "A".repeat(5)),
        // The URL-safe alphabet of base64 is not accepted.
        format!("Basic {}", basic("alice:\u{3ff}\u{3ff}?").replace("Basic ", "").replace('/', "_")),
    ];
    for value in cases {
        assert_challenge(&doorward.ask(&with(value)));
    }
    // Some clients omit the padding.
    assert_allow(&doorward.ask(&with(good.trim_end_matches('='))), b"alice");
}

#[test]
fn credentials_without_colon_name_or_password_are_challenged() {
    // This file would match if an empty name or password were looked up.
    let doorward = Doorward::start(&(users::alice() + &users::line("empty", "", users::QUICK)), &[]);
    for pair in ["alice", ":", ":wonderland", "alice:", "empty:", "empty", "alice wonderland", "\u{ff1a}"] {
        assert_challenge(&doorward.ask(&with(basic(pair))));
    }
}

#[test]
fn credentials_with_nul_or_control_characters_are_challenged() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let pairs: [&[u8]; 11] = [
        b"alice\0:wonderland",
        b"\0alice:wonderland",
        b"alice:wonderland\0",
        b"alice:wonderland\0x",
        b"alice:\0wonderland",
        b"ali\nce:wonderland",
        b"alice\r\nX-Auth-User: root:wonderland",
        b"alice\x7f:wonderland",
        b"\talice:wonderland",
        b"alice:wonder\x01land",
        b"\x1b[2Jalice:x",
    ];
    for pair in pairs {
        assert_challenge(&doorward.ask(&with(basic(pair))));
    }
    assert!(!doorward.log().contains('\u{1b}'), "what a client sends can't steer a terminal");
    // bcrypt repeats the password with its NUL, so "ab" and "ab\0ab" have the same hash.
    let doorward = Doorward::start(&users::line("eve", "ab", users::QUICK), &[]);
    assert_allow(&doorward.ask(&with(basic("eve:ab"))), b"eve");
    assert_challenge(&doorward.ask(&with(basic("eve:ab\0ab"))));
    assert_challenge(&doorward.ask(&with(basic("eve:ab\0"))));
}

#[test]
fn utf_8_and_latin_1_names_are_distinct_and_returned_unchanged() {
    let hash = users::line("x", "wonderland", users::QUICK).replace("x:", "");
    let dir = tempfile::tempdir().unwrap();
    let file = [b"zo\xeb:", hash.as_bytes(), "zo\u{eb}l:".as_bytes(), hash.as_bytes()].concat();
    std::fs::write(dir.path().join("htpasswd"), file).unwrap();
    let doorward = Doorward::start_in(dir, &[]);
    assert_allow(&doorward.ask(&with(basic(b"zo\xeb:wonderland"))), b"zo\xeb");
    assert_allow(&doorward.ask(&with(basic("zo\u{eb}l:wonderland"))), "zo\u{eb}l".as_bytes());
    assert_challenge(&doorward.ask(&with(basic("zo\u{eb}:wonderland"))));
    assert_challenge(&doorward.ask(&with(basic(b"zo\xebl:wonderland"))));
    // The decomposed form of the same letter is another name.
    assert_challenge(&doorward.ask(&with(basic("zoe\u{308}l:wonderland"))));
}

#[test]
fn utf_8_password_is_compared_byte_by_byte() {
    let doorward = Doorward::start(&users::line("alice", "pässwörd", users::QUICK), &[]);
    assert_allow(&doorward.ask(&with(basic("alice:pässwörd"))), b"alice");
    assert_challenge(&doorward.ask(&with(basic(b"alice:p\xe4ssw\xf6rd"))));
}

#[test]
fn password_with_colons_is_accepted() {
    let doorward = Doorward::start(&users::line("alice", "a:b:c", users::QUICK), &[]);
    assert_allow(&doorward.ask(&with(basic("alice:a:b:c"))), b"alice");
    assert_challenge(&doorward.ask(&with(basic("alice:a"))));
    assert_challenge(&doorward.ask(&with(basic("alice:a:b"))));
}

#[test]
fn user_name_is_case_sensitive() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for name in ["Alice", "ALICE", "alice ", " alice", "alic", "alicee"] {
        assert_challenge(&doorward.ask(&Request::auth().basic(name, "wonderland")));
    }
}

#[test]
fn header_of_64_kib_is_refused_and_the_next_request_is_answered() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let long = "x".repeat(1 << 16);
    let right = || Request::auth().basic("alice", "wonderland");
    // A password that is too long, and a header that is too long.
    assert_challenge(&doorward.ask(&with(basic(format!("alice:{long}")))));
    assert_challenge(&doorward.ask(&with(format!(
        "{}{}",
        basic("alice:wonderland"),
        " ".repeat(1 << 16) + "x"
    ))));
    assert_forbid(&doorward.ask(&right().from(&long)), "invalid_proxy_headers");
    for name in ["X-Original-URI", "Cookie", "X-Request-ID"] {
        assert_challenge(&doorward.ask(&Request::auth().header(name, &long)));
        assert_allow(&doorward.ask(&right().header(name, &long)), b"alice");
    }
    assert_allow(&doorward.ask(&right()), b"alice");
}

#[test]
fn request_head_without_an_end_is_closed() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let mut client = doorward.client();
    let endless = Request::auth().header("X-Endless", "x".repeat(4 << 20));
    // The server may close the connection before the request was sent completely.
    if let Ok(answer) = client.try_ask(&endless) {
        assert!(matches!(answer.status, 400 | 413 | 431), "{answer:?}");
        assert_no_user(&answer);
    }
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
}

#[test]
fn password_beyond_the_length_limit_is_challenged() {
    let long = "x".repeat(2000);
    let doorward = Doorward::start(&users::line("alice", &long, users::QUICK), &[]);
    assert_challenge(&doorward.ask(&Request::auth().basic(&"a".repeat(300), "x")));
    assert_eq!(doorward.hashes(), 0.0);
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", &long)));
    assert_eq!(doorward.hashes(), 1.0, "the work of a check, as for a name that there is not");
}

#[test]
fn two_authorization_headers_are_challenged_even_if_both_are_valid() {
    let doorward = Doorward::start(&users::two(), &[]);
    let right = basic("alice:wonderland");
    for other in [&right, &basic("bob:builder"), &basic("eve:x"), "Bearer x", ""] {
        assert_challenge(&doorward.ask(&with(&right).header("Authorization", other)));
        assert_challenge(&doorward.ask(&with(other).header("authorization", &right)));
    }
}

#[test]
fn bcrypt_password_of_100_bytes_is_compared_up_to_72_bytes_as_htpasswd_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    let long = "0123456789".repeat(10);
    users::htpasswd(&file, &["-c", "-B", "-C", "4"], "alice", &long);
    users::htpasswd(&file, &["-m"], "bob", &long);
    let doorward = Doorward::start_in(dir, &[]);
    let (cut, short) = (&long[..72], &long[..71]);
    assert_allow(&doorward.ask(&Request::auth().basic("alice", &long)), b"alice");
    assert_allow(&doorward.ask(&Request::auth().basic("alice", cut)), b"alice");
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", short)));
    // Only bcrypt truncates the password there.
    assert_allow(&doorward.ask(&Request::auth().basic("bob", &long)), b"bob");
    assert_challenge(&doorward.ask(&Request::auth().basic("bob", cut)));
}

#[test]
fn every_htpasswd_line_of_the_apache_tool_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    users::htpasswd(&file, &["-c", "-B", "-C", "4"], "bcrypt", "first");
    users::htpasswd(&file, &["-m"], "apr1", "second");
    users::htpasswd(&file, &["-s"], "sha", "third");
    let doorward = Doorward::start_in(dir, &[]);
    for (user, password) in [("bcrypt", "first"), ("apr1", "second"), ("sha", "third")] {
        assert_allow(&doorward.ask(&Request::auth().basic(user, password)), user.as_bytes());
        assert_challenge(&doorward.ask(&Request::auth().basic(user, "fourth")));
    }
}

#[test]
fn users_of_the_example_file_log_in_with_the_documented_passwords() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("htpasswd.example");
    let doorward = Doorward::start(&std::fs::read_to_string(shipped).unwrap(), &[]);
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
    assert_allow(&doorward.ask(&Request::auth().basic("bob", "builder")), b"bob");
    assert_challenge(&doorward.ask(&Request::auth().basic("bob", "wonderland")));
}

#[test]
fn invalid_client_address_is_forbidden_as_in_cve_2024_47070() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let right = Request::auth().basic("alice", "wonderland");
    assert_allow(&doorward.ask(&right), b"alice");
    for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "unix:"] {
        assert_allow(&doorward.ask(&right.clone().from(address)), b"alice");
    }
    for address in ["", "x", "192.0.2.1:80", "192.0.2", "192.0.2.1, 192.0.2.2", "[2001:db8::1]", "\u{e9}"] {
        assert_forbid(&doorward.ask(&right.clone().from(address)), "invalid_proxy_headers");
    }
    // The header is sent twice, even with the same value.
    assert_forbid(&doorward.ask(&right.clone().from("192.0.2.1").from("192.0.2.1")), "invalid_proxy_headers");
    assert_forbid(
        &doorward.ask(&right.from("192.0.2.1").header("x-real-ip", "192.0.2.2")),
        "invalid_proxy_headers",
    );
}

#[test]
fn garbage_in_any_header_grants_nothing_as_in_cve_2026_25748_and_ghsa_68wm_pfjf_wqp6() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let names = [
        "Cookie",
        "X-Original-URI",
        "X-Original-Method",
        "X-Original-Host",
        "X-Forwarded-Proto",
        "Range",
        "X-Original-Content-Type",
        "X-Request-ID",
        "If-None-Match",
        "Accept",
        "User-Agent",
        "Referer",
    ];
    let rubbish: [&[u8]; 6] =
        [b"", b"%zz%00", b"\xff\xfe\xfd", b"a;b=c; =;;=", b"\t//../..\\\\", &[b'%'; 3000]];
    let mut client = doorward.client();
    for name in names {
        for value in rubbish {
            assert_challenge(&client.ask(&Request::auth().header(name, value)));
            let right = Request::auth().basic("alice", "wonderland");
            assert_allow(&client.ask(&right.header(name, value)), b"alice");
        }
    }
}
