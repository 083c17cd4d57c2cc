//! Secret files: formats, invalid content and reloads, with a manual clock.

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

fn start_fixture(format: SecretFormat, text: &[u8]) -> Result<SecretFileFixture, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(path.clone(), format, clock.now()).map_err(|error| error.to_string())?;
    Ok(SecretFileFixture { _folder: folder, path, reloader, clock })
}

impl SecretFileFixture {
    fn write(&mut self, text: &[u8]) {
        fs::write(&self.path, text).unwrap();
        self.poll();
    }

    fn poll(&mut self) {
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
    let value = |format, text: &[u8]| start_fixture(format, text).map(|fixture| fixture.value());
    assert_eq!(value(SecretFormat::BasicPassword("AWS".into()), b"x\n"), Ok("Basic QVdTOng=".into()));
    assert_eq!(value(SecretFormat::BearerToken, b"abc.def\r\n"), Ok("Bearer abc.def".into()));
    assert_eq!(value(SecretFormat::HeaderValue, b"Basic QVdTOng="), Ok("Basic QVdTOng=".into()));
    assert_eq!(value(SecretFormat::ProxySecret, b"0123456789abcdef\n"), Ok("0123456789abcdef".into()));
}

#[test]
fn invalid_secret_file_fails_the_start_without_revealing_its_content() {
    let long = vec![b'a'; 17 << 10];
    for (format, text) in [
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
        let error = start_fixture(format, text).map(|_| ()).unwrap_err();
        assert!(error.contains("secret: ") && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn new_secret_is_loaded_and_invalid_file_keeps_the_last_good_one() {
    let mut fixture = start_fixture(SecretFormat::BearerToken, b"one").unwrap();
    fixture.write(b"two\n");
    assert_eq!((fixture.value(), fixture.degraded()), ("Bearer two".into(), false));
    for bad in [&b""[..], b"a b", b"\0", &vec![b'a'; 100 << 10]] {
        fixture.write(bad);
        assert_eq!((fixture.value(), fixture.degraded()), ("Bearer two".into(), true));
    }
    fixture.write(b"three");
    assert_eq!((fixture.value(), fixture.degraded()), ("Bearer three".into(), false));
    fs::remove_file(&fixture.path).unwrap();
    fixture.poll();
    assert_eq!((fixture.value(), fixture.degraded()), ("Bearer three".into(), true));
    fs::create_dir(&fixture.path).unwrap();
    fixture.poll();
    assert_eq!((fixture.value(), fixture.degraded()), ("Bearer three".into(), true));
    fs::remove_dir(&fixture.path).unwrap();
    fixture.write(b"four");
    assert_eq!((fixture.value(), fixture.degraded()), ("Bearer four".into(), false));
}

#[test]
fn both_secrets_are_accepted_during_rotation() {
    let (old, new) = ("0123456789abcdef", "fedcba9876543210");
    let mut fixture = start_fixture(SecretFormat::ProxySecret, old.as_bytes()).unwrap();
    let is_valid = |fixture: &SecretFileFixture, text: &str| {
        fixture.reloader.target().current().is_valid_secret(text.as_bytes())
    };
    assert!(is_valid(&fixture, old) && !is_valid(&fixture, new) && !is_valid(&fixture, ""));
    fixture.write(format!("{old}\n{new}\n").as_bytes());
    assert!(is_valid(&fixture, old) && is_valid(&fixture, new) && !is_valid(&fixture, "0123456789abcdee"));
    fixture.write(new.as_bytes());
    assert!(!is_valid(&fixture, old) && is_valid(&fixture, new));
}

#[test]
fn half_written_secret_is_not_loaded() {
    let mut fixture = start_fixture(SecretFormat::BearerToken, b"one").unwrap();
    fs::write(&fixture.path, b"tw").unwrap();
    fixture.reloader.poll(fixture.clock.now(), false);
    fs::write(&fixture.path, b"two").unwrap();
    fixture.reloader.poll(fixture.clock.now(), false);
    assert_eq!(fixture.value(), "Bearer one");
    fixture.poll();
    assert_eq!(fixture.value(), "Bearer two");
}
