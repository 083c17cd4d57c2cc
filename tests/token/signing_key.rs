//! Signing keys for tokens: the command that manages the key file, and the verification of tokens. Tokens are verified
//! by two versions of the real registry and by a program that is independent of doorward.

mod command;
mod forger;
mod invalid_files;
mod other_verifiers;
mod real_registries;
mod rotation;
mod token_size;
mod verifying_registry;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use doorward::internals::{AccessEntry, Claims, SigningKeys};
use tempfile::TempDir;

use crate::support::doorward::doorward;
use crate::support::process::{Output, program, run};

/// The default arguments of `init`.
const NAMES: [&str; 4] = ["--service", SERVICE, "--realm", "https://registry.test/token"];

const SERVICE: &str = "registry.test";
const ISSUER: &str = "doorward";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Returns valid claims for `SERVICE` with permissions such as `repository:team/app:pull,push`.
fn claims(scopes: &[&str]) -> Claims {
    let access = |scope: &&str| {
        let parts: Vec<&str> = scope.split(':').collect();
        let [kind, name, actions] = parts[..] else { panic!("{scope}") };
        let actions = actions.split(',').map(str::to_owned).collect();
        AccessEntry { kind: kind.into(), name: name.into(), actions }
    };
    Claims {
        iss: ISSUER.into(),
        sub: "ann".into(),
        aud: SERVICE.into(),
        exp: now() + 900,
        nbf: now() - 60,
        iat: now(),
        jti: "00112233445566778899aabbccddeeff".into(),
        host: String::new(),
        access: scopes.iter().map(access).collect(),
        denied: Vec::new(),
    }
}

/// A folder for the files of `doorward signing-key`.
struct SigningKeyFolder {
    dir: TempDir,
}

impl SigningKeyFolder {
    fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Creates a folder and runs `init` with an ES256 key.
    fn new() -> Self {
        let folder = Self::empty();
        folder.succeeds("init", &NAMES);
        folder
    }

    /// Creates a folder and runs `init` with an RS256 key that openssl generated.
    fn rsa(bits: u32) -> Self {
        let folder = Self::empty();
        let key = folder.path("rsa.pem");
        genpkey(&key, &["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")]);
        folder.succeeds(
            "init",
            &[&NAMES[..], &["--algorithm", "RS256", "--private-key", &key.display().to_string()]].concat(),
        );
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns all files, so that a test can check that none was changed.
    fn all(&self) -> Vec<(String, Vec<u8>)> {
        self.names().into_iter().map(|name| (name.clone(), fs::read(self.path(&name)).unwrap())).collect()
    }

    fn run(&self, what: &str, arguments: &[&str]) -> Output {
        let path = self.path("keys.pem").display().to_string();
        doorward(&[&["signing-key", what, "--signing-keys", &path], arguments].concat())
    }

    /// Runs the command, which must succeed. Returns its output.
    fn succeeds(&self, what: &str, arguments: &[&str]) -> String {
        let output = self.run(what, arguments);
        assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{what} {arguments:?}: {output:?}");
        output.stdout
    }

    /// Runs the command, which must fail with this reason and change nothing.
    fn refuses(&self, what: &str, arguments: &[&str], why: &str) {
        let before = self.all();
        let output = self.run(what, arguments);
        assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{what} {arguments:?}: {output:?}");
        let says = output.stderr.starts_with("doorward: ") && output.stderr.contains(why);
        assert!(says, "{what} {arguments:?} does not say {why:?}: {output:?}");
        assert_eq!(self.all(), before, "{what} {arguments:?} changed a file");
    }

    fn keys(&self) -> SigningKeys {
        SigningKeys::parse(self.text("keys.pem").as_bytes()).unwrap()
    }

    fn kids(&self) -> Vec<String> {
        self.keys().kids().map(str::to_owned).collect()
    }

    /// Returns a token with these permissions, signed with the current signing key.
    fn token(&self, scopes: &[&str]) -> String {
        self.keys().sign(&claims(scopes)).unwrap()
    }
}

/// Runs openssl, which must succeed.
fn openssl(arguments: &[&str]) {
    let mut command = Command::new(program("openssl", "openssl"));
    command.args(arguments);
    let output = run(command);
    assert_eq!(output.code, Some(0), "openssl {arguments:?}: {output:?}");
}

/// Generates a private key with openssl.
fn genpkey(path: &Path, kind: &[&str]) {
    openssl(&[&["genpkey", "-out", &path.display().to_string()], kind].concat());
}
