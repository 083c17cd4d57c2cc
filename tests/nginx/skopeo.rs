//! skopeo: log in, push and pull with passwords.

use std::fs;
use std::path::Path;

use super::ProtectedRegistry;
use crate::support::client::Request;
use crate::support::image::{make, skopeo};
use crate::support::users;

/// Logs in as this user. Returns the exit code and the output.
fn log_in(home: &Path, registry: &str, user: &str, password: &str) -> (Option<i32>, String) {
    let output = skopeo(home, &["login", "--tls-verify=false", "-u", user, "-p", password, registry]);
    (output.code, output.stdout + &output.stderr)
}

/// Copies an image. Returns the exit code and the output.
fn copy(home: &Path, from: &str, to: &str) -> (Option<i32>, String) {
    let flags = ["copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", from, to];
    let output = skopeo(home, &flags);
    (output.code, output.stdout + &output.stderr)
}

#[test]
fn login_push_and_pull_of_a_20_layer_image_cost_one_hash() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let file = home.join("users");
    users::htpasswd(&file, &["-c", "-B"], "carol", "sings");
    let protected = ProtectedRegistry::start_with(&fs::read_to_string(&file).unwrap(), &[]);
    let registry = protected.nginx.address.to_string();
    let digest = make(&home.join("image"), 20);
    let (from, to) =
        (format!("oci:{}:one", home.join("image").display()), format!("docker://{registry}/team/app:one"));

    let (code, said) = log_in(home, &registry, "carol", "sings");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Login Succeeded"), "{said}");
    let (code, said) = copy(home, &from, &to);
    assert_eq!(code, Some(0), "push: {said}\n{}", protected.nginx.log());
    let back = format!("oci:{}:one", home.join("back").display());
    let (code, said) = copy(home, &to, &back);
    assert_eq!(code, Some(0), "pull: {said}\n{}", protected.nginx.log());

    let pulled = home.join("back/blobs/sha256");
    assert_eq!(
        fs::read(pulled.join(&digest)).unwrap(),
        fs::read(home.join("image/blobs/sha256").join(&digest)).unwrap()
    );
    assert_eq!(fs::read_dir(pulled).unwrap().count(), 22, "20 layers, a configuration and a manifest");
    assert_eq!(protected.doorward.hashes(), 1.0);
    let allowed = protected.doorward.metric("doorward_verdicts_total{verdict=\"allow\"");
    assert!(allowed >= 60.0, "every one of them was asked about, not only {allowed}");
}

#[test]
fn skopeo_reports_a_wrong_password_as_unauthorized() {
    let protected = ProtectedRegistry::start();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let registry = protected.nginx.address.to_string();
    for (user, password) in [("alice", "looking-glass"), ("nobody", "wonderland")] {
        let (code, said) = log_in(home, &registry, user, password);
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains("invalid username/password"), "{said}");
    }
    make(&home.join("image"), 2);
    let (from, to) =
        (format!("oci:{}:one", home.join("image").display()), format!("docker://{registry}/team/app:one"));
    let output =
        skopeo(home, &["copy", "--dest-tls-verify=false", "--dest-creds", "alice:looking-glass", &from, &to]);
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(
        output.stderr.to_lowercase().contains("unauthorized")
            || output.stderr.contains("authentication required"),
        "{output:?}"
    );
    assert!(!output.stderr.contains("invalid character"), "pitfall P11: {output:?}");
    let answer = protected.ask(&crate::support::nginx::alice(Request::get("/v2/_catalog")));
    assert_eq!(answer.text().trim(), "{\"repositories\":[]}");
}

#[test]
fn skopeo_without_credentials_pulls_nothing_pitfall_p12() {
    let protected = ProtectedRegistry::start();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    make(&home.join("image"), 2);
    let registry = protected.nginx.address;
    let (from, to) =
        (format!("oci:{}:one", home.join("image").display()), format!("docker://{registry}/app:one"));
    let pushed =
        skopeo(home, &["copy", "--dest-tls-verify=false", "--dest-creds", "alice:wonderland", &from, &to]);
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    for credentials in ["--no-creds", "--creds=alice:x"] {
        let output = skopeo(home, &["inspect", "--tls-verify=false", credentials, &to]);
        assert_ne!(output.code, Some(0), "{output:?}");
        let said = output.stderr.to_lowercase();
        assert!(said.contains("unauthorized") || said.contains("authentication required"), "{output:?}");
    }
    let output = skopeo(home, &["inspect", "--tls-verify=false", "--creds=bob:builder", &to]);
    assert_eq!(output.code, Some(0), "{output:?}");
}
