//! Every way in which the file on disk may change, with a clock that the test moves.

use crate::reload::FileReloader;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, Moment};
use crate::reload::{COMPARE_INTERVAL, PollFile, RELOAD_DELAY_MAX, STABLE_TIME};

const ALICE: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
const BOB: &str = "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

struct HtpasswdReloadFixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    reloader: FileReloader<HtpasswdFile>,
    clock: Clock,
}

fn source(path: &Path) -> SourceFile {
    SourceFile { path: path.to_owned(), max_bytes: 4096 }
}

fn start(path: &Path, now: Moment) -> Result<FileReloader<HtpasswdFile>, HtpasswdFileError> {
    FileReloader::start(
        source(path),
        HtpasswdFile::new(HtpasswdParseOptions::default(), true, Arc::default()),
        now,
    )
}

fn reload_fixture(text: &str) -> HtpasswdReloadFixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let reloader = start(&path, clock.now()).unwrap();
    HtpasswdReloadFixture { _folder: folder, path, reloader, clock }
}

impl HtpasswdReloadFixture {
    fn poll(&mut self) {
        self.clock.advance(Duration::from_secs(1));
        self.reloader.poll(self.clock.now(), false);
    }

    fn accepts_user(&self, user: &str) -> bool {
        self.reloader.target().htpasswd().look_up(user.as_bytes()).check_password(b"password") == Some(true)
    }

    /// Without since when, which is the date.
    fn is_degraded(&self) -> Option<String> {
        let degraded = self.reloader.health().degraded_message();
        degraded.map(|what| what.split(" (since ").next().unwrap_or_default().to_owned())
    }

    fn assert_degraded(&self, what: &str) {
        assert_eq!(self.is_degraded(), Some(format!("{what}; the last valid content is active")));
    }
}

