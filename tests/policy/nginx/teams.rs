//! Teams and their repositories, by skopeo.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::eventually;
use crate::support::image::{make, skopeo};
use crate::support::nginx::{Nginx, Template};
use crate::support::process::Output;
use crate::support::registry::Registry;
use crate::support::users::{self, QUICK, put};

/// Each team pulls and pushes its own repositories. Every user pulls shared ones, carl pulls from red, and ops may do
/// everything.
const RULES: &str = r#"
[[grant]]
who = "authenticated"
repositories = ["shared/**"]
actions = ["pull"]

[[grant]]
groups = ["red", "blue"]
repositories = ["{group}/**"]
actions = ["pull", "push"]

[[grant]]
users = ["carl"]
repositories = ["red/**"]
actions = ["pull"]

[[grant]]
groups = ["ops"]
actions = ["pull", "push", "delete", "catalog"]

[[deny]]
groups = ["red"]
repositories = ["shared/keys"]
"#;

const GROUPS: &str = "red: ann bob\nblue: carl\nops: dora\n";
const PEOPLE: [(&str, &str); 4] = [("ann", "a1"), ("bob", "b2"), ("carl", "c3"), ("dora", "d4")];

/// nginx, doorward, a registry that logs mounts, and images for skopeo.
struct Team {
    home: TempDir,
    nginx: Nginx,
    doorward: Doorward,
    registry: Registry,
}

fn password(user: &str) -> &'static str {
    PEOPLE.iter().find(|(name, _)| *name == user).expect("one of them").1
}

impl Team {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lines: String =
            PEOPLE.iter().map(|(user, password)| users::line(user, password, QUICK)).collect();
        for (name, text) in [("htpasswd", &lines[..]), ("policy.toml", RULES), ("groups", GROUPS)] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (policy, groups) = (path("policy.toml"), path("groups"));
        let doorward = Doorward::start_in(dir, &["--policy", &policy, "--groups", &groups]);
        let registry = Registry::start_with_log();
        let nginx = Nginx::start(Template::Registry, tcp(&doorward.address), registry.address);
        let home = tempfile::tempdir().unwrap();
        make(&home.path().join("image"), 2);
        Self { home, nginx, doorward, registry }
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    /// Runs skopeo as `user`. `REGISTRY/` in an argument is replaced with the address of the registry.
    fn run(&self, user: &str, arguments: &[&str]) -> Output {
        let address = format!("docker://{}/", self.nginx.address);
        let mut all: Vec<String> = arguments.iter().map(|text| text.replace("REGISTRY/", &address)).collect();
        let (tls, credentials) = match arguments[0] {
            "copy" => ("--dest-tls-verify=false", "--dest-creds"),
            _ => ("--tls-verify=false", "--creds"),
        };
        all.splice(1..1, [tls.into(), format!("{credentials}={user}:{}", password(user))]);
        skopeo(self.home.path(), &all)
    }

    fn pull(&self, user: &str, name: &str) -> Output {
        self.run(user, &["inspect", "--raw", &format!("REGISTRY/{name}:one")])
    }

    fn push(&self, user: &str, image: &Path, name: &str) -> Output {
        let from = format!("oci:{}:one", image.display());
        self.run(user, &["copy", "--preserve-digests", &from, &format!("REGISTRY/{name}:one")])
    }

    /// Returns the repositories from which layers were mounted into a repository, according to the registry log.
    fn mounted(&self, into: &str) -> Vec<String> {
        let log = self.registry.log();
        let path = format!("\"http.request.uri\":\"/v2/{into}/blobs/uploads/?from=");
        let made = log.lines().filter(|line| line.contains("\"http.response.status\":201"));
        let sources = made.filter_map(|line| line.split_once(&path)?.1.split(['\\', '&']).next());
        sources.map(|source| source.replace("%2F", "/")).collect()
    }
}

