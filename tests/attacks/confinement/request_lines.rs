//! Request lines that parsers can read in several ways: a fixed corpus, and random ones from a grammar.

use crate::support::random::Random;

/// The parts of a path: separators, dot segments and letters in every spelling.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"/", b"//", b"/.", b"/..", b"/./", b"/../", b"/.../", b"..", b".", b"%2e", b"%2E", b"/%2e%2e/", b"/%2E./",
    b"/.%2e", b"%2e%2e%2f", b"..%2f", b"..%5c", b"..\\", b"%2f", b"%2F", b"%5c", b"%5C", b"\\", b";", b"%3b",
    b"/..;/", b"/;/", b";a=b", b"/.;a/", b"v2", b"V2", b"%76%32", b"v%32", b"%562", b"/v2/", b"/v2", b"v1",
    b"api", b"admin", b"a", b"%61", b"%41", b"token", b"_doorward", b"public", b"%70ublic", b"PUBLIC", b"%2561",
    b"%252e", b"%252e%252e", b"%252f", b"%255c", b"#", b"%23", b"?", b"%3f", b"%3F", b"%00", b"\0", b"\t",
    b"%09", b" ", b"%20", b"\x7f", b"\xff", b"\xc3\xa9", b"%c3%a9", b"%c0%ae%c0%ae", b"%c0%af", b"%e0%80%ae",
    b"%ef%bc%8f", b"%u002e", b"%", b"%2", b"%zz", b":", b"%3a", b"@", b"*", b"+", b"~", b"&", b"=",
    b"http://evil.test", b"//evil.test", b"_catalog", b"manifests/latest", b"blobs/uploads/",
    b"blobs/sha256:00", b"tags/list",
];

/// Spellings of one dot segment that leads to the parent.
#[rustfmt::skip]
const UP: &[&[u8]] = &[
    b"/..", b"/%2e%2e", b"/.%2e", b"/%2E.", b"%2f..", b"/%2e%2E", b"/x/../..", b"/./..", b"//..", b"/..;",
    b"\\..",
];

#[rustfmt::skip]
const METHODS: &[&str] = &[
    "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "FOO", "get",
    "CONNECT", "TRACE",
];

#[rustfmt::skip]
const VERSIONS: &[&str] = &[
    " HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", "", "  HTTP/1.1",
    " HTTP/1.1 ", "\tHTTP/1.1", " HTTP/1.2", " HTTP/2.0", " http/1.1", " HTTP/1.1\r", " x HTTP/1.1",
    " /v2/ HTTP/1.1",
];

/// The part before the path in an absolute-form request line.
#[rustfmt::skip]
const AUTHORITIES: &[&str] = &[
    "http://doorward.test", "https://doorward.test", "HTTP://doorward.test:80", "http://evil.test",
    "http://a@doorward.test", "http://", "ftp://doorward.test", "//doorward.test", "doorward.test:443", "http:",
];

/// Targets that led outside `/v2/` in some product, or nearly did. `v2` is replaced with the root that must not be
/// left.
#[rustfmt::skip]
const FIXED: &[&str] = &[
    "/api/admin/%2e%2e/%2e%2e/v2/", "/api/admin/../../v2/", "/v2/..", "/v2/../api", "/v2/%2e%2e/api",
    "/v2/..%2fapi", "/v2%2f", "/v2%2f..%2fapi", "/%76%32/", "/V2/", "//v2/", "/v2//", "/./v2/", "/v2/.",
    "/v2/./x", "/v2/;/", "/v2/..;/api", "/v2/%3b/", "/v2/;/../../api", "/v2/a;b", "/v2/?/../../api",
    "/v2/%3f/../../api", "/v2/#/../../api", "/v2/%23", "/v2/%00", "/v2/\\..\\..\\api", "/v2/..\\..\\api",
    "/v2/%5c..%5capi", "/v2/%252e%252e/api", "/v2/%252f..%252fapi", "/v2/%c0%ae%c0%ae/api",
    "/v2/x%00/../../api", "/v2", "/v2?x=y", "/v2x", "//evil.test/v2/", "///v2/", "/x//../v2/", "/x/..//v2/",
    "/_doorward/../v2/", "/token/../v2/", "/v1/../v2/", "/api/v2/../../v2/", "http://doorward.test/v2/../api",
    "http://doorward.test", "http://doorward.test?/v2/", "http://doorward.test/v2/", "*", "doorward.test:443",
    "v2/", "?/v2/", "/?/v2/", "/#/v2/", "/api#/../v2/", "/api?/../v2/", "/api%3f/../v2/", "/v2/a b",
    "/v2/\u{e9}", "/v2/%e9", "/v2/ HTTP/1.1 /api", "/v2/a%2fb", "/v2/...", "/v2/.../x", "/v2/a/..", "/v2/a/%2e",
    "/v2/%2e", "/v2/a/.%2e/b",
];

