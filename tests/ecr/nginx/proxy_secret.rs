//! The proxy secret that nginx sends to doorward.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{EcrSetup, Reply, SECRET, alice};
use crate::support::client::Request;
use crate::support::nginx::{Image, Nginx, assert_json};
use crate::support::upstream::{Upstream, empty};

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
    for path in ["log", "var/log/nginx/access.log", "etc/nginx/conf.d/doorward.conf"] {
        let text = fs::read_to_string(root.path(path)).unwrap_or_default();
        assert!(path == "log" || !text.is_empty(), "{path}");
        assert!(!text.contains(SECRET) && !text.contains("QVdTOnVwc3RyZWFt"), "{path}: {text}");
    }
}

#[test]
fn proxy_secret_is_sent_for_every_upstream_kind() {
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
        let nginx = Nginx::of(image);
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
