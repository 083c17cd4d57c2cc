//! A clone on Windows (langgenius/dify#5793).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Output, program, run};

/// Files that containers, shells and nginx read without conversion.
const READ_AS_THEY_ARE: [&str; 9] = [
    ".gitattributes",
    "compose",
    "compose.yaml",
    "compose.override.yaml",
    "Dockerfile",
    "Makefile",
    "nginx",
    "systemd",
    "tests/need",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs git in a folder, without the settings of this machine.
fn git(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("git", "git"));
    command.current_dir(folder).args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(arguments);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = run(command);
    assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
    output
}

/// Returns all files below a path, relative to `from`.
fn files(from: &Path, at: &Path) -> Vec<PathBuf> {
    let path = from.join(at);
    if path.is_file() {
        return vec![at.to_owned()];
    }
    fs::read_dir(path).unwrap().flat_map(|entry| files(from, &at.join(entry.unwrap().file_name()))).collect()
}

/// Creates a repository with these files and clones it with these git settings. Returns the clone and its files.
fn clone(into: &Path, attributes: bool, settings: &[&str]) -> (PathBuf, Vec<PathBuf>) {
    let (origin, clone) = (into.join("origin"), into.join("clone"));
    let all: Vec<PathBuf> = READ_AS_THEY_ARE.iter().flat_map(|name| files(root(), Path::new(name))).collect();
    let all: Vec<PathBuf> =
        all.into_iter().filter(|name| attributes || !name.ends_with(".gitattributes")).collect();
    for name in &all {
        let to = origin.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root().join(name), to).unwrap();
    }
    git(&origin, &["init", "-q"]);
    git(&origin, &["add", "-A"]);
    git(&origin, &["commit", "-q", "-m", "x"]);
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["-c", *setting]).collect();
    git(into, &[&["clone", "-q"], &settings[..], &["origin", "clone"]].concat());
    (clone, all)
}

fn has_cr(path: &Path) -> bool {
    fs::read(path).unwrap().contains(&b'\r')
}

#[test]
fn clone_with_autocrlf_keeps_the_line_ends_of_scripts_and_configuration_field_o2() {
    for settings in
        [&["core.autocrlf=true"][..], &["core.eol=crlf"], &["core.autocrlf=true", "core.eol=crlf"]]
    {
        let dir = tempfile::tempdir().unwrap();
        let (clone, all) = clone(dir.path(), true, settings);
        assert!(all.len() > 50, "{all:?}");
        let with: Vec<&PathBuf> = all.iter().filter(|name| has_cr(&clone.join(name))).collect();
        assert!(with.is_empty(), "{settings:?}: {with:?}");
        // A file that is created with CRLF and added is stored with LF.
        fs::write(clone.join("nginx/new.sh"), "a\r\nb\r\n").unwrap();
        git(&clone, &["add", "nginx/new.sh"]);
        assert_eq!(git(&clone, &["cat-file", "blob", ":nginx/new.sh"]).stdout, "a\nb\n");
    }
    // Without `.gitattributes` git converts the line ends, so the test can fail.
    let dir = tempfile::tempdir().unwrap();
    let (clone, _) = clone(dir.path(), false, &["core.autocrlf=true"]);
    assert!(has_cr(&clone.join("nginx/99-doorward.sh")));
}

#[test]
fn scripts_of_a_clone_with_autocrlf_run_field_o2() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, all) = clone(dir.path(), true, &["core.autocrlf=true"]);
    for name in all.iter().filter(|name| name.extension().is_some_and(|end| end == "sh")) {
        let shell =
            if fs::read_to_string(clone.join(name)).unwrap().contains("env bash") { "bash" } else { "sh" };
        let mut command = Command::new(shell);
        command.arg("-n").arg(clone.join(name));
        let output = run(command);
        assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{}", name.display());
    }
    let secret = dir.path().join("secret");
    let mut command = Command::new(clone.join("nginx/make-secret.sh"));
    command.arg(&secret);
    assert_eq!(run(command).code, Some(0));
    assert_eq!(fs::read_to_string(secret).unwrap().len(), 65);
}
