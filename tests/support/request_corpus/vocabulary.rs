//! Parts of the generated requests: repositories, references, parameters and bodies.

use super::{below, pick};
use crate::support::random::Random;

/// SHA-256 of `hello`, a blob of base/app, and of `world`, a blob of secret/app.
pub(crate) const BASE_BLOB: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
pub(crate) const SECRET_BLOB: &str =
    "sha256:486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7";
/// Digests of the [`manifest`] for each of the two blobs.
pub(crate) const BASE_MANIFEST: &str =
    "sha256:135b44762be657b7ef1e409822b13022751dd10489040cfb990c820b2ed1c915";
pub(crate) const SECRET_MANIFEST: &str =
    "sha256:592a14f4b9cfc22bc62d8d920dcc7468a5e3bdf14453efc5badb8c2beb5471ad";
/// SHA-256 of no bytes.
const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Placeholders for the upload location of ann and for that of another user in secret/app. The sender of the
/// requests replaces them by the values that the registry returned.
pub(crate) const OWN_UPLOAD: &str = "11111111-1111-4111-8111-111111111111?_state=own";
pub(crate) const THEIR_UPLOAD: &str = "22222222-2222-4222-8222-222222222222?_state=their";

const OPEN: [&str; 12] = [
    "open/app",
    "open/app",
    "open/app",
    "open/x/y",
    "open/manifests/app",
    "open/blobs/uploads",
    "open/tags/list",
    "open/secret/app",
    "open/v2/base",
    "open/a-b.c__d/e--f",
    "open/manifests",
    "open/referrers/blobs/tags",
];
const BASE: [&str; 3] = ["base/app", "base/app", "base/manifests/app"];
const SECRET: [&str; 3] = ["secret/app", "secret/app", "secret/open/app"];
const ODD: [&str; 24] = [
    "open",
    "base",
    "secret",
    "openx/app",
    "app/open/app",
    "Open/app",
    "Secret/app",
    "host:5000/secret/app",
    "Docker.io/secret/app",
    "open/../secret/app",
    "open/%2e%2e/secret/app",
    "open/..%2Fsecret/app",
    "open%2Fapp",
    "secret%2Fapp",
    "%73ecret/app",
    "open//app",
    "open/./app",
    "open/-a",
    "open/a___b",
    "open/_ext",
    "_catalog",
    "open/app/",
    "",
    "open/app:v1",
];
const TAGS: [&str; 6] = ["v1", "v1", "latest", "list", "uploads", "v1.0_x-Y"];
const DIGESTS: [&str; 9] = [
    BASE_BLOB,
    BASE_BLOB,
    SECRET_BLOB,
    SECRET_BLOB,
    BASE_MANIFEST,
    SECRET_MANIFEST,
    EMPTY,
    "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    "sha512+b64.x:0123456789abcdef0123456789abcdef",
];

fn repository(random: &mut Random) -> String {
    match random.below(20) {
        0..=10 => pick(random, &OPEN).to_owned(),
        11..=13 => pick(random, &BASE).to_owned(),
        14..=16 => pick(random, &SECRET).to_owned(),
        17 => long(random),
        _ => pick(random, &ODD).to_owned(),
    }
}

/// Returns a name of the maximum length, a name that is one character longer, or a name with the maximum
/// number of segments.
fn long(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("open/{}", "a".repeat(250)),
        1 => format!("open/{}", "a".repeat(251)),
        2 => format!("open{}", "/a".repeat(125)),
        _ => format!("open/{}/secret/app", "x-y.z/".repeat(39).trim_end_matches('/')),
    }
}

fn digest(random: &mut Random) -> String {
    match random.below(12) {
        0 => pick(random, &["sha256:abc", "sha256", "md5-:0", "sha256:../../x"]).to_owned(),
        1 => pick(random, &DIGESTS).replace(':', pick(random, &["%3A", "%3a", "%253A", ":%00"])),
        _ => pick(random, &DIGESTS).to_owned(),
    }
}

/// Returns a blob, usually the one that can be read in `name`.
fn blob(random: &mut Random, name: &str) -> String {
    match name.split('/').next() {
        Some("open" | "base") if random.below(2) == 0 => BASE_BLOB.to_owned(),
        Some("secret") if random.below(2) == 0 => SECRET_BLOB.to_owned(),
        _ => digest(random),
    }
}

/// Returns a method, usually `meant`.
fn method(random: &mut Random, meant: &str) -> String {
    const ODD: [&str; 12] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MOVE", "TRACE", "BREW",
        "get",
    ];
    if random.below(15) == 0 { pick(random, &ODD).to_owned() } else { meant.to_owned() }
}

