//! skopeo through nginx to a registry with TLS.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::with_doorward::doorward;
use super::{Authority, EcrSetup, NAME, alice};
use crate::support::client::{Request, tcp};
use crate::support::image::{make, skopeo};
use crate::support::process::Process;
use crate::support::registry::registry;
use crate::support::{free_port, users};

/// Starts a registry with TLS whose files are in this folder. Returns its port too.
fn elsewhere(authority: &Authority, dir: &Path) -> (Process, u16) {
    let port = free_port();
    let [certificate, key] = authority.pair(NAME, 2099).files(dir);
    users::htpasswd(&dir.join("htpasswd"), &["-c", "-B"], "AWS", "first");
    let (at, certificate, key) = (dir.display(), certificate.display(), key.display());
    let text = format!(
        "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {at}/storage}}\nauth:\n  htpasswd: {{realm: of-ecr, path: {at}/htpasswd}}\nhttp:\n  addr: 127.0.0.1:{port}\n  secret: of-a-test\n  tls: {{certificate: {certificate}, key: {key}}}\n"
    );
    let config = dir.join("registry.yml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(registry());
    command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
    (Process::spawn(command, &dir.join("log")), port)
}

#[test]
fn image_of_20_layers_is_pushed_and_pulled_with_the_client_password() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let authority = Authority::new("Test Authority");
    let (_registry, port) = elsewhere(&authority, home);
    let doorward = doorward();
    let (address, backend) = (tcp(&doorward.address).to_string(), format!("{NAME}:{port}"));
    let setup = EcrSetup::over(authority, None, |image| {
        image.set("AUTH", &address).set("UPSTREAM", &backend).set("PUSH", "on")
    });
    setup.found();

    let digest = make(&home.join("image"), 20);
    let to = format!("docker://{}/releases/app:one", setup.nginx.address);
    let copy = |flag: &str, pair: &str, from: &str, to: &str| {
        let flags = ["copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let output = skopeo(home, &[&flags[..], &[flag, pair, from, to]].concat());
        (output.code == Some(0), output.stdout + &output.stderr)
    };
    let from = format!("oci:{}:one", home.join("image").display());
    let (done, said) = copy("--dest-creds", "alice:wonderland", &from, &to);
    assert!(done, "{said}\n{}", setup.nginx.log());
    let back = format!("oci:{}:one", home.join("back").display());
    let (done, said) = copy("--src-creds", "alice:wonderland", &to, &back);
    assert!(done, "{said}\n{}", setup.nginx.log());
    let blobs = |folder: &str| home.join(folder).join("blobs/sha256");
    let manifest = |folder: &str| fs::read(blobs(folder).join(&digest)).unwrap();
    assert_eq!(manifest("back"), manifest("image"));
    assert_eq!(fs::read_dir(blobs("back")).unwrap().count(), 22, "20 layers, a configuration and a manifest");

    // A user without permission, a wrong password, and the registry's own credentials.
    for pair in ["bob:builder", "alice:x", "AWS:first"] {
        let (done, said) = copy("--src-creds", pair, &to, &format!("{back}-{}", &pair[..3]));
        assert!(!done, "{pair}: {said}");
    }
    // The credentials of the registry change. The user is not prompted for a password again.
    fs::write(doorward.folder().join("password"), "second\n").unwrap();
    crate::support::eventually("the registry refuses", || {
        let answer = setup.ask(&alice(Request::get("/v2/releases/app/tags/list")));
        assert!(matches!(answer.status, 200 | 503) && answer.header("www-authenticate").is_none());
        (answer.status == 503).then_some(())
    });
    let (done, said) = copy("--src-creds", "alice:wonderland", &to, &format!("{back}-later"));
    assert!(!done && !said.to_lowercase().contains("unauthorized"), "{said}");
}