fn assert_allowed(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// Checks that the command was refused, and that skopeo shows the missing permission.
fn assert_denied(output: &Output, scope: &str) {
    assert_ne!(output.code, Some(0), "{output:?}");
    let said = format!("requested access to the resource is denied: {scope}");
    assert!(output.stderr.contains(&said), "{scope}: {output:?}");
}

#[test]
fn each_user_is_allowed_what_its_team_may_and_denied_the_rest() {
    let team = Team::start();
    for name in ["red/app", "blue/app", "shared/tools", "shared/keys"] {
        assert_allowed(&team.push("dora", &team.image(), name));
    }
    let rights = [
        ("ann", ["red/app", "shared/tools"], ["blue/app", "shared/keys"]),
        ("carl", ["red/app", "blue/app"], ["red/none", "none/none"]),
        ("dora", ["shared/keys", "blue/app"], ["", ""]),
    ];
    for (user, may, may_not) in rights {
        may.iter().for_each(|name| assert_allowed(&team.pull(user, name)));
        for name in may_not.into_iter().filter(|name| !name.is_empty() && *name != "red/none") {
            assert_denied(&team.pull(user, name), &format!("repository:{name}:pull"));
        }
    }
    // A missing image is reported as not found to a user that may pull.
    assert!(team.pull("carl", "red/none").stderr.contains("manifest unknown"));
    assert_allowed(&team.push("carl", &team.image(), "blue/other"));
    assert_denied(&team.push("carl", &team.image(), "shared/tools"), "repository:shared/tools:push");
    // skopeo sends a HEAD request first, whose response has no message.
    let refused = team.push("ann", &team.image(), "blue/app");
    assert!(refused.code != Some(0) && refused.stderr.contains("403 (Forbidden)"), "{refused:?}");

    let delete = |user: &str| team.run(user, &["delete", "REGISTRY/red/app:one"]);
    let refused = delete("ann");
    assert!(refused.code != Some(0) && refused.stderr.contains("repository:red/app:delete"), "{refused:?}");
    assert_allowed(&delete("dora"));
    assert!(team.pull("ann", "red/app").stderr.contains("manifest unknown"));
    let catalog = |user: &str| team.nginx.ask(&Request::get("/v2/_catalog").basic(user, password(user)));
    assert!(catalog("ann").text().contains("denied: registry:catalog:*"));
    assert!(catalog("dora").text().contains("\"shared/keys\""));
}

#[test]
fn layers_are_mounted_from_pullable_repositories_and_uploaded_otherwise() {
    let team = Team::start();
    // skopeo remembers where it has seen a layer, for all users, and requests a mount from there.
    assert_allowed(&team.push("ann", &team.image(), "red/app"));
    assert_allowed(&team.push("carl", &team.image(), "blue/app"));
    eventually("two layers were mounted", || (team.mounted("blue/app") == ["red/app"; 2]).then_some(()));

    let other = team.home.path().join("other");
    make(&other, 3);
    assert_allowed(&team.push("dora", &other, "shared/keys"));
    // Two of the three layers are also in red/app. The third is only in shared/keys, which ann may not pull.
    assert_allowed(&team.push("ann", &other, "red/other"));
    eventually("two layers were mounted", || (team.mounted("red/other") == ["red/app"; 2]).then_some(()));
    assert_allowed(&team.pull("ann", "red/other"));
    // A client that requests a mount directly, as docker does, gets an upload.
    let config = team.pull("dora", "shared/keys").stdout;
    let digest =
        config.split("\"digest\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a digest");
    let mount = |user: &str, from: &str, into: &str| {
        let post = Request::new("POST", &format!("/v2/{into}/blobs/uploads/?mount={digest}&from={from}"));
        team.nginx.ask(&post.basic(user, password(user)).body("")).status
    };
    assert_eq!(mount("ann", "shared/keys", "red/app"), 202);
    assert_eq!(mount("dora", "shared/keys", "red/app"), 201);
    assert_eq!(mount("carl", "red/app", "red/base"), 403);
}

#[test]
fn user_removed_from_a_group_is_denied_with_the_scope() {
    let team = Team::start();
    assert_allowed(&team.push("bob", &team.image(), "red/app"));
    let hashes = team.doorward.hashes();
    put(&team.doorward.folder().join("groups"), "red: ann\nblue: carl\nops: dora\n");
    let tags = Request::get("/v2/red/app/tags/list").basic("bob", "b2");
    eventually("bob is refused", || (team.nginx.ask(&tags).status == 403).then_some(()));
    assert_denied(&team.pull("bob", "red/app"), "repository:red/app:pull");
    assert_allowed(&team.pull("ann", "red/app"));
    assert_eq!(team.doorward.hashes(), hashes + 1.0, "ann's first");
}
