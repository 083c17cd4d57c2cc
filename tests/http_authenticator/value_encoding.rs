//! User names and passwords with special characters in each place of the request.

use super::{assert_challenged, start};
use crate::support::backend::{Backend, ReceivedRequest, Reply};
use crate::support::client::{Answer, Request, basic};
use crate::support::doorward::Doorward;

type Bytes = Vec<u8>;

/// A place of a request, and how to read the value from it.
struct EncodingCase {
    name: &'static str,
    /// Lines of settings after `url = "http://ADDRESS`.
    settings: &'static str,
    user: fn(&ReceivedRequest) -> Bytes,
    password: fn(&ReceivedRequest) -> Bytes,
    /// Returns true if the place cannot hold the value.
    refuses: fn(&[u8]) -> bool,
}

fn header(heard: &ReceivedRequest, name: &str, scheme: &str) -> Bytes {
    let value = heard.header(name).unwrap_or_else(|| panic!("no {name}: {heard:?}"));
    value.strip_prefix(scheme.as_bytes()).unwrap_or_else(|| panic!("{name}: {heard:?}")).to_vec()
}

/// Returns the value of the second pair; the first pair must be unchanged.
fn pair(pairs: &[(Bytes, Bytes)], fixed: &str, name: &str) -> Bytes {
    let find = |name: &str| {
        let mut found = pairs.iter().filter(|(n, _)| n == name.as_bytes());
        let value = found.next().unwrap_or_else(|| panic!("no {name}: {pairs:?}")).1.clone();
        assert!(found.next().is_none(), "{name} is there twice: {pairs:?}");
        value
    };
    assert_eq!(find("fixed"), fixed.as_bytes());
    find(name)
}

fn of_form(heard: &ReceivedRequest, name: &str) -> Bytes {
    assert_eq!(heard.form().len(), 3, "{heard:?}");
    pair(&heard.form(), "a {b} & c", name)
}

fn of_json(heard: &ReceivedRequest, name: &str) -> Bytes {
    let document = heard.json();
    assert_eq!(document.as_object().expect("an object").len(), 4, "{document}");
    assert_eq!(document["fixed"], "a {b} \" c", "{document}");
    assert_eq!(document["kept"], true, "{document}");
    document[name].as_str().expect("text").as_bytes().to_vec()
}

fn is_no_header(value: &[u8]) -> bool {
    let at_an_end = value.first() == Some(&b' ') || value.last() == Some(&b' ');
    at_an_end || value.iter().any(|byte| !(b' '..=b'~').contains(byte))
}

fn is_no_segment(value: &[u8]) -> bool {
    matches!(value, b"." | b"..") || value.iter().any(|byte| matches!(byte, b'/' | b'\\'))
}

/// Returns the password of the Basic credentials, for places that cannot hold a password.
fn beside(heard: &ReceivedRequest) -> Bytes {
    heard.basic().expect("credentials").1
}

const ENCODING_CASES: [EncodingCase; 6] = [
    EncodingCase {
        name: "path",
        settings: "/users/{username}/it?fixed=1\"\nheaders = { Authorization = \"Basic {basic}\" }",
        user: |heard| {
            let segments = heard.segments();
            assert_eq!((segments.len(), &segments[0][..], &segments[2][..]), (3, &b"users"[..], &b"it"[..]));
            assert!(heard.target.ends_with("/it?fixed=1"), "{heard:?}");
            segments[1].clone()
        },
        password: beside,
        refuses: is_no_segment,
    },
    EncodingCase {
        name: "query",
        settings: "/ask?user={username}&fixed=1\"\nheaders = { Authorization = \"Basic {basic}\" }",
        user: |heard| {
            assert_eq!((heard.query().len(), heard.segments()), (2, vec![b"ask".to_vec()]), "{heard:?}");
            pair(&heard.query(), "1", "user")
        },
        password: beside,
        refuses: |_| false,
    },
    EncodingCase {
        name: "header",
        settings: "/ask\"\nheaders = { X-User = \"{username}\", Authorization = \"ApiKey {password}\" }",
        user: |heard| header(heard, "x-user", ""),
        password: |heard| header(heard, "authorization", "ApiKey "),
        refuses: is_no_header,
    },
    EncodingCase {
        name: "basic",
        settings: "/ask\"\nheaders = { Authorization = \"Basic {basic}\" }",
        user: |heard| heard.basic().expect("credentials").0,
        password: beside,
        refuses: |_| false,
    },
    EncodingCase {
        name: "form",
        settings: "/ask\"\nform = { login = \"{username}\", password = \"{password}\", fixed = \"a {{b}} & c\" }",
        user: |heard| of_form(heard, "login"),
        password: |heard| of_form(heard, "password"),
        refuses: |_| false,
    },
    EncodingCase {
        name: "JSON",
        settings: "/ask\"\njson = { login = \"{username}\", password = \"{password}\", fixed = 'a {{b}} \" c', kept = true }",
        user: |heard| of_json(heard, "login"),
        password: |heard| of_json(heard, "password"),
        refuses: |value| std::str::from_utf8(value).is_err(),
    },
];