/// Returns a method and a target.
pub(super) fn request(random: &mut Random) -> (String, String) {
    let name = repository(random);
    let read = if random.below(3) == 0 { "HEAD" } else { "GET" };
    let (meant, target) = match random.below(24) {
        0 => (read, "/v2/".to_owned()),
        1 => (read, format!("/v2/_catalog{}", pick(random, &["", "?n=5", "?n=5&last=a", "/", "?ns=x"]))),
        2..=3 => {
            (read, format!("/v2/{name}/tags/list{}", pick(random, &["", "", "?n=1", "?n=1&last=a", "?x=1"])))
        }
        4..=6 => (read, format!("/v2/{name}/manifests/{}", pick(random, &TAGS))),
        7 => (read, format!("/v2/{name}/manifests/{}", digest(random))),
        8..=10 => (read, format!("/v2/{name}/blobs/{}", blob(random, &name))),
        11 => (read, format!("/v2/{name}/referrers/{}", digest(random))),
        12..=13 => ("PUT", format!("/v2/{name}/manifests/{}", pick(random, &TAGS))),
        14 => (
            "DELETE",
            format!("/v2/{name}/{}", pick(random, &["manifests/v1", "manifests/", "blobs/"]))
                + &digest(random),
        ),
        15..=19 => ("POST", format!("/v2/{name}/blobs/uploads/{}", mount(random))),
        20 => (read, format!("/v2/{name}/blobs/uploads/{}", upload(random))),
        21 => ("PATCH", format!("/v2/{name}/blobs/uploads/{}", upload(random))),
        22 => ("PUT", format!("/v2/{name}/blobs/uploads/{}&digest={EMPTY}", upload(random))),
        _ => ("DELETE", format!("/v2/{name}/blobs/uploads/{}", upload(random))),
    };
    (method(random, meant), target)
}

fn upload(random: &mut Random) -> &'static str {
    pick(random, &[OWN_UPLOAD, OWN_UPLOAD, OWN_UPLOAD, THEIR_UPLOAD, "..", "", "x?mount=y&from=secret/app"])
}

/// Returns the query of a POST: none, a correct mount, or a mount in another spelling.
fn mount(random: &mut Random) -> String {
    const KEYS: [[&str; 8]; 2] = [
        ["mount", "mount", "%6dount", "m%6Fun%74", "Mount", "mount%00", "mount[]", "+mount"],
        ["from", "from", "%66rom", "fr%6F%6d", "FROM", "from%20", "from[]", "%2566rom"],
    ];
    const SOURCES: [&str; 18] = [
        "base/app",
        "base/app",
        "secret/app",
        "secret/app",
        "secret%2Fapp",
        "base%2fapp",
        "%73ecret/app",
        "Secret/app",
        "host:5000/secret/app",
        "registry.test/secret/app",
        "/secret/app",
        "secret/app/",
        "open/../secret/app",
        "base/app%00secret/app",
        "secret+app",
        "secret%252Fapp",
        "",
        "*",
    ];
    let own = |random: &mut Random| {
        let of = if random.below(2) == 0 { (BASE_BLOB, "base/app") } else { (SECRET_BLOB, "secret/app") };
        format!("?mount={}&from={}", of.0, of.1)
    };
    match random.below(9) {
        0 => String::new(),
        1 => pick(
            random,
            &["?", "?digest=", "?mount=", "?from=secret/app", "?ns=secret", "?digest-algorithm=sha512"],
        )
        .to_owned(),
        2 => format!("?mount={SECRET_BLOB}"),
        3..=6 => own(random),
        _ => {
            let mut parts = Vec::new();
            for _ in 0..2 + random.below(3) {
                let which = below(random, 2);
                let key = pick(random, &KEYS[which]);
                let value = if which == 0 { digest(random) } else { pick(random, &SOURCES).to_owned() };
                parts.push(format!("{key}={value}"));
            }
            if random.below(4) == 0 {
                parts.push(pick(random, &["x=%zz", "digest=", "ns=secret", "a;b", "_state=x"]).to_owned());
            }
            format!("?{}", parts.join(pick(random, &["&", "&", "&", ";", "&&", "%26"])))
        }
    }
}

/// Returns a manifest with this blob as its configuration and no layers.
pub(crate) fn manifest(blob: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{blob}","size":5}},"layers":[]}}"#
    )
}

/// Returns the request body: a manifest with an accessible or an inaccessible blob, or no bytes.
pub(super) fn body(random: &mut Random, method: &str, target: &str) -> Vec<u8> {
    if method == "PUT" && target.contains("/manifests/") {
        return manifest(pick(random, &[BASE_BLOB, BASE_BLOB, SECRET_BLOB])).into_bytes();
    }
    if method == "PATCH" && random.below(2) == 0 { b"some".to_vec() } else { Vec::new() }
}
