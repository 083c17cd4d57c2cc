//! Reloads of the htpasswd file after every kind of change, with a manual clock.

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

    /// Returns the degraded message without its date.
    fn degraded_message(&self) -> Option<String> {
        let degraded = self.reloader.health().degraded_message();
        degraded.map(|message| message.split(" (since ").next().unwrap_or_default().to_owned())
    }

    fn assert_degraded(&self, expected: &str) {
        assert_eq!(self.degraded_message(), Some(format!("{expected}; the last valid content is active")));
    }
}

#[test]
fn changed_file_is_loaded_after_two_identical_reads() {
    let mut fixture = reload_fixture(ALICE);
    fs::write(&fixture.path, BOB).unwrap();
    fixture.poll();
    assert!(fixture.accepts_user("alice"));
    fs::write(&fixture.path, format!("{ALICE}{BOB}")).unwrap();
    fixture.clock.advance(STABLE_TIME / 2);
    fixture.reloader.poll(fixture.clock.now(), false);
    assert!(!fixture.accepts_user("bob"));
    fixture.clock.advance(STABLE_TIME);
    fixture.reloader.poll(fixture.clock.now(), false);
    assert!(fixture.accepts_user("alice") && fixture.accepts_user("bob"));
}

#[test]
fn file_renamed_over_the_old_one_is_loaded_even_if_older() {
    let mut fixture = reload_fixture(ALICE);
    let other = fixture.path.with_extension("new");
    fs::write(&other, BOB).unwrap();
    fs::File::open(&other).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::rename(&other, &fixture.path).unwrap();
    fixture.poll();
    fixture.poll();
    assert!(fixture.accepts_user("bob") && !fixture.accepts_user("alice"));
}

#[test]
fn missing_file_keeps_the_last_valid_one_in_use() {
    let mut fixture = reload_fixture(ALICE);
    fs::remove_file(&fixture.path).unwrap();
    fixture.poll();
    assert_eq!(fixture.degraded_message(), None, "the file may be about to be replaced");
    fixture.poll();
    assert!(fixture.accepts_user("alice"));
    fixture.assert_degraded("the htpasswd file is missing");
    fs::write(&fixture.path, BOB).unwrap();
    fixture.poll();
    fixture.poll();
    assert!(fixture.accepts_user("bob") && !fixture.accepts_user("alice"));
    assert_eq!(fixture.degraded_message(), None);
}

#[test]
fn file_without_valid_lines_keeps_the_last_valid_one_in_use() {
    let mut fixture = reload_fixture(ALICE);
    for bad in ["\0\u{1}\u{2}binary", "alice:$2y$\n", "{\"users\": []}"] {
        fs::write(&fixture.path, bad).unwrap();
        fixture.poll();
        fixture.poll();
        assert!(fixture.accepts_user("alice"), "{bad}");
        fixture.assert_degraded("the htpasswd file cannot be used");
    }
    fs::write(&fixture.path, ALICE).unwrap();
    fixture.poll();
    assert_eq!(fixture.degraded_message(), None);
}

#[test]
fn emptied_file_is_loaded_within_two_seconds_and_reported_field_m3_n1_c18() {
    for text in ["", "\n\n", "# nobody\n", "\u{feff}"] {
        let mut fixture = reload_fixture(ALICE);
        fs::write(&fixture.path, text).unwrap();
        let mut waited = Duration::ZERO;
        while fixture.accepts_user("alice") {
            assert!(waited < RELOAD_DELAY_MAX, "{text:?}");
            waited += STABLE_TIME;
            fixture.clock.advance(STABLE_TIME);
            fixture.reloader.poll(fixture.clock.now(), false);
        }
        assert!(waited > STABLE_TIME, "a tool may be between truncating and writing: {waited:?}");
        assert_eq!(fixture.degraded_message(), Some(EMPTY_FILE_MESSAGE.to_owned()));
        fs::write(&fixture.path, ALICE).unwrap();
        fixture.poll();
        fixture.poll();
        assert!(fixture.accepts_user("alice"));
        assert_eq!(fixture.degraded_message(), None);
    }
}