/// Values that would change the meaning of the request if they were inserted unchanged.
const MEANINGFUL: &[&str] = &[
    "plain",
    "quo\"te",
    "\"",
    "back\\slash",
    "\\",
    "\\\"",
    "\"}",
    "\",\"admin\":true,\"x\":\"",
    "100%",
    "%",
    "%2e%2e",
    "%2F",
    "%00",
    "%0d%0a",
    "/",
    "a/b",
    "/a",
    "a/",
    "..",
    ".",
    "...",
    "../admin",
    "a/..",
    "..\\admin",
    "{password}",
    "{username}",
    "{basic}",
    "{",
    "}",
    "{{",
    "}}",
    "{{username}}",
    "&x=y",
    "&fixed=2",
    "x=y",
    "=",
    "a&login=root",
    "?",
    "?fixed=2",
    "#",
    "#it",
    ";",
    ";a=b",
    "+",
    "a+b",
    "a b",
    " a",
    "a ",
    " ",
    "  ",
    "@",
    "@evil.test",
    "//evil.test",
    "$",
    "${x}",
    "`id`",
    "'",
    "' OR '1'='1",
    "*",
    "<b>",
    "[1]",
    ",",
    "zoë",
    "\u{1F512}",
    "日本",
    "\u{2028}",
    "\u{FEFF}a",
    "a\u{301}",
    "\u{202e}a",
];

/// Values that no name and no header may contain.
const CONTROL: &[&str] = &[
    "\r\n",
    "a\r\nX-Evil: 1",
    "a\nb",
    "a\rb",
    "\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
    "a\0b",
    "\0",
    "\t",
    "a\tb",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
];

/// Values that are not valid text.
const BYTES: &[&[u8]] = &[b"zo\xeb", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", &[b'x'; 255]];

fn special_values() -> Vec<Bytes> {
    let texts = MEANINGFUL.iter().chain(CONTROL).map(|text| text.as_bytes());
    texts.chain(BYTES.iter().copied()).map(<[u8]>::to_vec).collect()
}

/// Returns true if no name may have this value, for every authenticator. This covers the control characters
/// of RFC 7617, whitespace that headers lose, invisible characters at an end, and characters that change the
/// text layout.
fn is_no_name(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let bad = ['\u{85}', '\u{2028}', '\u{202e}', '\u{feff}'];
    value.trim_ascii() != value || value.iter().any(u8::is_ascii_control) || text.contains(bad)
}

fn is_no_password(value: &[u8]) -> bool {
    value.contains(&0)
}

/// Starts doorward, which calls `backend` in this way.
fn asking(case: &EncodingCase, backend: &Backend) -> Doorward {
    let head = "[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nurl = \"http://";
    start(None, &format!("{head}{}{}\n", backend.address, case.settings))
}

/// Compares the result with the expectation: a refusal without a call, or a call with exactly this value.
fn judge(case: &EncodingCase, pair: [&[u8]; 2], answer: &Answer, new: &[ReceivedRequest], refused: bool) {
    let what = format!(
        "{}: {:?} {:?}: {answer:?}: {new:?}",
        case.name,
        String::from_utf8_lossy(pair[0]),
        String::from_utf8_lossy(pair[1])
    );
    if refused {
        assert_challenged(answer);
        assert!(new.is_empty(), "something was sent: {what}");
        return;
    }
    assert_eq!((answer.status, new.len()), (200, 1), "{what}");
    assert_eq!(answer.raw("x-auth-user"), Some(pair[0]), "{what}");
    assert_eq!([(case.user)(&new[0]), (case.password)(&new[0])], pair.map(<[u8]>::to_vec), "{what}");
}

/// Returns the names of the headers in order.
fn names(heard: &ReceivedRequest) -> Vec<&str> {
    heard.headers.iter().map(|(name, _)| &name[..]).collect()
}

#[test]
fn special_characters_reach_the_service_unchanged_or_are_refused_without_a_call() {
    for case in &ENCODING_CASES {
        let backend = Backend::saying(Reply::status(200));
        let doorward = asking(case, &backend);
        let (mut sent, mut refusals) = (0, 0);
        for (number, value) in special_values().iter().enumerate() {
            let in_url = case.settings.starts_with("/users") || case.settings.contains("user={");
            let of_name = ([&value[..], b"usual"], is_no_name(value) || (case.refuses)(value));
            // If the password goes by Basic credentials, the rules of that row apply.
            let of_password =
                ([&b"usual"[..], value], is_no_password(value) || (!in_url && (case.refuses)(value)));
            // A colon ends a user name, so a value with a colon is tested only as a password.
            let passed_over = usize::from(value.contains(&b':'));
            for (pair, refused) in [of_name, of_password].into_iter().skip(passed_over) {
                let before = backend.requests();
                // Refusals are counted by network, and the test causes more than the limit of one network.
                let network = format!("10.1.{number}.1");
                let request = Request::auth().from(&network);
                let answer = doorward.ask(&request.header("Authorization", basic(pair.join(&b':'))));
                let heard = backend.heard();
                judge(case, pair, &answer, &heard[before..], refused);
                // No value became a header.
                if let Some(last) = heard.last() {
                    assert_eq!(names(last), names(&heard[0]), "{}: {pair:?}", case.name);
                    assert_eq!(last.method, heard[0].method);
                }
                *if refused { &mut refusals } else { &mut sent } += 1;
            }
        }
        assert!(sent > 100 && refusals > 10, "{}: {sent} sent, {refusals} refused", case.name);
    }
}

#[test]
fn rejection_by_the_service_is_challenged_for_every_value_source() {
    for case in &ENCODING_CASES {
        let backend = Backend::saying(Reply::status(401));
        let doorward = asking(case, &backend);
        assert_challenged(&doorward.ask(&Request::auth().basic("usual", "usual")));
        assert_eq!(backend.requests(), 1, "{}", case.name);
    }
}
