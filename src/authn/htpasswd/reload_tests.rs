//! Every way in which the file on disk may change, with a clock that the test moves.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, Moment};
use crate::reload::{COMPARE_EVERY, IN_FORCE_WITHIN, Reload, SETTLE};

const ALICE: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
const BOB: &str = "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

struct Desk {
    _folder: tempfile::TempDir,
    path: PathBuf,
    reloader: Reloader,
    clock: Clock,
}

fn source(path: &Path) -> Source {
    Source { path: path.to_owned(), max_bytes: 4096 }
}

fn start(path: &Path, now: Moment) -> Result<Reloader, FileFault> {
    Reloader::start(source(path), HtpasswdFile::new(Rules::default(), true, Arc::default()), now)
}

fn desk(text: &str) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(&path, clock.now()).unwrap();
    Desk { _folder: folder, path, reloader, clock }
}

impl Desk {
    fn poll(&mut self) {
        self.clock.advance(Duration::from_secs(1));
        self.reloader.look(self.clock.now(), false);
    }

    fn knows(&self, user: &str) -> bool {
        self.reloader.kind().htpasswd().look_up(user.as_bytes()).check(b"password") == Some(true)
    }

    /// Without since when, which is the date.
    fn is_degraded(&self) -> Option<String> {
        let degraded = self.reloader.health().degraded();
        degraded.map(|what| what.split(" (since ").next().unwrap_or_default().to_owned())
    }

    fn assert_degraded(&self, what: &str) {
        assert_eq!(self.is_degraded(), Some(format!("{what}; the last good one is in force")));
    }
}

