//! A web page in headless Chromium that uses a registry on another origin (field case D2, Joxit/docker-registry-ui#232).
//! `make test-browser` runs these tests.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use super::started::Started;
use crate::support::api::{Api, Reply};
use crate::support::client::tcp;
use crate::support::doorward::{Doorward, doorward};
use crate::support::image::{make, skopeo};
use crate::support::policy::{GROUPS, RULES};
use crate::support::process::{Process, program};
use crate::support::registry::Registry;
use crate::support::{free_port, users};

/// The page lists the tags of a repository, shows them, tries refused requests, and sends what it could read to its own
/// server. A request that the browser blocks is "blocked".
const PAGE: &str = r#"<!doctype html><meta charset=utf-8><title>Tags</title><ul id=tags></ul><script>
const registry = "REGISTRY", token = { value: "" };
const basic = (user, password) => "Basic " + btoa(user + ":" + password);
async function ask(path, authorization, more) {
  try {
    const headers = authorization ? { Authorization: authorization } : {};
    const response = await fetch(registry + path, { headers, cache: "no-store", ...more });
    const text = await response.text();
    return { status: response.status, text, retry: response.headers.get("Retry-After"),
      link: response.headers.get("Link"), challenge: response.headers.get("WWW-Authenticate"),
      digest: response.headers.get("Docker-Content-Digest") };
  } catch (error) { return "blocked"; }
}
(async () => {
  const found = {};
  const ann = basic("ann", "a1");
  found.list = await ask("/v2/team/app/tags/list?n=1", ann);
  if (found.list.status === 200)
    for (const tag of JSON.parse(found.list.text).tags) {
      const line = document.createElement("li"); line.textContent = tag; document.getElementById("tags").append(line);
    }
  found.manifest = await ask("/v2/team/app/manifests/one", ann,
    { headers: { Authorization: ann, Accept: "application/vnd.oci.image.manifest.v1+json" } });
  found.simple = await ask("/v2/", "");
  found.wrong = await ask("/v2/team/app/tags/list", basic("ann", "wrong"));
  found.denied = await ask("/v2/team/secret/tags/list", basic("bob", "b2"));
  found.path = await ask("/v2/a/;b/tags/list", ann);
  found.token = await ask("/token?service=registry.test&scope=repository:team/app:pull", ann);
  if (found.token.status === 200) {
    const bearer = "Bearer " + JSON.parse(found.token.text).token;
    found.withToken = await ask("/v2/team/app/tags/list", bearer);
    found.token.text = "";
  }
  found.tokenRefused = await ask("/token?service=registry.test", basic("ann", "wrong"));
  for (let number = 0; number < 60 && (found.throttled || {}).status !== 429; number++)
    found.throttled = await ask("/v2/team/app/tags/list", basic("carl", "guess" + number));
  found.shown = document.getElementById("tags").innerText;
  await fetch("/result", { method: "POST", body: JSON.stringify(found) });
})();
</script>"#;

/// A server of web pages. It keeps what its page has sent.
fn page_server(registry: SocketAddr) -> Api {
    let page = PAGE.replace("REGISTRY", &format!("http://{registry}"));
    Api::start(move |call| match (&call.method[..], call.path()) {
        ("GET", "/") => Reply::Say(
            200,
            vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())],
            page.clone().into_bytes(),
        ),
        ("POST", "/result") => Reply::status(204),
        _ => Reply::status(404),
    })
}

/// Opens the page in Chromium, and returns what it has sent to its server.
fn open(page: &Api, host: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("chromium", "chromium"));
    // The sandbox needs a user other than root. The profile and the cache are in the folder of the test.
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
    command.env("HOME", dir.path()).arg(format!("http://{host}:{}/", page.address.port()));
    let mut chromium = Process::spawn(command, &dir.path().join("log"));
    let found = chromium.ready("the page sends what it found", |_| {
        page.calls().iter().find(|call| call.path() == "/result").map(crate::support::api::Call::json)
    });
    chromium.stop();
    found
}

/// A registry with one image, behind doorward and nginx. `localhost:PORT` is the listed origin.
struct Servers {
    nginx: Started,
    _doorward: Doorward,
    _registry: Registry,
}