#[test]
fn changed_file_is_loaded_after_two_identical_reads() {
    let mut desk = reload_fixture(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    desk.poll();
    assert!(desk.accepts_user("alice"));
    fs::write(&desk.path, format!("{ALICE}{BOB}")).unwrap();
    desk.clock.advance(STABLE_TIME / 2);
    desk.reloader.poll(desk.clock.now(), false);
    assert!(!desk.accepts_user("bob"));
    desk.clock.advance(STABLE_TIME);
    desk.reloader.poll(desk.clock.now(), false);
    assert!(desk.accepts_user("alice") && desk.accepts_user("bob"));
}

#[test]
fn file_renamed_over_the_old_one_is_loaded_even_if_older() {
    let mut desk = reload_fixture(ALICE);
    let other = desk.path.with_extension("new");
    fs::write(&other, BOB).unwrap();
    fs::File::open(&other).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::rename(&other, &desk.path).unwrap();
    desk.poll();
    desk.poll();
    assert!(desk.accepts_user("bob") && !desk.accepts_user("alice"));
}

#[test]
fn missing_file_keeps_the_last_valid_one_in_use() {
    let mut desk = reload_fixture(ALICE);
    fs::remove_file(&desk.path).unwrap();
    desk.poll();
    assert_eq!(desk.is_degraded(), None, "it may be about to be replaced");
    desk.poll();
    assert!(desk.accepts_user("alice"));
    desk.assert_degraded("the htpasswd file is gone");
    fs::write(&desk.path, BOB).unwrap();
    desk.poll();
    desk.poll();
    assert!(desk.accepts_user("bob") && !desk.accepts_user("alice"));
    assert_eq!(desk.is_degraded(), None);
}

#[test]
fn file_without_valid_lines_keeps_the_last_valid_one_in_use() {
    let mut desk = reload_fixture(ALICE);
    for bad in ["\0\u{1}\u{2}binary", "alice:$2y$\n", "{\"users\": []}"] {
        fs::write(&desk.path, bad).unwrap();
        desk.poll();
        desk.poll();
        assert!(desk.accepts_user("alice"), "{bad}");
        desk.assert_degraded("the htpasswd file can't be used");
    }
    fs::write(&desk.path, ALICE).unwrap();
    desk.poll();
    assert_eq!(desk.is_degraded(), None);
}

#[test]
fn emptied_file_is_loaded_within_two_seconds_and_reported_field_m3_n1_c18() {
    for text in ["", "\n\n", "# nobody\n", "\u{feff}"] {
        let mut desk = reload_fixture(ALICE);
        fs::write(&desk.path, text).unwrap();
        let mut waited = Duration::ZERO;
        while desk.accepts_user("alice") {
            assert!(waited < RELOAD_DELAY_MAX, "{text:?}");
            waited += STABLE_TIME;
            desk.clock.advance(STABLE_TIME);
            desk.reloader.poll(desk.clock.now(), false);
        }
        assert!(waited > STABLE_TIME, "a tool may be between truncating and writing: {waited:?}");
        assert_eq!(desk.is_degraded(), Some(EMPTY_FILE_MESSAGE.to_owned()));
        fs::write(&desk.path, ALICE).unwrap();
        desk.poll();
        desk.poll();
        assert!(desk.accepts_user("alice"));
        assert_eq!(desk.is_degraded(), None);
    }
}

#[test]
fn file_with_no_users_comment_is_loaded_like_any_other() {
    let mut desk = reload_fixture(ALICE);
    fs::write(&desk.path, [NO_USERS_LINE, b"\n"].concat()).unwrap();
    desk.poll();
    desk.poll();
    assert!(!desk.accepts_user("alice"));
    assert_eq!(desk.is_degraded(), None);
}

#[test]
fn content_is_compared_every_minute_even_if_the_stamp_is_unchanged() {
    let mut desk = reload_fixture(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    desk.reloader.watched_file_mut().trust_current_stamp();
    desk.poll();
    assert!(desk.accepts_user("alice"));
    desk.clock.advance(COMPARE_INTERVAL);
    desk.poll();
    desk.poll();
    assert!(desk.accepts_user("bob"));
}

#[test]
fn forced_check_does_not_load_a_half_written_file() {
    let mut desk = reload_fixture(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    desk.poll();
    // SIGHUP, in the middle of somebody's writing.
    desk.clock.advance(Duration::from_millis(1));
    desk.reloader.poll(desk.clock.now(), true);
    assert!(desk.accepts_user("alice"));
    desk.poll();
    assert!(desk.accepts_user("bob"));
}

#[test]
fn file_is_read_again_after_a_failed_read() {
    let mut desk = reload_fixture(ALICE);
    fs::write(&desk.path, BOB).unwrap();
    let before = fs::metadata(&desk.path).unwrap();
    // What a lack of file descriptors looks like: the stamp can be had, the content can't.
    desk.reloader.watched_file_mut().trust_current_stamp();
    let whole = desk.reloader.watched_file_mut().source().max_bytes;
    desk.reloader.watched_file_mut().source_mut().max_bytes = 1;
    desk.clock.advance(COMPARE_INTERVAL);
    desk.poll();
    desk.poll();
    assert!(desk.is_degraded().is_some());
    desk.reloader.watched_file_mut().source_mut().max_bytes = whole;
    desk.poll();
    desk.poll();
    assert!(desk.accepts_user("bob"));
    assert_eq!(before.len(), fs::metadata(&desk.path).unwrap().len());
}

#[test]
fn invalid_file_fails_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let start = |path: &Path| match start(path, Moment::default()) {
        Ok(_) => panic!("it started"),
        Err(fault) => fault.to_string().replace(&path.display().to_string(), "FILE"),
    };
    assert_eq!(start(&path), "FILE: there is no such file; make it with: htpasswd -B -c FILE NAME");
    assert_eq!(start(folder.path()), "FILE: it is a directory, not a file");
    fs::write(&path, "x".repeat(5000)).unwrap();
    assert_eq!(start(&path), "FILE: it has more than 4096 bytes (htpasswd.max_bytes)");
    fs::write(&path, "\nalice:hunter2\n").unwrap();
    assert!(start(&path).starts_with("FILE:2:7: it is no known hash, perhaps the password itself"));
    assert!(!start(&path).contains("hunter2"));
}

#[test]
fn file_without_users_is_accepted_at_start_and_reported() {
    for (text, told) in [("", true), ("# nobody\n\n", true), ("# no users\n", false)] {
        let desk = reload_fixture(text);
        assert!(!desk.accepts_user("alice"));
        assert_eq!(desk.is_degraded(), told.then(|| EMPTY_FILE_MESSAGE.to_owned()), "{text:?}");
    }
}