#[test]
fn a_change_is_taken_once_two_reads_agree() {
    let mut desk = desk(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    desk.poll();
    assert!(desk.knows("alice"));
    fs::write(&desk.path, format!("{ALICE}{BOB}")).unwrap();
    desk.clock.advance(SETTLE / 2);
    desk.reloader.look(desk.clock.now(), false);
    assert!(!desk.knows("bob"));
    desk.clock.advance(SETTLE);
    desk.reloader.look(desk.clock.now(), false);
    assert!(desk.knows("alice") && desk.knows("bob"));
}

#[test]
fn a_file_renamed_over_the_old_one_is_taken_even_if_it_is_older() {
    let mut desk = desk(ALICE);
    let other = desk.path.with_extension("new");
    fs::write(&other, BOB).unwrap();
    fs::File::open(&other).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::rename(&other, &desk.path).unwrap();
    desk.poll();
    desk.poll();
    assert!(desk.knows("bob") && !desk.knows("alice"));
}

#[test]
fn a_file_that_is_gone_leaves_the_last_good_one_in_force() {
    let mut desk = desk(ALICE);
    fs::remove_file(&desk.path).unwrap();
    desk.poll();
    assert_eq!(desk.is_degraded(), None, "it may be about to be replaced");
    desk.poll();
    assert!(desk.knows("alice"));
    desk.assert_degraded("the htpasswd file is gone");
    fs::write(&desk.path, BOB).unwrap();
    desk.poll();
    desk.poll();
    assert!(desk.knows("bob") && !desk.knows("alice"));
    assert_eq!(desk.is_degraded(), None);
}

#[test]
fn a_file_without_one_usable_line_leaves_the_last_good_one_in_force() {
    let mut desk = desk(ALICE);
    for bad in ["\0\u{1}\u{2}binary", "alice:$2y$\n", "{\"users\": []}"] {
        fs::write(&desk.path, bad).unwrap();
        desk.poll();
        desk.poll();
        assert!(desk.knows("alice"), "{bad}");
        desk.assert_degraded("the htpasswd file can't be used");
    }
    fs::write(&desk.path, ALICE).unwrap();
    desk.poll();
    assert_eq!(desk.is_degraded(), None);
}

#[test]
fn emptied_file_is_in_force_within_two_seconds_and_told_field_m3_n1_c18() {
    for text in ["", "\n\n", "# nobody\n", "\u{feff}"] {
        let mut desk = desk(ALICE);
        fs::write(&desk.path, text).unwrap();
        let mut waited = Duration::ZERO;
        while desk.knows("alice") {
            assert!(waited < IN_FORCE_WITHIN, "{text:?}");
            waited += SETTLE;
            desk.clock.advance(SETTLE);
            desk.reloader.look(desk.clock.now(), false);
        }
        assert!(waited > SETTLE, "a tool may be between truncating and writing: {waited:?}");
        assert_eq!(desk.is_degraded(), Some(EMPTIED.to_owned()));
        fs::write(&desk.path, ALICE).unwrap();
        desk.poll();
        desk.poll();
        assert!(desk.knows("alice"));
        assert_eq!(desk.is_degraded(), None);
    }
}

#[test]
fn file_that_says_itself_that_it_has_no_users_is_taken_like_any_other() {
    let mut desk = desk(ALICE);
    fs::write(&desk.path, [NONE_LINE, b"\n"].concat()).unwrap();
    desk.poll();
    desk.poll();
    assert!(!desk.knows("alice"));
    assert_eq!(desk.is_degraded(), None);
}

#[test]
fn content_is_compared_once_a_minute_whatever_the_stamp_says() {
    let mut desk = desk(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    desk.reloader.watch_mut().believe_stamp();
    desk.poll();
    assert!(desk.knows("alice"));
    desk.clock.advance(COMPARE_EVERY);
    desk.poll();
    desk.poll();
    assert!(desk.knows("bob"));
}

#[test]
fn a_look_that_comes_too_soon_does_not_take_half_a_file() {
    let mut desk = desk(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    desk.poll();
    // SIGHUP, in the middle of somebody's writing.
    desk.clock.advance(Duration::from_millis(1));
    desk.reloader.look(desk.clock.now(), true);
    assert!(desk.knows("alice"));
    desk.poll();
    assert!(desk.knows("bob"));
}

#[test]
fn after_a_failed_read_the_same_file_is_read_again_at_the_next_look() {
    let mut desk = desk(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    let before = fs::metadata(&desk.path).unwrap();
    // What a lack of file descriptors looks like: the stamp can be had, the content can't.
    desk.reloader.watch_mut().believe_stamp();
    let whole = desk.reloader.watch_mut().source().max_bytes;
    desk.reloader.watch_mut().source_mut().max_bytes = 1;
    desk.clock.advance(COMPARE_EVERY);
    desk.poll();
    desk.poll();
    assert!(desk.is_degraded().is_some());
    desk.reloader.watch_mut().source_mut().max_bytes = whole;
    desk.poll();
    desk.poll();
    assert!(desk.knows("bob"));
    assert_eq!(before.len(), fs::metadata(&desk.path).unwrap().len());
}

#[test]
fn at_the_start_there_is_no_last_good_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let start = |path: &Path| match start(path, Moment::default()) {
        Ok(_) => panic!("it started"),
        Err(fault) => fault.to_string().replace(&path.display().to_string(), "FILE"),
    };
    assert_eq!(start(&path), "FILE: there is no such file; make it with: htpasswd -B -c FILE NAME");
    assert_eq!(start(folder.path()), "FILE: it is a directory, and not a file");
    fs::write(&path, "x".repeat(5000)).unwrap();
    assert_eq!(start(&path), "FILE: it has more than 4096 bytes (htpasswd_max_bytes)");
    fs::write(&path, "\nalice:hunter2\n").unwrap();
    assert!(start(&path).starts_with("FILE:2:7: it is no known hash, perhaps the password itself"));
    assert!(!start(&path).contains("hunter2"));
}

#[test]
fn file_without_users_is_good_at_the_start_and_told() {
    for (text, told) in [("", true), ("# nobody\n\n", true), ("# no users\n", false)] {
        let desk = desk(text);
        assert!(!desk.knows("alice"));
        assert_eq!(desk.is_degraded(), told.then(|| EMPTIED.to_owned()), "{text:?}");
    }
}
