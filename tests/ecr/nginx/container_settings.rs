//! Settings of the nginx container for an upstream registry.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::{EcrSetup, NAME, Reply, SECRET, alice, is_since};
use crate::support::client::Request;
use crate::support::nginx::{Image, assert_json, busybox};
use crate::support::process::Output;

/// Creates a CA certificate and a secret, and returns a container with the settings that name them.
fn ready(dir: &Path, image: Image) -> Image {
    let ca = super::Authority::new("Test Authority").file(dir);
    fs::write(dir.join("secret"), format!("{SECRET}\n")).unwrap();
    image
        .set("KIND", "ecr")
        .set("AUTH", "127.0.0.1:8000")
        .set("UPSTREAM", "127.0.0.1:8443")
        .set("UPSTREAM_CA", ca.display().to_string())
        .set("PLAIN_HTTP", "on")
        .set("LISTEN", "127.0.0.1:28086")
}

/// Runs the container with the shell of Debian and, if available, with that of Alpine. Both must give the same result.
fn try_each(change: impl Fn(Image, &Path) -> Image) -> Vec<(Output, Image, TempDir)> {
    let once = |shell: Option<Image>| {
        let image = shell?;
        let dir = tempfile::tempdir().unwrap();
        let image = change(ready(dir.path(), image), dir.path());
        Some((image.try_out(), image, dir))
    };
    let alpine = busybox().map(|busybox| Image::new().on(&busybox));
    [once(Some(Image::new())), once(alpine)].into_iter().flatten().collect()
}

