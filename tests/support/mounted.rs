//! A program in its own mount namespace, where a test can mount files. The mounts are invisible outside, and
//! they disappear when the program ends.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{program, run};

/// Name of the file in the doorward folder that lists the mounts.
const FILE: &str = "mounts";

/// Returns the command that creates a mount namespace on this machine. Root can create one, and so can a user
/// who is allowed to create a user namespace. If neither is permitted, prints why the test is skipped.
#[expect(clippy::print_stderr, reason = "what was not tried is said")]
pub(crate) fn unshare() -> Option<Vec<String>> {
    let unshare = program("unshare", "util-linux").display().to_string();
    for flags in ["-m", "-rm"] {
        let mut command = Command::new(&unshare);
        command.args([flags, "true"]);
        if run(command).code == Some(0) {
            return Some(vec![unshare, flags.to_owned()]);
        }
    }
    eprintln!("skipped: this user may not have a mount namespace of his own");
    None
}

/// The mounts of a process.
pub(crate) struct Mounts {
    unshare: Vec<String>,
    /// Pairs of source and destination.
    binds: Vec<[String; 2]>,
}

impl Mounts {
    pub(crate) fn new(unshare: &[String]) -> Self {
        Self { unshare: unshare.to_vec(), binds: Vec::new() }
    }

    /// Returns the mounts that [`Mounts::put_in`] has written into this folder.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        let mut lines = text.lines();
        let unshare = lines.next()?.split('\t').map(str::to_owned).collect();
        let binds = lines.filter_map(|line| line.split_once('\t'));
        Some(Self { unshare, binds: binds.map(|(from, to)| [from.to_owned(), to.to_owned()]).collect() })
    }

    /// Sets the mounts of the doorward process that is started with this folder.
    pub(crate) fn put_in(&self, dir: &Path) {
        let lines = self.binds.iter().map(|bind| bind.join("\t"));
        let lines: Vec<String> = [self.unshare.join("\t")].into_iter().chain(lines).collect();
        fs::write(dir.join(FILE), lines.join("\n")).unwrap();
    }

    /// Mounts the file or folder `from` at `to`, as `docker run -v FROM:TO` does.
    pub(crate) fn bind(&mut self, from: &Path, to: &Path) {
        self.binds.push([from, to].map(|path| path.to_str().expect("a path in UTF-8").to_owned()));
    }

    /// Returns the command with these mounts. Arguments that are added later go to the wrapped program.
    pub(crate) fn wrap(&self, command: Command) -> Command {
        let script =
            r#"while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done; shift; exec "$@""#;
        let mut wrapped = Command::new(&self.unshare[0]);
        wrapped.args(&self.unshare[1..]).args(["sh", "-c", script, "sh"]);
        wrapped
            .args(self.binds.iter().flatten())
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
    }
}
