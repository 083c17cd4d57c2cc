//! Hashes made by common tools.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::oracle::output;
use crate::support::process::program;

/// Tool that makes a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Maker {
    /// The Apache tool with these options.
    Htpasswd(&'static [&'static str]),
    /// `openssl passwd`, with these options.
    Openssl(&'static [&'static str]),
    /// `mkpasswd` of Debian with this method and these options.
    Mkpasswd(&'static str, &'static [&'static str]),
    /// passlib, with this scheme and these parameters.
    Passlib(&'static str, &'static str),
    /// A prefix followed by the password, as written by hand.
    ByHand(&'static str),
}

/// All tools, and the results of passlib. passlib makes all hashes in one run, because Python starts slowly.
pub(crate) struct Makers {
    /// Hashes of passlib by scheme, parameters and password.
    hashes: RefCell<HashMap<Wish, String>>,
    /// True until passlib has run; hashes are then only recorded.
    noting: bool,
}

type Wish = (&'static str, &'static str, Vec<u8>);

impl Makers {
    /// Calls `build` twice. passlib makes all recorded hashes between the two calls.
    pub(crate) fn run<T>(build: impl Fn(&Self) -> T) -> T {
        let mut makers = Self { hashes: RefCell::default(), noting: true };
        drop(build(&makers));
        makers.ask_passlib();
        makers.noting = false;
        build(&makers)
    }

    /// Returns a hash of `password`, or an empty text if passlib has not made it yet.
    pub(crate) fn make(&self, maker: Maker, password: &[u8]) -> Vec<u8> {
        match maker {
            Maker::Passlib(scheme, parameters) => {
                let mut hashes = self.hashes.borrow_mut();
                hashes.entry((scheme, parameters, password.to_owned())).or_default().clone().into()
            }
            Maker::ByHand(scheme) => [scheme.as_bytes(), password].concat(),
            _ if self.noting => Vec::new(),
            Maker::Htpasswd(options) => {
                let mut command = Command::new(program("htpasswd", "apache2-utils"));
                command.arg("-nb").args(options).arg("u").arg(OsStr::from_bytes(password));
                let line = first_line(command);
                line.strip_prefix(b"u:").expect("the user's line").to_owned()
            }
            Maker::Openssl(options) => {
                let mut command = Command::new(program("openssl", "openssl"));
                command.arg("passwd").args(options).arg(OsStr::from_bytes(password));
                first_line(command)
            }
            Maker::Mkpasswd(method, options) => {
                let mut command = Command::new(program("mkpasswd", "whois"));
                command.args(["-m", method]).args(options).arg(OsStr::from_bytes(password));
                first_line(command)
            }
        }
    }

    fn ask_passlib(&self) {
        let mut hashes = self.hashes.borrow_mut();
        let mut wishes: Vec<Wish> = hashes.keys().cloned().collect();
        wishes.sort();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines: Vec<String> =
            wishes.iter().map(|(scheme, with, p)| format!("{scheme}\t{with}\t{}\n", hex(p))).collect();
        let dir = tempfile::tempdir().expect("a folder for wishes");
        let path = dir.path().join("wishes");
        fs::write(&path, lines.concat()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/make_hashes.py");
        let output =
            Command::new(python()).arg(script).stdin(File::open(&path).unwrap()).output().expect("python3");
        assert!(output.status.success(), "passlib: {}", String::from_utf8_lossy(&output.stderr));
        let made = String::from_utf8(output.stdout).expect("hashes");
        assert_eq!(made.lines().count(), wishes.len(), "passlib makes one hash for each wish");
        hashes.extend(wishes.into_iter().zip(made.lines().map(str::to_owned)));
    }
}

fn first_line(command: Command) -> Vec<u8> {
    let name = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default().to_owned()
}

/// Returns a Python that has passlib and argon2. The first one on the PATH may not be the Debian one, which
/// alone has the Debian packages.
fn python() -> PathBuf {
    let has_both = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-W", "ignore", "-c", "import passlib.hash, argon2"]);
        output(command).status.success()
    };
    let found = [program("python3", "python3"), "/usr/bin/python3".into()].into_iter().find(has_both);
    found.expect(
        "python3 lacks passlib or argon2: apt-get install python3-passlib python3-argon2 (Debian's packages)",
    )
}
