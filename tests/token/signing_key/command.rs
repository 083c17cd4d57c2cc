//! The command that creates, adds, uses and removes signing keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::Value;

use super::{NAMES, SigningKeyFolder, claims, genpkey, now};
use crate::support::doorward::{command, doorward};
use crate::support::process::run;

const FILES: [&str; 4] = ["bundle.pem", "jwks.json", "keys.pem", "registry-auth.yml"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn init_writes_four_files_and_only_the_keys_are_private() {
    let folder = SigningKeyFolder::empty();
    let said = folder.succeeds("init", &NAMES);
    assert_eq!(folder.names(), FILES);
    assert_eq!(FILES.map(|name| folder.mode(name)), [0o644, 0o644, 0o600, 0o644]);
    let kid = &folder.kids()[0];
    assert!(said.starts_with(&format!("active: {kid}\tES256\tactive\tuntil 20")), "{said}");
    for name in FILES {
        assert!(said.contains(&format!("/{name}: ")), "{name}: {said}");
    }
    let keys = folder.keys();
    assert_eq!(
        (folder.text("bundle.pem"), folder.text("jwks.json")),
        (keys.certificate_bundle(), keys.jwks() + "\n")
    );
    let snippet = folder.text("registry-auth.yml");
    for line in [
        "    realm: \"https://registry.test/token\"\n",
        "    service: \"registry.test\"\n",
        "    issuer: \"doorward\"\n",
        &format!("    rootcertbundle: \"{}\"\n", folder.path("bundle.pem").canonicalize().unwrap().display()),
        "    signingalgorithms: [\"ES256\", \"RS256\"]\n",
    ] {
        assert!(snippet.contains(line), "{line}: {snippet}");
    }
    assert!(!snippet.contains("Replace this example"), "{snippet}");
    // Ten years from now.
    let ends = keys.published_keys().next().unwrap().certificate_not_after;
    assert!((now() + 3651 * 86_400..=now() + 3653 * 86_400).contains(&ends), "{ends}");
}

#[test]
fn no_command_output_or_other_file_contains_a_private_key() {
    let folder = SigningKeyFolder::new();
    let mut said = folder.succeeds("add", &[]);
    let kids = folder.kids();
    said += &folder.succeeds("use", &[&kids[1]]);
    said += &folder.succeeds("remove", &[&kids[0]]);
    said += &folder.succeeds("list", &[]);
    said += &folder.succeeds("list", &["--json"]);
    said += &(folder.text("bundle.pem") + &folder.text("jwks.json") + &folder.text("registry-auth.yml"));
    let file = folder.text("keys.pem");
    let secret = file.split("PRIVATE KEY-----").nth(1).unwrap();
    // The first line starts with the header of the key and the start of the secret number, which ends in the second
    // line. The public part follows.
    let line = secret.lines().nth(1).unwrap();
    assert_eq!(line.len(), 64);
    assert!(!said.contains("PRIVATE") && !said.contains(&line[40..]) && !said.contains(&line[..40]));
}

#[test]
fn init_without_names_marks_the_missing_values() {
    let folder = SigningKeyFolder::empty();
    folder.succeeds("init", &["--issuer", "auth.example"]);
    let snippet = folder.text("registry-auth.yml");
    assert_eq!(snippet.matches("    # Replace this example.\n").count(), 2, "{snippet}");
    assert!(snippet.contains("issuer: \"auth.example\"\n"), "{snippet}");
}

#[test]
fn init_overwrites_no_existing_file() {
    let folder = SigningKeyFolder::new();
    folder.refuses(
        "init",
        &NAMES,
        "the file exists and was not changed; add a key with: doorward signing-key add",
    );
    for name in ["bundle.pem", "jwks.json", "registry-auth.yml"] {
        let folder = SigningKeyFolder::empty();
        fs::write(folder.path(name), "of somebody else").unwrap();
        folder.refuses(
            "init",
            &NAMES,
            &format!("{name}: the file exists; use another folder for each signing key file"),
        );
    }
    // A dangling link counts as an existing file.
    let folder = SigningKeyFolder::empty();
    std::os::unix::fs::symlink("nowhere", folder.path("bundle.pem")).unwrap();
    let output = folder.run("init", &NAMES);
    assert!(output.code == Some(1) && output.stderr.contains("bundle.pem: the file exists"), "{output:?}");
    let path = folder.path("jwks.json").display().to_string();
    let output = doorward(&["signing-key", "init", "--signing-keys", &path]);
    assert!(output.code == Some(1) && output.stderr.contains("the name of a public file"), "{output:?}");
}

#[test]
fn signing_key_is_published_before_it_signs_and_can_be_removed() {
    let folder = SigningKeyFolder::new();
    let first = folder.kids()[0].clone();
    let said = folder.succeeds("add", &[]);
    let second = folder.kids()[1].clone();
    assert!(said.starts_with(&format!("added: {second}\tES256\tpublished\t")), "{said}");
    assert!(said.contains(&format!("then run: doorward signing-key use {second}\n")), "{said}");
    let (by_first, set) = (folder.token(&[]), json(&folder.text("jwks.json")));
    let in_set = |set: &Value| -> Vec<String> {
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(in_set(&set), [&first[..], &second]);
    assert_eq!(folder.text("bundle.pem").matches("BEGIN CERTIFICATE").count(), 2);
    let said = folder.succeeds("use", &[&second]);
    assert!(said.starts_with(&format!("active: {second}\tES256\tactive\t")), "{said}");
    assert!(said.contains(&format!("doorward signing-key remove {first}\n")), "{said}");
    let by_second = folder.token(&[]);
    let both = folder.keys();
    assert!(both.verify(&by_first, now()).is_ok() && both.verify(&by_second, now()).is_ok());
    folder.refuses(
        "remove",
        &[&second],
        "this key signs tokens; select another one with doorward signing-key use",
    );
    let said = folder.succeeds("remove", &[&first]);
    assert!(
        said.starts_with(&format!("removed: {first}\n")) && said.contains("until it is restarted and reads ")
    );
    assert!(said.ends_with("bundle.pem\n"), "{said}");
    let one = folder.keys();
    assert!(one.verify(&by_first, now()).is_err() && one.verify(&by_second, now()).is_ok());
    assert_eq!(in_set(&json(&folder.text("jwks.json"))), [second]);
    assert_eq!(folder.text("bundle.pem"), one.certificate_bundle());
    assert_eq!(FILES.map(|name| folder.mode(name)), [0o644, 0o644, 0o600, 0o644]);
    assert_eq!(folder.names(), FILES);
}

#[test]
fn use_of_the_first_key_rewrites_the_published_files() {
    let folder = SigningKeyFolder::new();
    folder.succeeds("add", &[]);
    let before = folder.all();
    fs::remove_file(folder.path("bundle.pem")).unwrap();
    fs::write(folder.path("jwks.json"), "damaged").unwrap();
    let said = folder.succeeds("use", &[&folder.kids()[0]]);
    assert_eq!((said.lines().count(), folder.all()), (1, before));
}

#[test]
fn list_shows_the_signing_key_and_expiry() {
    let folder = SigningKeyFolder::rsa(2048);
    folder.succeeds("add", &[]);
    let kids = folder.kids();
    let list = folder.succeeds("list", &[]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with(&format!("{}\tRS256\tactive\tuntil 20", kids[0])), "{list}");
    assert!(lines[1].starts_with(&format!("{}\tES256\tpublished\tuntil 20", kids[1])), "{list}");
    let told = json(&folder.succeeds("list", &["--json"]));
    for (at, (algorithm, is_active)) in [("RS256", true), ("ES256", false)].into_iter().enumerate() {
        let one = &told[at];
        assert_eq!(one["kid"], kids[at]);
        assert_eq!((&one["algorithm"], &one["active"]), (&algorithm.into(), &is_active.into()));
        assert_eq!(one["expired"], false);
        let end = humantime::parse_rfc3339(one["expires"].as_str().unwrap()).unwrap();
        let end = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(end, folder.keys().published_keys().nth(at).unwrap().certificate_not_after);
    }
}

#[test]
fn file_mode_and_link_are_preserved() {
    let folder = SigningKeyFolder::new();
    fs::set_permissions(folder.path("keys.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let real = SigningKeyFolder::empty();
    fs::rename(folder.path("keys.pem"), real.path("real.pem")).unwrap();
    std::os::unix::fs::symlink(real.path("real.pem"), folder.path("keys.pem")).unwrap();
    let output =
        doorward(&["signing-key", "add", "--signing-keys", folder.path("keys.pem").to_str().unwrap()]);
    assert!(
        output.code == Some(0) && output.stderr.contains("is a link; the changed file is "),
        "{output:?}"
    );
    assert!(fs::symlink_metadata(folder.path("keys.pem")).unwrap().is_symlink());
    assert_eq!((real.mode("real.pem"), folder.kids().len()), (0o640, 2));
    // The published files are written to the folder of the real file.
    assert_eq!(real.text("bundle.pem"), folder.keys().certificate_bundle());
}

#[test]
fn signing_key_file_can_be_set_by_environment_variable() {
    let folder = SigningKeyFolder::new();
    let mut with = command();
    with.args(["signing-key", "list"]).env("DOORWARD_TOKEN_SIGNING_KEYS", folder.path("keys.pem"));
    let output = run(with);
    assert!(output.code == Some(0) && output.stdout.starts_with(&folder.kids()[0]), "{output:?}");
    let output = doorward(&["signing-key", "list"]);
    let says = output
        .stderr
        .contains("no signing key file is set; use --signing-keys FILE or DOORWARD_TOKEN_SIGNING_KEYS");
    assert!(output.code == Some(1) && says, "{output:?}");
}

#[test]
fn concurrent_add_commands_lose_no_key() {
    let folder = SigningKeyFolder::new();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| folder.succeeds("add", &[]));
        }
    });
    let keys = folder.keys();
    assert_eq!((keys.kids().count(), folder.text("bundle.pem")), (9, keys.certificate_bundle()));
    assert_eq!(folder.text("jwks.json"), keys.jwks() + "\n");
}

