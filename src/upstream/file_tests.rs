//! Every way in which the file may change, with a clock that the test moves.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::reload::Reload;

struct Desk {
    _folder: tempfile::TempDir,
    path: PathBuf,
    reloader: Reloader,
    clock: Clock,
}

fn started(form: Form, text: &[u8]) -> Result<Desk, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(path.clone(), form, clock.now()).map_err(|fault| fault.to_string())?;
    Ok(Desk { _folder: folder, path, reloader, clock })
}

impl Desk {
    fn write(&mut self, text: &[u8]) {
        fs::write(&self.path, text).unwrap();
        self.look();
    }

    fn look(&mut self) {
        for _ in 0..2 {
            self.clock.advance(Duration::from_secs(1));
            self.reloader.look(self.clock.now(), false);
        }
    }

    fn value(&self) -> String {
        String::from_utf8(self.reloader.kind().kept().authorization().value().to_vec()).unwrap()
    }

    fn degraded(&self) -> bool {
        self.reloader.health().degraded().is_some()
    }
}

#[test]
fn each_form_makes_the_value_that_the_upstream_expects() {
    let value = |form, text: &[u8]| started(form, text).map(|desk| desk.value());
    assert_eq!(value(Form::Basic("AWS".into()), b"x\n"), Ok("Basic QVdTOng=".into()));
    assert_eq!(value(Form::Bearer, b"abc.def\r\n"), Ok("Bearer abc.def".into()));
    assert_eq!(value(Form::Whole, b"Basic QVdTOng="), Ok("Basic QVdTOng=".into()));
    assert_eq!(value(Form::ProxySecret, b"0123456789abcdef\n"), Ok("0123456789abcdef".into()));
}

#[test]
fn what_can_not_be_used_stops_a_start_and_is_not_told() {
    let long = vec![b'a'; 17 << 10];
    for (form, text) in [
        (Form::Whole, &b""[..]),
        (Form::Whole, b"s3cret"),
        (Form::Whole, b"Basic QVdTOng= "),
        (Form::Whole, b"Basic s3cret\nX-Auth-User: root"),
        (Form::Bearer, b"s3cret s3cret"),
        (Form::Bearer, b"\n"),
        (Form::Bearer, &long),
        (Form::Basic("AWS".into()), b"s3cret\ns3cret"),
        (Form::ProxySecret, b"s3cret"),
        (Form::ProxySecret, b"s3cret s3cret s3cret"),
        (Form::ProxySecret, b"0123456789abcdef\ns3cret"),
        (Form::ProxySecret, b"0123456789abcdef\n0123456789abcdef\n0123456789abcdef"),
    ] {
        let fault = started(form, text).map(|_| ()).unwrap_err();
        assert!(fault.contains("secret: ") && !fault.contains("s3cret"), "{fault}");
    }
}

#[test]
fn new_content_is_taken_and_bad_content_leaves_the_last_good_one() {
    let mut desk = started(Form::Bearer, b"one").unwrap();
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
fn a_secret_is_changed_with_two_lines_for_a_while() {
    let (old, new) = ("0123456789abcdef", "fedcba9876543210");
    let mut desk = started(Form::ProxySecret, old.as_bytes()).unwrap();
    let shown = |desk: &Desk, text: &str| desk.reloader.kind().kept().is_shown(text.as_bytes());
    assert!(shown(&desk, old) && !shown(&desk, new) && !shown(&desk, ""));
    desk.write(format!("{old}\n{new}\n").as_bytes());
    assert!(shown(&desk, old) && shown(&desk, new) && !shown(&desk, "0123456789abcdee"));
    desk.write(new.as_bytes());
    assert!(!shown(&desk, old) && shown(&desk, new));
}

#[test]
fn half_a_write_is_not_taken() {
    let mut desk = started(Form::Bearer, b"one").unwrap();
    fs::write(&desk.path, b"tw").unwrap();
    desk.reloader.look(desk.clock.now(), false);
    fs::write(&desk.path, b"two").unwrap();
    desk.reloader.look(desk.clock.now(), false);
    assert_eq!(desk.value(), "Bearer one");
    desk.look();
    assert_eq!(desk.value(), "Bearer two");
}
