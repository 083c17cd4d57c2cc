//! Mutations of a request. doorward must refuse a request that two parsers can read differently. A mutation
//! that does not change the meaning may be accepted.

use super::vocabulary::SECRET_BLOB;
use super::{HOST, NO_TEXT, Sample, below, pick};
use crate::support::random::Random;

/// Applies one mutation.
pub(super) fn bend(sample: &mut Sample, random: &mut Random) {
    match random.below(16) {
        0..=7 => path(sample, random),
        8..=9 => query(sample, random),
        10 => host(sample, random),
        11..=13 if sample.method == "POST" => form(sample, random),
        11 => absolute(sample, random),
        12 => headers(sample, random),
        13 => framing(sample, random),
        14 => {
            sample.content_type =
                Some(pick(random, &["", "text/plain", "a\tb", "\u{a0}", "x/\u{e000}"]).into())
        }
        _ => sample.user = "-",
    }
}

/// Returns the end of the path.
fn path_end(target: &str) -> usize {
    target.find('?').unwrap_or(target.len())
}

fn insert(sample: &mut Sample, at: usize, text: &str) {
    sample.target.insert_str(at, text);
}

fn path(sample: &mut Sample, random: &mut Random) {
    let end = path_end(&sample.target);
    let slashes: Vec<usize> = sample.target[..end].match_indices('/').map(|(at, _)| at).collect();
    let slash = slashes.get(below(random, slashes.len().max(1))).copied().unwrap_or(0);
    match random.below(14) {
        0..=2 => encode(sample, random, end),
        3 => insert(sample, slash, "/"),
        4 => insert(sample, slash, pick(random, &["/.", "/x/..", "/%2e", "/x/%2e%2e", "/x/.%2E", "/x%2f.."])),
        5 => insert(
            sample,
            slash,
            pick(random, &["/..", "/../..", "/..;", "/%252e%252e", "/..%00", "/\\..\\"]),
        ),
        6 => sample
            .target
            .replace_range(slash..(slash + 1).min(end), pick(random, &["%2F", "%2f", "%252F", "\\", "%5c"])),
        7 => {
            let at = below(random, end.max(1));
            let upper = sample.target[..end].get(at..=at).map(str::to_ascii_uppercase);
            upper.into_iter().for_each(|upper| sample.target.replace_range(at..=at, &upper));
        }
        8 => insert(sample, end, pick(random, &["/", "//", "/.", "/..", "%2F", ";", ";x=1", ".json"])),
        9 => insert(
            sample,
            end,
            pick(random, &["%00", "%0a", "%0d%0aX:%20y", "%20", " ", "%", "%z", "%u002f", "#x"]),
        ),
        10 => {
            let strange = ["\u{e4}", "%c3%a4", "%c0%af", "%ff", "\u{e000}", "\u{7f}", "%e2%80%8b", "\t"];
            insert(sample, below(random, end + 1), pick(random, &strange));
        }
        11 => {
            let before =
                ["/x/..", "/v1/..", "/v2/..", "/.", "/", "/_doorward/..", "/%76%32/../", "/v2/open/.."];
            insert(sample, 0, pick(random, &before));
        }
        12 => {
            sample.target = sample.target.replacen(
                "/v2/",
                pick(random, &["/V2/", "/%762/", "/v2//", "/v2/./", "v2/", "/v%32/", "/v2%2f"]),
                1,
            )
        }
        // A path that contains another path.
        _ => insert(
            sample,
            end,
            pick(
                random,
                &[
                    "/../../../secret/app/tags/list",
                    "?/v2/open/app/tags/list",
                    "#/v2/open/app/tags/list",
                    "%3f/v2/open/app/tags/list",
                    "%23/",
                ],
            ),
        ),
    }
}

/// Percent-encodes a character, once or twice.
fn encode(sample: &mut Sample, random: &mut Random, end: usize) {
    let at = below(random, end.max(1));
    let Some(byte) = sample.target.as_bytes().get(at).copied() else { return };
    let code = match random.below(4) {
        0 => format!("%{byte:02X}"),
        1 => format!("%{byte:02x}"),
        2 => format!("%25{byte:02x}"),
        _ => format!("%u00{byte:02x}"),
    };
    sample.target.replace_range(at..=at, &code);
}