#[test]
fn file_with_no_users_comment_is_loaded_like_any_other() {
    let mut fixture = reload_fixture(ALICE);
    fs::write(&fixture.path, [NO_USERS_LINE, b"\n"].concat()).unwrap();
    fixture.poll();
    fixture.poll();
    assert!(!fixture.accepts_user("alice"));
    assert_eq!(fixture.degraded_message(), None);
}

#[test]
fn content_is_compared_every_minute_even_if_the_stamp_is_unchanged() {
    let mut fixture = reload_fixture(ALICE);
    fs::write(&fixture.path, BOB).unwrap();
    fixture.reloader.watched_file_mut().trust_current_stamp();
    fixture.poll();
    assert!(fixture.accepts_user("alice"));
    fixture.clock.advance(COMPARE_INTERVAL);
    fixture.poll();
    fixture.poll();
    assert!(fixture.accepts_user("bob"));
}

#[test]
fn forced_check_does_not_load_a_half_written_file() {
    let mut fixture = reload_fixture(ALICE);
    fs::write(&fixture.path, BOB).unwrap();
    fixture.poll();
    // A SIGHUP arrives while another program writes the file.
    fixture.clock.advance(Duration::from_millis(1));
    fixture.reloader.poll(fixture.clock.now(), true);
    assert!(fixture.accepts_user("alice"));
    fixture.poll();
    assert!(fixture.accepts_user("bob"));
}

#[test]
fn file_is_read_again_after_a_failed_read() {
    let mut fixture = reload_fixture(ALICE);
    fs::write(&fixture.path, BOB).unwrap();
    let before = fs::metadata(&fixture.path).unwrap();
    // This simulates a lack of file descriptors: the stamp can be read and the content cannot.
    fixture.reloader.watched_file_mut().trust_current_stamp();
    let max_bytes = fixture.reloader.watched_file_mut().source().max_bytes;
    fixture.reloader.watched_file_mut().source_mut().max_bytes = 1;
    fixture.clock.advance(COMPARE_INTERVAL);
    fixture.poll();
    fixture.poll();
    assert!(fixture.degraded_message().is_some());
    fixture.reloader.watched_file_mut().source_mut().max_bytes = max_bytes;
    fixture.poll();
    fixture.poll();
    assert!(fixture.accepts_user("bob"));
    assert_eq!(before.len(), fs::metadata(&fixture.path).unwrap().len());
}

#[test]
fn invalid_file_fails_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let start = |path: &Path| match start(path, Moment::default()) {
        Ok(_) => panic!("the start succeeded"),
        Err(error) => error.to_string().replace(&path.display().to_string(), "FILE"),
    };
    assert_eq!(start(&path), "FILE: the file does not exist; create it with: htpasswd -B -c FILE NAME");
    assert_eq!(start(folder.path()), "FILE: it is a directory, not a file");
    fs::write(&path, "x".repeat(5000)).unwrap();
    assert_eq!(start(&path), "FILE: the file has more than 4096 bytes; raise htpasswd.max_bytes");
    fs::write(&path, "\nalice:hunter2\n").unwrap();
    assert!(
        start(&path).starts_with("FILE:2:7: the hash format is unknown, perhaps it is the password itself")
    );
    assert!(!start(&path).contains("hunter2"));
}

#[test]
fn file_without_users_is_accepted_at_start_and_reported() {
    for (text, is_reported) in [("", true), ("# nobody\n\n", true), ("# no users\n", false)] {
        let fixture = reload_fixture(text);
        assert!(!fixture.accepts_user("alice"));
        assert_eq!(
            fixture.degraded_message(),
            is_reported.then(|| EMPTY_FILE_MESSAGE.to_owned()),
            "{text:?}"
        );
    }
}