/// Targets that clients send. Each must reach the backend unchanged.
#[rustfmt::skip]
pub(super) const USUAL: &[&str] = &[
    "/v2/", "/v2/_catalog?n=100&last=a%2Fb", "/v2/team/app/manifests/latest", "/v2/a/manifests/v1.0_x-y",
    "/v2/a/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "/v2/a/tags/list?n=2", "/v2/a/tags/list?last=x.y+z~&n=2",
    "/v2/a/referrers/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824?artifactType=application/vnd.x+json",
];

/// An ordinary target with an escaped colon. It is used only without a policy, because a policy accepts no escaped
/// colon.
pub(super) const ESCAPED: &str =
    "/v2/a/blobs/sha256%3A2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Returns the fixed targets with another root.
pub(super) fn fixed(root: &str) -> Vec<Vec<u8>> {
    let targets = FIXED.iter().map(|target| target.replace("v2", root).replace("%76%32", &escaped(root)));
    targets.map(|target| format!("GET {target} HTTP/1.1").into_bytes()).collect()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Returns one random request line, without the line ending.
pub(super) fn random(random: &mut Random, root: &str) -> Vec<u8> {
    let mut line = pick(random, METHODS).as_bytes().to_vec();
    line.push(b' ');
    match random.below(20) {
        0 => line.extend_from_slice(pick(random, AUTHORITIES).as_bytes()),
        1 => {
            line.extend_from_slice(pick(random, AUTHORITIES).as_bytes());
            line.extend(target(random, root));
        }
        2 => line.extend(pieces(random, 3)),
        _ => line.extend(target(random, root)),
    }
    line.extend_from_slice(pick(random, VERSIONS).as_bytes());
    line
}

fn target(random: &mut Random, root: &str) -> Vec<u8> {
    let mut target = Vec::new();
    match random.below(10) {
        // The target begins outside the root and leads into it after normalization.
        0..=2 => {
            for _ in 0..=random.below(3) {
                target.push(b'/');
                target
                    .extend_from_slice(pick(random, &["api", "admin", "x", "v1", "token", "%61"]).as_bytes());
            }
            for _ in 0..=random.below(4) {
                target.extend_from_slice(pick(random, UP));
            }
            target.extend(format!("/{root}/").into_bytes());
            target.extend(pieces(random, 3));
        }
        // The target begins inside the root and leads out of it.
        3..=5 => {
            target.extend(format!("/{root}/").into_bytes());
            target.extend(pieces(random, 4));
            for _ in 0..random.below(4) {
                target.extend_from_slice(pick(random, UP));
            }
            target.extend(pieces(random, 2));
        }
        // An ordinary target. Every second one has an additional part that no client sends.
        6..=8 => {
            let words = [
                "a",
                "team/app",
                "manifests",
                "blobs/uploads/",
                "latest",
                "sha256:00",
                "x_y-z.0",
                "_catalog",
            ];
            let nasty = random.below(8);
            target.extend(format!("/{root}").into_bytes());
            for at in 0..=random.below(4) {
                target.push(b'/');
                target.extend_from_slice(pick(random, &words).as_bytes());
                if at == nasty {
                    target.extend_from_slice(pick(random, PIECES));
                }
            }
            target.extend_from_slice(
                pick(random, &["", "", "?n=2", "?last=a%2Fb&x=/../", "?a=%00"]).as_bytes(),
            );
        }
        _ => {
            target.push(b'/');
            target.extend(pieces(random, 7));
        }
    }
    target
}

fn pieces(random: &mut Random, most: u64) -> Vec<u8> {
    (0..random.below(most + 1)).flat_map(|_| pick(random, PIECES).iter().copied()).collect()
}

fn pick<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[usize::try_from(random.below(all.len() as u64)).expect("an index")]
}
