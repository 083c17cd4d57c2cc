//! A service that returns the received secrets in every part of a response.

use crate::support::api::{Call, Reply};

/// The ways in which an authenticator sends the password. Each way has its own users.
pub(super) const VARIANTS: [&str; 5] = ["basic", "bearer", "form", "json", "query"];

/// Marks a plain rejection.
pub(super) const NO: &str = "no";

/// Behaviour of the service for a user name with this suffix, and the text that doorward logs for it.
pub(super) const KINDS: [(&str, &str); 26] = [
    ("rejected", NO),
    ("inactive", NO),
    (
        "teapot",
        "responded with 418, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses",
    ),
    ("moved", "responded with 302"),
    ("failed", "responded with 500"),
    ("later", "responded with 503"),
    ("slowly", "responded with 429"),
    ("text", "the response is not JSON: "),
    ("cut", "the response is not JSON: "),
    ("deep", "the response is not JSON: "),
    ("number", "/groups: "),
    ("group", "/groups: "),
    ("groups", ""),
    ("control", ""),
    ("name", "/name: "),
    ("nameless", "/name: "),
    ("active", "/active: "),
    ("page", "responded with a web page (text/html)"),
    ("kind", "responded with a web page (text/html)"),
    ("large", "the response is larger than "),
    ("packed", "the response is not JSON: "),
    ("garbage", "the connection broke: "),
    ("chunks", "the connection broke: "),
    ("header", "the connection broke: "),
    ("break", "the connection broke: "),
    ("hang", "no response within 1s"),
];

/// Returns the secrets of a call as received.
fn secrets(call: &Call) -> String {
    let body = String::from_utf8_lossy(&call.body);
    let own = call.header("x-api-key");
    format!("{} {} {} {own} {}", call.header("authorization"), call.header("x-token"), body, call.target)
}

/// Returns the user from the header `X-User`, which every call has, and the password if the call contains it
/// in readable form.
fn who(call: &Call) -> (String, String) {
    let form = |text: &[u8], key: &str| {
        let pair = form_urlencoded::parse(text).find(|(known, _)| known == key);
        pair.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let password = match call.path() {
        "/basic" => call.basic().unwrap_or_default().1,
        "/bearer" => call.header("authorization").trim_start_matches("Bearer ").to_owned(),
        "/form" => form(&call.body, "password"),
        "/json" => call.json()["password"].as_str().unwrap_or_default().to_owned(),
        "/query" => call.header("x-token").to_owned(),
        other => panic!("{other} is not asked"),
    };
    (call.header("x-user").to_owned(), password)
}

/// Answers a call according to the suffix of the user name. Every part that doorward ignores or reports as a
/// failure contains the secrets.
pub(super) fn answer(call: &Call) -> Reply {
    let (user, password) = who(call);
    let Some(kind) = user.strip_prefix(&call.path()[1..]).and_then(|rest| rest.strip_prefix('-')) else {
        return say(404, &secrets(call)).with("X-Echo", secrets(call));
    };
    if password != super::secret(&call.path()[1..]) {
        return say(401, &secrets(call)).with("WWW-Authenticate", format!("Basic realm=\"{password}\""));
    }
    let told = secrets(call);
    let user = |fields: &str| format!("{{\"name\":\"ann\",\"active\":true,\"groups\":[\"a\"]{fields}}}");
    let quoted = serde_json::to_string(&password).unwrap();
    let groups = |groups: &str| user("").replace("[\"a\"]", groups);
    match kind {
        "rejected" => say(403, &told).with("X-Echo", &told),
        "inactive" => json(user("").replace("true", "false")),
        "teapot" => say(418, &told).with("X-Echo", &told),
        "moved" => say(302, &told).with("Location", format!("http://127.0.0.1:1/?token={password}")),
        "failed" => say(500, &told).with("X-Echo", &told),
        "later" => say(503, &told).with("Retry-After", &password),
        "slowly" => say(429, &told).with("Retry-After", &password),
        "text" => json(format!("no JSON, but {told}")),
        "cut" => json(format!("{{\"name\":{quoted},")),
        "deep" => json(format!("{}{quoted}", "[".repeat(5000))),
        "number" => json(groups(&format!("{{{quoted}:1}}"))),
        "group" => json(groups(&format!("[{quoted},7]"))),
        "groups" => {
            json(groups(&format!("[\"{} with a space\"]", super::marks::secret("a").replace('"', ""))))
        }
        "control" => json(groups(&format!("[\"\\u0007\",{quoted}]"))),
        "name" => json(user("").replace("\"ann\"", &quoted.replace("SECRET", ":SECRET"))),
        "nameless" => json(user("").replace("\"ann\"", &format!("[{quoted}]"))),
        "active" => json(user("").replace("true", &quoted)),
        "page" => say(200, &told).with("Content-Type", "text/html"),
        "kind" => say(200, &told).with("Content-Type", format!("text/html; charset={password}")),
        "large" => json(told.repeat(2000)),
        "packed" => json(told).with("Content-Encoding", "gzip"),
        "garbage" => raw(&format!("{told}\r\n\r\n")),
        "chunks" => raw(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{told}\r\n")),
        "header" => raw(&format!("HTTP/1.1 200 OK\r\n{told}\u{0}\r\nContent-Length: x\r\n\r\n")),
        "break" => Reply::Break,
        "hang" => Reply::Hang,
        // Users such as "good-1". Even an accepting response contains secrets.
        _ => json(user(&format!(",\"token\":{quoted}"))).with("X-Echo", &told),
    }
}

fn say(status: u16, body: &str) -> Reply {
    Reply::Say(status, Vec::new(), body.as_bytes().to_vec())
}

fn json(body: impl ToString) -> Reply {
    Reply::json(body)
}

fn raw(bytes: &str) -> Reply {
    Reply::Raw(bytes.as_bytes().to_vec())
}
