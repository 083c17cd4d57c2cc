//! Every way in which the file may change, with a clock that the test moves.

use crate::reload::FileReloader;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::reload::PollFile;

struct SecretFileFixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    reloader: FileReloader<SecretFile>,
    clock: Clock,
}

fn started(form: SecretFormat, text: &[u8]) -> Result<SecretFileFixture, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(path.clone(), form, clock.now()).map_err(|fault| fault.to_string())?;
    Ok(SecretFileFixture { _folder: folder, path, reloader, clock })
}

impl SecretFileFixture {
    fn write(&mut self, text: &[u8]) {
        fs::write(&self.path, text).unwrap();
        self.look();
    }

    fn look(&mut self) {
        for _ in 0..2 {
            self.clock.advance(Duration::from_secs(1));
            self.reloader.poll(self.clock.now(), false);
        }
    }

    fn value(&self) -> String {
        String::from_utf8(self.reloader.target().current().authorization().as_bytes().to_vec()).unwrap()
    }

    fn degraded(&self) -> bool {
        self.reloader.health().degraded_message().is_some()
    }
}

#[test]
fn each_secret_format_yields_the_expected_header_value() {
    let value = |form, text: &[u8]| started(form, text).map(|desk| desk.value());
    assert_eq!(value(SecretFormat::BasicPassword("AWS".into()), b"x\n"), Ok("Basic QVdTOng=".into()));
    assert_eq!(value(SecretFormat::BearerToken, b"abc.def\r\n"), Ok("Bearer abc.def".into()));
    assert_eq!(value(SecretFormat::HeaderValue, b"Basic QVdTOng="), Ok("Basic QVdTOng=".into()));
    assert_eq!(value(SecretFormat::ProxySecret, b"0123456789abcdef\n"), Ok("0123456789abcdef".into()));
}

#[test]
fn invalid_secret_file_fails_the_start_without_revealing_its_content() {
    let long = vec![b'a'; 17 << 10];
    for (form, text) in [
        (SecretFormat::HeaderValue, &b""[..]),
        (SecretFormat::HeaderValue, b"s3cret"),
        (SecretFormat::HeaderValue, b"Basic QVdTOng= "),
        (SecretFormat::HeaderValue, b"Basic s3cret\nX-Auth-User: root"),
        (SecretFormat::BearerToken, b"s3cret s3cret"),
        (SecretFormat::BearerToken, b"\n"),
        (SecretFormat::BearerToken, &long),
        (SecretFormat::BasicPassword("AWS".into()), b"s3cret\ns3cret"),
        (SecretFormat::ProxySecret, b"s3cret"),
        (SecretFormat::ProxySecret, b"s3cret s3cret s3cret"),
        (SecretFormat::ProxySecret, b"0123456789abcdef\ns3cret"),
        (SecretFormat::ProxySecret, b"0123456789abcdef\n0123456789abcdef\n0123456789abcdef"),
    ] {
        let fault = started(form, text).map(|_| ()).unwrap_err();
        assert!(fault.contains("secret: ") && !fault.contains("s3cret"), "{fault}");
    }
}

#[test]
fn new_secret_is_loaded_and_invalid_file_keeps_the_last_good_one() {
    let mut desk = started(SecretFormat::BearerToken, b"one").unwrap();
    desk.write(b"two\n");
    assert_eq!((desk.value(), desk.degraded()), ("Bearer two".into(), false));
    for bad in [&b""[..], b"a b", b"\0", &vec![b'a'; 100 << 10]] {
        desk.write(bad);
        assert_eq!((desk.value(), desk.degraded()), ("Bearer two".into(), true));
    }
    desk.write(b"three");
    assert_eq!((desk.value(), desk.degraded()), ("Bearer three".into(), false));
    fs::remove_file(&desk.path).unwrap();
    desk.look();
    assert_eq!((desk.value(), desk.degraded()), ("Bearer three".into(), true));
    fs::create_dir(&desk.path).unwrap();
    desk.look();
    assert_eq!((desk.value(), desk.degraded()), ("Bearer three".into(), true));
    fs::remove_dir(&desk.path).unwrap();
    desk.write(b"four");
    assert_eq!((desk.value(), desk.degraded()), ("Bearer four".into(), false));
}

#[test]
fn both_secrets_are_accepted_during_rotation() {
    let (old, new) = ("0123456789abcdef", "fedcba9876543210");
    let mut desk = started(SecretFormat::ProxySecret, old.as_bytes()).unwrap();
    let shown = |desk: &SecretFileFixture, text: &str| {
        desk.reloader.target().current().is_valid_secret(text.as_bytes())
    };
    assert!(shown(&desk, old) && !shown(&desk, new) && !shown(&desk, ""));
    desk.write(format!("{old}\n{new}\n").as_bytes());
    assert!(shown(&desk, old) && shown(&desk, new) && !shown(&desk, "0123456789abcdee"));
    desk.write(new.as_bytes());
    assert!(!shown(&desk, old) && shown(&desk, new));
}

#[test]
fn half_written_secret_is_not_loaded() {
    let mut desk = started(SecretFormat::BearerToken, b"one").unwrap();
    fs::write(&desk.path, b"tw").unwrap();
    desk.reloader.poll(desk.clock.now(), false);
    fs::write(&desk.path, b"two").unwrap();
    desk.reloader.poll(desk.clock.now(), false);
    assert_eq!(desk.value(), "Bearer one");
    desk.look();
    assert_eq!(desk.value(), "Bearer two");
}
