//! The crate htpasswd-verify, in its own process and with its own lock file (`tests/compat`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{OracleVerdict, output};

/// One check: a file, a user and a password.
pub(crate) type CrateQuery<'q> = (&'q [u8], &'q [u8], &'q [u8]);

/// Builds the program that calls the crate. Only the first build takes long.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compat");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/Cargo.toml");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]).arg(manifest);
    command.arg("--target-dir").arg(&target);
    let output = output(command);
    assert!(output.status.success(), "tests/compat: {}", String::from_utf8_lossy(&output.stderr));
    target.join("release/compat")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs all checks in one process. If a check ends the process, that is its result, and the next check starts
/// a new process.
pub(crate) fn ask(questions: &[CrateQuery]) -> Vec<OracleVerdict> {
    let program = build();
    let dir = tempfile::tempdir().expect("a folder for the questions");
    let mut said = Vec::new();
    while said.len() < questions.len() {
        let rest = &questions[said.len()..];
        let lines: Vec<String> =
            rest.iter().map(|(f, u, p)| format!("{} {} {}\n", hex(f), hex(u), hex(p))).collect();
        let path = dir.path().join("questions");
        std::fs::write(&path, lines.concat()).unwrap();
        let mut command = Command::new(&program);
        command.stdin(File::open(&path).unwrap()).stderr(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        said.extend(String::from_utf8_lossy(&output.stdout).lines().map(parse));
        if !output.status.success() {
            said.push(OracleVerdict::Panics);
        }
    }
    said
}

fn parse(line: &str) -> OracleVerdict {
    match line {
        "accepts" => OracleVerdict::Accepts,
        "refuses" => OracleVerdict::Refuses,
        "panics" => OracleVerdict::Panics,
        "unaskable" => OracleVerdict::Unaskable,
        other => panic!("the crate's program says {other}"),
    }
}