pub(super) fn assert_fails(change: impl Fn(Image, &Path) -> Image, said: &str) {
    for (output, ..) in try_each(change) {
        assert_ne!(output.code, Some(0), "{said}: {output:?}");
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
}

fn assert_starts(change: impl Fn(Image, &Path) -> Image, written: &str) {
    for (output, image, _dir) in try_each(change) {
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(!output.stderr.contains("99-doorward-check.sh"), "no warning: {}", output.stderr);
        let text = fs::read_to_string(image.path("etc/nginx/conf.d/default.conf")).unwrap();
        assert!(text.contains(written), "{written}: {text}");
    }
}

#[test]
fn registry_setting_accepts_a_name_with_or_without_port() {
    let names = |image: Image| image.file("etc/hosts", &format!("127.0.0.1 {NAME} localhost\n"));
    // `nginx -t` resolves this name at the start, with the hosts file of the machine.
    assert_starts(|image, _| names(image).set("UPSTREAM", "localhost"), "server localhost:443;");
    assert_starts(|image, _| names(image).set("UPSTREAM", "LOCALHOST:8443"), "default localhost:8443;");
    let resolver = |image: Image| image.set("RESOLVER", "127.0.0.1");
    let name = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    assert_starts(|image, _| resolver(image).set("UPSTREAM", name), &format!("default {name};"));
    let server = if is_since([1, 27, 3]) {
        format!("server {name}:443 resolve")
    } else {
        format!("default {name}:443;")
    };
    assert_starts(|image, _| resolver(image).set("UPSTREAM", name), &server);
    assert_fails(
        |image, _| image.set("UPSTREAM", ""),
        "NGX_DOORWARD_UPSTREAM is not set; set it to a registry, like NGX_DOORWARD_UPSTREAM=1234",
    );
    assert_fails(
        |image, _| image.set("UPSTREAM", format!("https://{name}")),
        "remove the scheme and the path",
    );
    assert_fails(|image, _| image.set("UPSTREAM", format!("{name}/v2")), "is not host:port");
    assert_fails(
        |image, _| image.set("UPSTREAM", "unix:/run/x"),
        "For a registry without TLS set NGX_DOORWARD_KIND=registry",
    );
    assert_fails(
        |image, _| image.set("UPSTREAM", "[::1]:443"),
        "For a registry without TLS set NGX_DOORWARD_KIND=registry",
    );
    assert_fails(|image, _| image.set("UPSTREAM", "a;b"), "is not host:port");
}

#[test]
fn invalid_upstream_setting_is_named() {
    assert_fails(|image, _| image.set("KIND", "ecr2"), "is not one of: registry site ecr");
    assert_fails(|image, _| image.set("PUSH", "yes"), "NGX_DOORWARD_PUSH=yes is not one of: on off");
    assert_fails(
        |image, _| image.set("REDIRECTS", "on"),
        "NGX_DOORWARD_REDIRECTS=on is not one of: pass follow",
    );
    assert_fails(
        |image, _| image.set("REDIRECT_HOSTS", "a.test"),
        "has no effect without NGX_DOORWARD_REDIRECTS=follow",
    );
    for name in ["PUSH", "REDIRECTS", "UPSTREAM_CA"] {
        let value = if name == "PUSH" { "on" } else { "pass" };
        let other = |image: Image| image.set("UPSTREAM_CA", "").set(name, value);
        for kind in ["site", "registry"] {
            let said = format!("NGX_DOORWARD_{name} requires NGX_DOORWARD_KIND=ecr, and it is {kind}");
            assert_fails(|image, _| other(image).set("KIND", kind), &said);
        }
    }
    assert_fails(|image, _| image.set("UPSTREAM_CA", "ca.pem"), "a path must begin with a slash");
    assert_fails(|image, _| image.set("UPSTREAM_CA", "/x;y"), "a path can contain letters, digits");
    assert_fails(|image, _| image.set("UPSTREAM_CA", "/no/such"), "the file does not exist; mount it");
    assert_fails(
        |image, dir| image.set("UPSTREAM_CA", dir.display().to_string()),
        "is empty, is not a file, or cannot be read by user",
    );
    assert_fails(|image, _| image.set("UPSTREAM_CA", ""), "set your own file: NGX_DOORWARD_UPSTREAM_CA=");
    assert_fails(
        |image, dir| {
            let path = dir.join("none.pem");
            fs::write(&path, "no certificate\n").unwrap();
            image.set("UPSTREAM_CA", path.display().to_string())
        },
        "none.pem",
    );
    // The CA file of the system, if it exists.
    let system = |image: Image, dir: &Path| {
        let text = fs::read_to_string(dir.join("ca.pem")).unwrap();
        image.set("UPSTREAM_CA", "").file("etc/ssl/certs/ca-certificates.crt", &text)
    };
    assert_starts(system, "/etc/ssl/certs/ca-certificates.crt\";");
}

#[test]
fn redirect_hosts_must_be_names_and_not_a_wildcard_for_all() {
    let follow = |image: Image, hosts: &str| {
        image.set("RESOLVER", "127.0.0.1").set("REDIRECTS", "follow").set("REDIRECT_HOSTS", hosts)
    };
    let wanted = "    \"~^([a-z0-9-]+\\.)+s3\\.test$\" yes;\n    \"~^a-b\\.test:9000$\" yes;\n";
    assert_starts(|image, _| follow(image, "*.S3.test,a-b.test:9000"), wanted);
    for bad in ["*", "*.", "*.com", "a.*.test", "*a.test", "", ",", "a..b", ".a", "-a"] {
        let hosts = if bad.is_empty() { "a.test," } else { bad };
        assert_fails(|image, _| follow(image, hosts), "NGX_DOORWARD_REDIRECT_HOSTS=");
    }
    assert_fails(|image, _| follow(image, "a.test;b"), "separate hosts by commas");
    assert_fails(|image, _| follow(image, "a.test:70000"), "must end in a port between 1 and 65535");
    assert_fails(
        |image, _| image.set("REDIRECTS", "follow").file("etc/resolv.conf", "search test\n"),
        "has no server; set one, like NGX_DOORWARD_RESOLVER=",
    );
}

#[test]
fn proxy_secret_with_unsafe_characters_is_refused() {
    let with = |image: Image, dir: &Path, text: &[u8]| {
        fs::write(dir.join("secret"), text).unwrap();
        image.set("PROXY_SECRET_FILE", dir.join("secret").display().to_string())
    };
    let fine: [&[u8]; 4] =
        [b"0123456789abcdef", b"0123456789abcdef\n", b"!#%&()*+,-./:<=>?@[]^_`|~", &[b'x'; 256]];
    for text in fine {
        assert_starts(|image, dir| with(image, dir, text), "include \"");
    }
    let bad: [(&[u8], &str); 12] = [
        (b"0123456789abcde", "has 15 characters, and must have 16 to 256"),
        (&[b'x'; 257], "has 257 characters"),
        (b"\n", "has 0 characters"),
        (b"0123456789abcdef\n0123456789abcdef\n", "has more than one line"),
        (b"0123456789 abcdef", "has more than one line, or has blanks"),
        (b"0123456789abcdef\r\n", "has more than one line, or has blanks"),
        (b"0123456789abcdef\xc3\xa9", "characters beyond ASCII"),
        (b"0123456789abcdef\"", "contains a quote"),
        (b"0123456789abcdef'", "contains a quote"),
        (b"0123456789abcdef\\", "contains a quote"),
        (b"0123456789abcdef$x", "contains a quote"),
        (b"0123456789abcdef;", "contains a quote"),
    ];
    for (text, said) in bad {
        assert_fails(|image, dir| with(image, dir, text), said);
        for (output, ..) in try_each(|image, dir| with(image, dir, text)) {
            assert!(!output.stderr.contains("0123456789"), "{}", output.stderr);
        }
    }
    assert_fails(|image, dir| with(image, dir, b""), "is empty, is not a file, or cannot be read by user");
    assert_fails(|image, _| image.set("PROXY_SECRET_FILE", "/no/such"), "the file does not exist");
}

#[test]
fn proxy_secret_is_in_no_log_and_no_readable_file() {
    let setup = EcrSetup::plain();
    setup.ecr.say(Reply::status(401));
    assert_json(&setup.get("/v2/a"), 503, "UNAVAILABLE");
    assert_eq!(setup.ask(&Request::get("/v2/a")).status, 401);
    setup.ecr.say(Reply::status(200));
    assert_eq!(setup.ask(&alice(Request::get("/v2/b"))).status, 200);
    let root = setup.nginx.image();
    let file = root.path("etc/nginx/conf.d/doorward.secret");
    assert!(fs::read_to_string(&file).unwrap().contains(SECRET));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    for path in ["log", "var/log/nginx/access.log", "etc/nginx/conf.d/default.conf"] {
        let text = fs::read_to_string(root.path(path)).unwrap_or_default();
        assert!(path == "log" || !text.is_empty(), "{path}");
        assert!(!text.contains(SECRET) && !text.contains("QVdTOnVwc3RyZWFt"), "{path}: {text}");
    }
}

#[test]
fn proxy_secret_of_an_earlier_start_is_removed() {
    for (output, image, dir) in
        try_each(|image, dir| image.set("PROXY_SECRET_FILE", dir.join("secret").display().to_string()))
    {
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let file = image.path("etc/nginx/conf.d/doorward.secret");
        assert!(file.exists());
        let image = image.set("PROXY_SECRET_FILE", "");
        assert_eq!(image.try_out().code, Some(0));
        assert!(!file.exists());
        drop(dir);
    }
}

#[test]
fn proxy_secret_is_sent_for_every_upstream_kind() {
    use crate::support::upstream::{Upstream, empty};
    for kind in ["registry", "site"] {
        let (auth, backend) = (
            Upstream::start(&empty("200 OK\r\nX-Upstream-Authorization: Basic dG9rZW4=")),
            Upstream::start(&empty("200 OK")),
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), SECRET).unwrap();
        let image = Image::new()
            .set("KIND", kind)
            .set("AUTH", auth.address.to_string())
            .set("UPSTREAM", backend.address.to_string())
            .set("PROXY_SECRET_FILE", dir.path().join("secret").display().to_string())
            .set("PLAIN_HTTP", "on");
        let nginx = crate::support::nginx::Nginx::of(image);
        let forged = alice(Request::get("/v2/"))
            .header("X-Auth-Proxy-Secret", "forged")
            .header("X-Upstream-Authorization", "forged");
        assert_eq!(nginx.ask(&forged).status, 200);
        assert!(
            auth.received().contains(&format!("\r\nX-Auth-Proxy-Secret: {SECRET}\r\n")),
            "{}",
            auth.received()
        );
        let got = backend.received();
        assert!(got.contains("\r\nAuthorization: Basic dG9rZW4=\r\n"), "{got}");
        assert!(!got.contains("forged") && !got.contains(SECRET), "{got}");
        auth.say(&empty("200 OK"));
        assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
        assert_eq!(backend.received().matches("Authorization").count(), 1);
    }
}
