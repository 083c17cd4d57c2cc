//! Changes of the signing key file, with a manual clock.

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

fn start_fixture(text: &str) -> Result<SigningKeyFileFixture, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(path.clone(), clock.now()).map_err(|error| error.to_string())?;
    Ok(SigningKeyFileFixture { _folder: folder, path, reloader, clock })
}

impl SigningKeyFileFixture {
    fn poll(&mut self) {
        for _ in 0..2 {
            self.clock.advance(Duration::from_secs(1));
            self.reloader.poll(self.clock.now(), false);
        }
    }

    /// Returns the ID of the key that signs, and true if the file on disk is not in force.
    fn write_and_poll(&mut self, text: &str) -> (String, bool) {
        fs::write(&self.path, text).unwrap();
        self.poll();
        let degraded = self.reloader.health().degraded_message().is_some();
        (self.reloader.target().current_keys().load().kids().next().unwrap().to_owned(), degraded)
    }
}

#[test]
fn new_keys_are_loaded_and_invalid_file_keeps_the_last_good_keys() {
    let [first, second] = [0, 1].map(|_| generate_key(SystemTime::now()).unwrap());
    let mut fixture = start_fixture(&first.pem).unwrap();
    let both = format!("{}{}", &*second.pem, &*first.pem);
    assert_eq!(fixture.write_and_poll(&both), (second.kid.clone(), false));
    assert_eq!(fixture.reloader.target().current_keys().load().kids().count(), 2);
    for bad in ["", "nonsense", &both[..both.len() - 20], &both.replace("MII", "MIJ"), &" ".repeat(300 << 10)]
    {
        assert_eq!(fixture.write_and_poll(bad), (second.kid.clone(), true), "{bad}");
    }
    assert_eq!(fixture.write_and_poll(&first.pem), (first.kid.clone(), false));
    fs::remove_file(&fixture.path).unwrap();
    fixture.poll();
    assert!(fixture.reloader.health().degraded_message().unwrap().starts_with(READINESS_MESSAGE));
    assert_eq!(fixture.write_and_poll(&first.pem), (first.kid.clone(), false));
}

#[test]
fn start_without_a_valid_key_file_fails_with_reason() {
    for (text, why) in [("", "it contains no key"), ("-----BEGIN PRIVATE KEY-----\n", "line 1: ")] {
        let error = start_fixture(text).err().unwrap();
        assert!(error.contains("keys.pem: ") && error.contains(why), "{error}");
    }
    let error = start("nowhere/keys.pem".into(), Clock::manual().now()).unwrap_err();
    assert!(error.to_string().contains("the file does not exist"), "{error}");
}

#[test]
fn key_file_readable_by_others_is_detected() {
    let fixture = start_fixture(&generate_key(SystemTime::now()).unwrap().pem).unwrap();
    for (mode, is_unsafe) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(&fixture.path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(has_unsafe_permissions(&fixture.path), is_unsafe, "{mode:o}");
    }
}