#[test]
fn own_key_file_is_accepted() {
    let folder = SigningKeyFolder::new();
    for (name, kind) in [
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..]),
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    ] {
        let path = folder.path(name);
        genpkey(&path, kind);
        folder.succeeds("add", &["--private-key", &path.display().to_string()]);
        let why = "this key is in the file already; remove one of the two";
        folder.refuses("add", &["--private-key", &path.display().to_string()], why);
    }
    let algorithms: Vec<String> =
        folder.keys().published_keys().map(|key| key.algorithm.to_string()).collect();
    assert_eq!(algorithms, ["ES256", "ES256", "RS256"]);
    for kid in folder.kids() {
        folder.succeeds("use", &[&kid]);
        let token = folder.keys().sign(&claims(&["repository:a:pull"])).unwrap();
        assert!(folder.keys().verify(&token, now()).is_ok(), "{kid}");
    }
}

#[test]
fn key_id_with_a_leading_dash_is_not_a_flag() {
    let folder = SigningKeyFolder::new();
    for kid in ["-abc", "-h", "--x"] {
        let output = folder.run("use", &[kid]);
        // -h alone prints the help.
        let (code, word) = if kid == "-h" { (0, "Usage") } else { (1, "it contains no key with this ID") };
        assert!(output.code == Some(code), "{kid}: {output:?}");
        assert!((output.stdout + &output.stderr).contains(word), "{kid}");
    }
}
