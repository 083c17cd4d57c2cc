//! A program in a mount namespace of its own, where a test may mount what it likes: nothing of it is seen outside, and
//! all of it is gone with the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{program, run};

/// The file in doorward's folder that names its mounts.
const FILE: &str = "mounts";

/// How to get such a namespace here: as root, or as a user who may be root in a namespace of his own. Prints why a test
/// is skipped where neither is permitted.
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

/// What is mounted in it.
pub(crate) struct Mounts {
    unshare: Vec<String>,
    /// From where, to where.
    binds: Vec<[String; 2]>,
}

impl Mounts {
    pub(crate) fn new(unshare: &[String]) -> Self {
        Self { unshare: unshare.to_vec(), binds: Vec::new() }
    }

    /// Those that doorward has whose folder this is; see [`Mounts::put_in`].
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        let mut lines = text.lines();
        let unshare = lines.next()?.split('\t').map(str::to_owned).collect();
        let binds = lines.filter_map(|line| line.split_once('\t'));
        Some(Self { unshare, binds: binds.map(|(from, to)| [from.to_owned(), to.to_owned()]).collect() })
    }

    /// Gives them to the doorward that is started with this folder.
    pub(crate) fn put_in(&self, dir: &Path) {
        let lines = self.binds.iter().map(|bind| bind.join("\t"));
        let lines: Vec<String> = [self.unshare.join("\t")].into_iter().chain(lines).collect();
        fs::write(dir.join(FILE), lines.join("\n")).unwrap();
    }

    /// Mounts the file or folder `from` at `to`, as `-v FROM:TO` does.
    pub(crate) fn bind(&mut self, from: &Path, to: &Path) {
        self.binds.push([from, to].map(|path| path.to_str().expect("a path in UTF-8").to_owned()));
    }

    /// The command with these mounts. What is added to it later are its own arguments.
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
