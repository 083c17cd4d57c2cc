//! Every example passes `check`.

mod internal_api;
mod login_endpoint;
mod marketplace;
mod vendor_api;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::api::{Api, Call, Reply};
use crate::support::client::{Answer, Request, tcp};
use crate::support::doorward::{Doorward, doorward};
use crate::support::image::{make, skopeo};
use crate::support::nginx::{Nginx, Template};
use crate::support::process::Output;
use crate::support::registry::Registry;

/// The folder of the files that the examples name.
pub(super) const FOLDER: &str = "/etc/doorward";

pub(super) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Copies an example into `dir` and replaces the URL of the service, which must occur once. Returns the path of the
/// copy.
fn copy(name: &str, dir: &Path, origin: &str, service: &str) -> PathBuf {
    let text = fs::read_to_string(examples().join(name)).unwrap();
    assert_eq!(text.matches(origin).count(), 1, "{name} asks {origin}");
    let path = dir.join(name);
    fs::write(&path, text.replace(origin, service).replace(FOLDER, &dir.display().to_string())).unwrap();
    path
}

/// nginx, a registry, and doorward configured by an example.
struct ExampleSetup {
    home: TempDir,
    nginx: Nginx,
    doorward: Doorward,
    registry: Registry,
    backend: Api,
    settings: PathBuf,
}

impl ExampleSetup {
    /// Starts the servers. `origin` is the URL of the service in the example, and `files` are the other files that it
    /// requires.
    fn start(
        name: &str,
        origin: &str,
        files: &[(&str, &str)],
        handler: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (dir, backend) = (tempfile::tempdir().unwrap(), Api::start(handler));
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let settings = copy(name, dir.path(), origin, &backend.url());
        // Hashes can be slow on a test machine. The time limit of the authenticator chain must still fit into the
        // timeout of nginx.
        let flags = ["--config", settings.to_str().unwrap(), "--hash-wait-timeout", "5s"];
        let (registry, doorward) = (Registry::start(), Doorward::start_in(dir, &flags));
        let nginx = Nginx::start(Template::Registry, tcp(&doorward.address), registry.address);
        let home = tempfile::tempdir().unwrap();
        make(&home.path().join("image"), 3);
        Self { home, nginx, doorward, registry, backend, settings }
    }

    /// Returns the response of doorward itself.
    fn auth(&self, user: &str, password: &str) -> Answer {
        let from = Request::auth().header("X-Original-URI", "/v2/").header("X-Original-Method", "GET");
        let from = from.header("X-Original-Host", "registry.test").header("X-Original-Content-Type", "ct:");
        self.doorward.ask(&from.header("X-Auth-Rewrite", "yes").from("192.0.2.1").basic(user, password))
    }

    fn log_in(&self, user: &str, password: &str) -> Output {
        let registry = self.nginx.address.to_string();
        skopeo(self.home.path(), &["login", "--tls-verify=false", "-u", user, "-p", password, &registry])
    }

    /// Pulls a whole image into a folder.
    fn pull(&self, user: &str, password: &str, name: &str) -> Output {
        let to = format!("dir:{}", self.home.path().join("pulled").display());
        let from = format!("docker://{}/{name}:one", self.nginx.address);
        let credentials = format!("--src-creds={user}:{password}");
        skopeo(self.home.path(), &["copy", "--src-tls-verify=false", &credentials, &from, &to])
    }

    fn push(&self, user: &str, password: &str, name: &str) -> Output {
        let to = format!("docker://{}/{name}:one", self.nginx.address);
        let credentials = format!("--dest-creds={user}:{password}");
        self.copy_image(&[&credentials], &to)
    }

    /// Pushes an image directly to the registry, as a release process does.
    fn publish(&self, name: &str) {
        assert_succeeded(&self.copy_image(&[], &format!("docker://{}/{name}:one", self.registry.address)));
    }

    fn copy_image(&self, flags: &[&str], to: &str) -> Output {
        let from = format!("oci:{}:one", self.home.path().join("image").display());
        let all = [&["copy", "--preserve-digests", "--dest-tls-verify=false"], flags, &[&from, to]].concat();
        skopeo(self.home.path(), &all)
    }

    /// Runs `check` with these flags. Returns the exit code and the output.
    fn check(&self, flags: &[&str]) -> (Option<i32>, String) {
        let output = doorward(&[&["check", "--config", self.settings.to_str().unwrap()], flags].concat());
        (output.code, output.stdout + &output.stderr)
    }
}

fn assert_succeeded(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// Checks that the command failed and that the client printed these words.
fn assert_refused(output: &Output, words: &str) {
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains(words), "{words}: {output:?}");
}

#[test]
fn every_example_passes_check_and_has_a_test() {
    let mut names: Vec<String> = fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "vendor-policy.toml")
        // These examples have tests of their own, see marketplace.rs.
        .filter(|name| !name.starts_with("marketplace"))
        .collect();
    names.sort();
    names.retain(|name| name != "ecr.toml");
    assert_eq!(names, ["internal-api.toml", "login-endpoint.toml", "vendor-api.toml"]);
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put("htpasswd", &crate::support::users::alice());
    put("accounts-key", "a key\n");
    let policy = fs::read_to_string(examples().join("vendor-policy.toml")).unwrap();
    put("vendor-policy.toml", &policy);
    for name in names {
        let text = fs::read_to_string(examples().join(&name)).unwrap();
        let path = dir.path().join(&name);
        put(&name, &text.replace(FOLDER, &dir.path().display().to_string()));
        let output = doorward(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(output.code, Some(0), "{name}: {output:?}");
        // An unknown key must be reported, which shows that the example was read. Each example contains the key once.
        put(&name, &text.replace(FOLDER, &dir.path().display().to_string()).replace("url = ", "uri = "));
        let output = doorward(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(output.code, Some(1), "{name}: {output:?}");
        assert!(output.stderr.contains("uri"), "{name}: {output:?}");
    }
}

#[cfg(feature = "ecr")]
#[test]
fn ecr_example_can_be_appended_to_the_vendor_example() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(examples().join(name)).unwrap();
    fs::write(dir.path().join("vendor-policy.toml"), read("vendor-policy.toml")).unwrap();
    let text = read("vendor-api.toml").replace(FOLDER, &dir.path().display().to_string());
    let (path, secret) = (dir.path().join("doorward.toml"), dir.path().join("secret"));
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let check = |below: &str| {
        fs::write(&path, format!("{text}\n{below}")).unwrap();
        doorward(&[
            "check",
            "--config",
            path.to_str().unwrap(),
            "--proxy-secret-file",
            secret.to_str().unwrap(),
        ])
    };
    // The commented-out part must be valid too.
    let whole = read("ecr.toml").replace("#   ", "");
    let (head, tail) = whole.split_once("[[upstream]]\nname = \"partner\"").unwrap();
    let (partner, _) = tail.split_once("#\n").unwrap();
    let (words, own) = head.split_once("[[upstream]]\n").unwrap();
    assert!(words.starts_with('#'));
    let both = format!("[[upstream]]\nname = \"partner\"{partner}\n[[upstream]]\n{own}");
    for (below, code) in [(read("ecr.toml"), 0), (both.clone(), 0), (both.replace("region", "regoin"), 1)] {
        let output = check(&below);
        assert_eq!(output.code, Some(code), "{output:?}");
    }
}