fn query(sample: &mut Sample, random: &mut Random) {
    const PAIRS: [&str; 18] = [
        "ns=docker.io",
        "ns=secret",
        "%6es=secret",
        "NS=secret",
        "from=secret/app",
        "from=base/app",
        "%66rom=secret/app",
        "mount=x",
        "digest=",
        "_state=",
        "n=1",
        "last=a",
        "x",
        "x=%zz",
        "x=%",
        ";from=secret/app",
        "=",
        "tag=v2",
    ];
    let pair = match random.below(8) {
        0 => format!("mount={SECRET_BLOB}&from=secret/app"),
        1 => format!("from=secret%2Fapp&mount={}", SECRET_BLOB.replace(':', "%3A")),
        _ => pick(random, &PAIRS).to_owned(),
    };
    let end = path_end(&sample.target);
    if end == sample.target.len() {
        sample.target.push_str(&format!("?{pair}"));
    } else if random.below(2) == 0 {
        sample.target.insert_str(end + 1, &format!("{pair}&"));
    } else {
        sample.target.push_str(&format!("&{pair}"));
    }
}

fn host(sample: &mut Sample, random: &mut Random) {
    const HOSTS: [&str; 12] = [
        "REGISTRY.test",
        "registry.test.",
        "registry.test:5000",
        "registry.test:80",
        "other.test",
        "127.0.0.1",
        "[::1]:5000",
        "secret.test",
        "a_b",
        "registry.test/v2/open",
        "registry..test",
        "x@registry.test",
    ];
    sample.hosts = match random.below(6) {
        0 => vec![HOST.into(), "other.test".into()],
        1 => Vec::new(),
        _ => vec![pick(random, &HOSTS).into()],
    };
}

/// Puts a mount into the body, where the reference implementation looks first.
fn form(sample: &mut Sample, random: &mut Random) {
    const TYPES: [&str; 12] = [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "APPLICATION/X-WWW-Form-Urlencoded",
        "  application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded ;a=b",
        "application/x-www-form-urlencoded,text/plain",
        "\u{a0}application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded\u{e000}",
        "multipart/form-data; boundary=b",
        "Multipart/Mixed; boundary=\"b\"",
        "application/octet-stream",
    ];
    sample.content_type = Some(pick(random, &TYPES).into());
    let from = pick(random, &["secret/app", "secret%2Fapp", "base/app"]);
    let form = format!("mount={SECRET_BLOB}&from={from}");
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let is_multipart =
        sample.content_type.as_ref().is_some_and(|name| name.to_lowercase().contains("multipart"));
    let body =
        if is_multipart { part("mount", SECRET_BLOB) + &part("from", from) + "--b--\r\n" } else { form };
    sample.body = Some(body.into_bytes());
    sample.chunked = random.below(3) == 0;
}

fn absolute(sample: &mut Sample, random: &mut Random) {
    const BEFORE: [&str; 9] = [
        "http://registry.test",
        "http://other.test",
        "HTTP://REGISTRY.TEST:5000",
        "https://registry.test",
        "http://registry.test/v2/open/..",
        "http://",
        "http:",
        "//registry.test",
        "ftp://registry.test",
    ];
    sample.target.insert_str(0, pick(random, &BEFORE));
}

/// Adds headers that override the method or the URI in some services, and headers of doorward.
fn headers(sample: &mut Sample, random: &mut Random) {
    const HEADERS: [(&str, &str); 13] = [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/v2/open/app/tags/list"),
        ("X-Original-URL", "/v2/secret/app/tags/list"),
        ("X-Rewrite-URL", "/v2/secret/app/tags/list"),
        ("X-Upstream-URI", "/v2/secret/app/tags/list"),
        ("X-Auth-Rewrite", "no"),
        ("X-Auth-User", "bob"),
        ("X-Original-Content-Type", "ct:"),
        ("X-Forwarded-Host", "secret.test"),
        ("X-Forwarded-Prefix", "/v2/secret"),
        ("Connection", "X-Original-URI, Authorization"),
        ("X_Original_URI", "/v2/open/app/tags/list"),
    ];
    for _ in 0..=random.below(2) {
        sample.headers.push(HEADERS[below(random, HEADERS.len())]);
    }
}

fn framing(sample: &mut Sample, random: &mut Random) {
    match random.below(3) {
        0 => sample.version = "1.0",
        1 => sample.chunked = sample.body.is_some(),
        // A read with a body.
        _ => {
            sample.body = Some(format!("mount={SECRET_BLOB}&from=secret/app{NO_TEXT}").into_bytes());
            sample.content_type = Some("application/x-www-form-urlencoded".into());
        }
    }
}
