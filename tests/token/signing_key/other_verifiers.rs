//! Python and openssl verify tokens, keys and certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{SigningKeyFolder, claims};
use crate::support::process::program;

/// A Python, and by whom it is to check: openssl is asked on every machine, cryptography where it is installed.
#[expect(clippy::print_stderr, reason = "what was not tried is said")]
fn checkers() -> Vec<(PathBuf, &'static str)> {
    let python = program("python3", "python3");
    let mut checkers = vec![(python.clone(), "openssl")];
    let has = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", "import cryptography.x509"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    match [python, "/usr/bin/python3".into()].into_iter().find(has) {
        Some(python) => checkers.push((python, "cryptography")),
        None => eprintln!("python3 lacks cryptography (python3-cryptography): checked by openssl alone"),
    }
    checkers
}

fn check((python, by): &(PathBuf, &str), folder: &SigningKeyFolder, tokens: &[String]) -> Vec<Value> {
    let asked = json!({"tokens": tokens, "by": by, "jwks": folder.text("jwks.json"), "bundle": folder.text("bundle.pem")});
    let asked_at = folder.path("asked");
    fs::write(&asked_at, asked.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/verify_token.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(fs::File::open(&asked_at).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{by}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn python_and_openssl_verify_tokens_keys_and_certificates() {
    let folder = SigningKeyFolder::new();
    for bits in [2048, 3072, 4096] {
        let rsa = SigningKeyFolder::rsa(bits);
        folder.succeeds("add", &["--private-key", &rsa.path("rsa.pem").display().to_string()]);
    }
    for _ in 0..4 {
        folder.succeeds("add", &[]);
    }
    let all = claims(&["repository:team/app:pull,push", "registry:catalog:*"]);
    let expected = serde_json::to_value(&all).unwrap();
    let mut tokens = Vec::new();
    for kid in folder.kids() {
        folder.succeeds("use", &[&kid]);
        // Of ECDSA some begin with a zero byte, or would with a sign.
        let keys = folder.keys();
        let count = if keys.published_keys().next().unwrap().algorithm.name() == "ES256" { 5 } else { 1 };
        tokens.extend((0..count).map(|_| keys.sign(&all).unwrap()));
    }
    assert_eq!(tokens.len(), 28);
    // What it says of a token that is changed, so that it is known to be able to fail.
    let [good, other] = [&tokens[0], &tokens[27]].map(|token| token.rsplit_once('.').unwrap());
    tokens.push(format!("{}.{}", good.0, other.1));
    for way in checkers() {
        let told = check(&way, &folder, &tokens);
        let (last, rest) = told.split_last().unwrap();
        assert!(rest.iter().all(|claims| *claims == expected), "{}: {rest:?}", way.1);
        assert_eq!(*last, "the signature is wrong");
    }
}