impl Servers {
    fn start(address: SocketAddr, origin: &str) -> Self {
        let registry = Registry::start();
        let home = tempfile::tempdir().unwrap();
        make(&home.path().join("image"), 1);
        let from = format!("oci:{}:one", home.path().join("image").display());
        for tag in ["one", "two"] {
            let to = format!("docker://{}/team/app:{tag}", registry.address);
            let output = skopeo(home.path(), &["copy", "--dest-tls-verify=false", &from, &to]);
            assert_eq!(output.code, Some(0), "{output:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (policy, groups, keys) = (path("policy.toml"), path("groups"), path("keys.pem"));
        for (name, text) in [("htpasswd", &users::three()[..]), ("policy.toml", RULES), ("groups", GROUPS)] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let realm = format!("http://{address}/token");
        let init = [
            "signing-key",
            "init",
            "--signing-keys",
            &keys,
            "--service",
            "registry.test",
            "--issuer",
            "doorward",
        ];
        let output = doorward(&[&init[..], &["--realm", &realm]].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        let mut flags = vec!["--policy", &policy, "--groups", &groups, "--token-signing-keys", &keys];
        flags.extend(["--token-service", "registry.test", "--token-realm", &realm]);
        let doorward = Doorward::start_in(dir, &flags);
        let (auth, public) = (tcp(&doorward.address).to_string(), tcp(&doorward.public).to_string());
        let (upstream, listen) = (registry.address.to_string(), address.to_string());
        let options = [
            ("kind", "registry"),
            ("auth", &auth[..]),
            ("public", &public),
            ("tokens", "mixed"),
            ("upstream", &upstream),
            ("cors-origins", origin),
        ];
        let nginx = Started::start_at(address, &options);
        assert_eq!(nginx.address.to_string(), listen);
        Self { nginx, _doorward: doorward, _registry: registry }
    }
}

#[test]
#[ignore = "it needs Chromium: make test-browser"]
fn page_of_a_listed_origin_lists_tags_and_reads_refusals_and_a_foreign_page_cannot_field_d2() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let page = page_server(address);
    let servers = Servers::start(address, &format!("http://localhost:{}", page.address.port()));
    assert_eq!(servers.nginx.address, address);

    let found = open(&page, "localhost");
    let status = |name: &str| found[name]["status"].clone();
    assert_eq!(found["list"]["text"], "{\"name\":\"team/app\",\"tags\":[\"one\",\"two\"]}\n", "{found:#}");
    assert_eq!(found["shown"], "one\ntwo", "{found:#}");
    assert_eq!(
        (status("manifest"), status("withToken"), status("token")),
        (json!(200), json!(200), json!(200)),
        "{found:#}"
    );
    assert!(
        found["manifest"]["digest"].as_str().is_some_and(|text| text.starts_with("sha256:")),
        "{found:#}"
    );
    for name in ["simple", "wrong", "tokenRefused"] {
        assert_eq!(status(name), 401, "{name}: {found:#}");
    }
    assert!(found["wrong"]["challenge"].as_str().is_some_and(|text| text.starts_with("Basic")), "{found:#}");
    assert!(found["wrong"]["text"].as_str().is_some_and(|text| text.contains("UNAUTHORIZED")), "{found:#}");
    assert_eq!((status("denied"), status("path")), (json!(403), json!(400)), "{found:#}");
    assert!(
        found["denied"]["text"].as_str().is_some_and(|text| text.contains("repository:team/secret:pull"))
    );
    assert_eq!(status("throttled"), 429, "{found:#}");
    let retry = found["throttled"]["retry"].as_str().and_then(|text| text.parse::<u32>().ok());
    assert!(retry.is_some_and(|seconds| seconds > 0), "{found:#}");

    // The same page from another origin. The name 127.0.0.1 is not listed, and neither is another port.
    for (foreign, host) in [(&page_server(address), "localhost"), (&page_server(address), "127.0.0.1")] {
        let found = open(foreign, host);
        for (name, value) in found.as_object().unwrap().iter().filter(|(name, _)| *name != "shown") {
            assert_eq!(value, "blocked", "{name}: {found:#}");
        }
        assert_eq!(found["shown"], "", "{found:#}");
    }
}
