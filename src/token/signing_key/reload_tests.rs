//! Every way in which the file of keys may change, with a clock that the test moves.

use crate::reload::FileReloader;
use std::time::{Duration, SystemTime};

use super::*;
use crate::clock::Clock;
use crate::reload::PollFile;
use crate::token::signing_key::generate::generate_key;

struct SigningKeyFileFixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    reloader: FileReloader<SigningKeyFile>,
    clock: Clock,
}

fn started(text: &str) -> Result<SigningKeyFileFixture, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(path.clone(), clock.now()).map_err(|fault| fault.to_string())?;
    Ok(SigningKeyFileFixture { _folder: folder, path, reloader, clock })
}

impl SigningKeyFileFixture {
    fn poll(&mut self) {
        for _ in 0..2 {
            self.clock.advance(Duration::from_secs(1));
            self.reloader.poll(self.clock.now(), false);
        }
    }

    /// Who signs, and whether what is on disk can't be used.
    fn write_and_poll(&mut self, text: &str) -> (String, bool) {
        fs::write(&self.path, text).unwrap();
        self.poll();
        let degraded = self.reloader.health().degraded_message().is_some();
        (self.reloader.target().current_keys().load().kids().next().unwrap().to_owned(), degraded)
    }
}

#[test]
fn new_keys_are_loaded_and_invalid_file_keeps_the_last_good_keys() {
    let [one, two] = [0, 1].map(|_| generate_key(SystemTime::now()).unwrap());
    let mut desk = started(&one.pem).unwrap();
    let both = format!("{}{}", &*two.pem, &*one.pem);
    assert_eq!(desk.write_and_poll(&both), (two.kid.clone(), false));
    assert_eq!(desk.reloader.target().current_keys().load().kids().count(), 2);
    for bad in ["", "nonsense", &both[..both.len() - 20], &both.replace("MII", "MIJ"), &" ".repeat(300 << 10)]
    {
        assert_eq!(desk.write_and_poll(bad), (two.kid.clone(), true), "{bad}");
    }
    assert_eq!(desk.write_and_poll(&one.pem), (one.kid.clone(), false));
    fs::remove_file(&desk.path).unwrap();
    desk.poll();
    assert!(desk.reloader.health().degraded_message().unwrap().starts_with(READINESS_MESSAGE));
    assert_eq!(desk.write_and_poll(&one.pem), (one.kid.clone(), false));
}

#[test]
fn start_without_a_valid_key_file_fails_with_reason() {
    for (text, why) in [("", "there is no key in it"), ("-----BEGIN PRIVATE KEY-----\n", "line 1: ")] {
        let fault = started(text).err().unwrap();
        assert!(fault.contains("keys.pem: ") && fault.contains(why), "{fault}");
    }
    let fault = start("nowhere/keys.pem".into(), Clock::manual().now()).unwrap_err();
    assert!(fault.to_string().contains("there is no such file"), "{fault}");
}

#[test]
fn key_file_readable_by_others_is_detected() {
    let desk = started(&generate_key(SystemTime::now()).unwrap().pem).unwrap();
    for (mode, open) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(&desk.path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(has_unsafe_permissions(&desk.path), open, "{mode:o}");
    }
}
