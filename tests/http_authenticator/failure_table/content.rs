//! Rows of the failure table: responses with status 200 and an invalid body.

use super::ExpectedVerdict::{Granted, Rejected, Unavailable};
use super::{ACTIVE, ExpectedVerdict, FailureCase};
use crate::support::backend::Reply;

const GROUPS: &str = "groups = [ { pointer = \"/licences\", name_pointer = \"/release\" } ]\n";
const NAMES: &str = "groups = [ { pointer = \"/teams\" } ]\n";

fn page() -> Reply {
    Reply::with("200 OK", "Content-Type: text/html; charset=utf-8\r\n", "<html>log in here</html>")
}

fn json(
    failure: &'static str,
    body: &str,
    verdict: ExpectedVerdict,
    log: &'static str,
    lines: &str,
) -> FailureCase {
    FailureCase::saying(failure, Reply::json(body), verdict, log).set(lines)
}

pub(super) fn rows() -> Vec<FailureCase> {
    let huge = format!("{{\"active\": true, \"more\": \"{}\"}}", "x".repeat(10 << 20));
    let chunks = "1000\r\n".to_owned() + &"y".repeat(0x1000) + "\r\n";
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks.repeat(2560));
    let deep = format!("{{\"active\": {}true{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let (not_json, larger) =
        ("vendor: the response is not JSON: ", "vendor: the response is larger than 64KiB");
    let page_log = "vendor: responded with a web page (text/html)";
    vec![
        FailureCase::saying("200 with a web page", page(), Unavailable, page_log),
        FailureCase::saying("200 with a web page, which is set as wanted", page(), Granted, "")
            .set("allow_html = true\n"),
        json("no JSON", "yes", Unavailable, not_json, ACTIVE),
        json("JSON that is cut short", "{\"active\": tru", Unavailable, not_json, ACTIVE),
        json("JSON and more", "{\"active\": true} {}", Unavailable, not_json, ACTIVE),
        json("no body where one is looked at", "", Unavailable, not_json, ACTIVE),
        json("JSON of 20,000 levels", &deep, Unavailable, not_json, ACTIVE),
        json("10 MiB of JSON", &huge, Unavailable, larger, ACTIVE),
        FailureCase::saying("10 MiB in chunks", Reply::raw(chunked), Unavailable, larger).set(ACTIVE),
        FailureCase::saying("401 with 10 MiB", Reply::with("401 No", "", &huge), Unavailable, larger),
        json("true is asked for, false is there", "{\"active\": false}", Rejected, "", ACTIVE),
        json("true is asked for, null is there", "{\"active\": null}", Rejected, "", ACTIVE),
        json("true is asked for, nothing is there", "{}", Rejected, "", ACTIVE),
        json(
            "true is asked for, text is there",
            "{\"active\": \"true\"}",
            Unavailable,
            "vendor: /active: ",
            ACTIVE,
        ),
        json("true is asked for, 1 is there", "{\"active\": 1}", Unavailable, "vendor: /active: ", ACTIVE),
        json("groups: a number", "{\"licences\": 7}", Unavailable, "vendor: /licences: ", GROUPS),
        json("groups: missing", "{}", Unavailable, "vendor: /licences: ", GROUPS),
        json("groups: null", "{\"licences\": null}", Unavailable, "vendor: /licences: ", GROUPS),
        json(
            "groups: objects whose member is a number",
            "{\"licences\": [{\"release\": 5}]}",
            Unavailable,
            "vendor: /licences",
            GROUPS,
        ),
        json("groups: a list of numbers", "{\"teams\": [1, 2]}", Unavailable, "vendor: /teams", NAMES),
        json("groups: a name with a comma", "{\"teams\": [\"a,b\"]}", Unavailable, "vendor: ", NAMES),
        json("groups: a name with a space", "{\"teams\": [\"a b\"]}", Unavailable, "vendor: ", NAMES),
        json(
            "groups: a name of 65 letters",
            &format!("{{\"teams\": [\"{}\"]}}", "a".repeat(65)),
            Unavailable,
            "vendor: ",
            NAMES,
        ),
        json("groups: a list of names", "{\"teams\": [\"a\", \"b\"]}", Granted, "", NAMES),
        json("the user's name: a number", "{\"login\": 5}", Unavailable, "vendor: /login", LOGIN),
        json("the user's name: missing", "{}", Unavailable, "vendor: /login", LOGIN),
        json("the user's name: with a line's end", "{\"login\": \"a\\nb\"}", Unavailable, "vendor: ", LOGIN),
    ]
}

const LOGIN: &str = "username_pointer = \"/login\"\n";
