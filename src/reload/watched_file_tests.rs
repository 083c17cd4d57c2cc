//! A file that is written while it is read, in every way, with a clock that the test moves.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

const UNSTABLE_MODES: [UnstableFileMode; 2] = [UnstableFileMode::KeepActive, UnstableFileMode::UseWholeLines];

/// Writes a file and sets its modification time. A time in the future counts as now, even on a slow machine.
fn write(path: &Path, text: &str, modified: SystemTime) {
    fs::write(path, text).unwrap();
    fs::File::options().append(true).open(path).unwrap().set_modified(modified).unwrap();
}

fn rename(path: &Path, text: &str, modified: SystemTime) {
    let new = path.with_extension("new");
    write(&new, text, modified);
    fs::rename(&new, path).unwrap();
}

type WriteFile = fn(&Path, &str, SystemTime);

/// Returns the content that a start loads from a file with `text`, and the time that it waits. Each pause writes the next
/// text of `later`.
fn start(
    text: &str,
    modified: SystemTime,
    unsettled: UnstableFileMode,
    put: WriteFile,
    later: &[&str],
) -> Result<(String, Duration), ReadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, text, modified);
    let source = SourceFile { path: path.clone(), max_bytes: 100 };
    let (mut waited, mut writes) = (Duration::ZERO, later.iter());
    let pause = |span| {
        waited += span;
        if let Some(text) = writes.next() {
            put(&path, text, modified);
        }
    };
    let (watch, new) = WatchedFile::start(source, b"", unsettled, Moment::default(), pause)?;
    assert_eq!(watch.next_poll_in(Moment::default()), None);
    Ok((String::from_utf8(new.text.to_vec()).unwrap(), waited))
}

#[test]
fn half_written_file_is_not_loaded_at_the_start() {
    let (now, long_ago) = (SystemTime::now() + HOUR, SystemTime::now() - HOUR);
    for (kind, step) in
        [(UnstableFileMode::KeepActive, STABLE_TIME), (UnstableFileMode::UseWholeLines, STABLE_TIME_MIN)]
    {
        let started = start("grant", now, kind, write, &["grant deny"]).unwrap();
        assert_eq!(started, ("grant deny".to_owned(), 2 * step));
        let started = start("grant", long_ago, kind, write, &["grant deny"]).unwrap();
        assert_eq!(started, ("grant".to_owned(), Duration::ZERO));
        // A tool can wait for a core between truncating and writing the file.
        for empty in 0..7 {
            let later = [&vec![""; empty][..], &["grant"]].concat();
            assert_eq!(start("", now, kind, write, &later).unwrap().0, "grant", "{kind:?} after {empty}");
        }
        let (text, waited) = start("", now, kind, write, &[]).unwrap();
        assert!(
            text.is_empty() && (EMPTY_STABLE_TIME..=RELOAD_DELAY_MAX).contains(&waited),
            "{kind:?}: {waited:?}"
        );
        assert_eq!(start("", long_ago, kind, write, &[]).unwrap().1, Duration::ZERO);
    }
}

#[test]
fn unstable_file_fails_the_start_unless_whole_lines_may_be_used() {
    let texts: Vec<String> = (0..1000).map(|n| format!("{n}\nhalf")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let now = SystemTime::now() + HOUR;
    let fault = start("", now, UnstableFileMode::KeepActive, write, &texts).unwrap_err();
    assert!(matches!(fault, ReadError::KeepsChanging(_)), "{fault}");
    let (text, waited) = start("", now, UnstableFileMode::UseWholeLines, write, &texts).unwrap();
    assert!(text.ends_with('\n') && waited >= RELOAD_DELAY_MAX, "{text:?} {waited:?}");
    // If a file is replaced all the time, each state is complete.
    for kind in UNSTABLE_MODES {
        let (text, waited) = start("x", now, kind, rename, &texts).unwrap();
        assert!(text == "x" && waited <= STABLE_TIME, "{text:?} {waited:?}");
    }
}

/// A watched file whose active content is "first\n".
struct WatchFixture {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    watch: WatchedFile,
    unstable_mode: UnstableFileMode,
    current_at: Moment,
    polled_at: Moment,
}

const POLL: Duration = Duration::from_millis(500);

/// The time between two steps of a test.
const ADVANCE_STEP: Duration = Duration::from_millis(10);

fn watch_fixture(kind: UnstableFileMode) -> WatchFixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, "first\n", SystemTime::now() - HOUR);
    let source = SourceFile { path: path.clone(), max_bytes: 1000 };
    let now = Moment::default().plus(HOUR);
    let (watch, _) = WatchedFile::start(source, b"# none", kind, now, |_| {}).unwrap();
    WatchFixture { _folder: folder, path, watch, unstable_mode: kind, current_at: now, polled_at: now }
}

impl WatchFixture {
    /// Advances the clock by one step, and polls the file if a poll is due.
    fn advance(&mut self) -> Option<NewContent> {
        self.current_at = self.current_at.plus(ADVANCE_STEP);
        let wait = self.watch.next_poll_in(self.polled_at).unwrap_or(POLL);
        if self.current_at.since(self.polled_at) < wait {
            return None;
        }
        self.polled_at = self.current_at;
        match self.watch.poll(self.current_at, false, self.unstable_mode) {
            PollResult::Changed(new) => Some(new),
            PollResult::NoChange | PollResult::Active => None,
            PollResult::Unreadable(fault) => panic!("{fault}"),
        }
    }

    /// Calls `put` every `period` with an increasing number. Returns the greatest age that content had when it was
    /// accepted; `None` if no content was accepted.
    fn max_delay(&mut self, period: Duration, steps: usize, put: impl Fn(&Path, usize)) -> Option<Duration> {
        let every = usize::try_from(period.as_millis() / ADVANCE_STEP.as_millis()).unwrap();
        let mut written: Vec<Moment> = Vec::new();
        let (mut worst, mut in_force) = (None, 0);
        for n in 0..steps {
            if n % every == 0 {
                put(&self.path, written.len());
                written.push(self.current_at);
            }
            let Some(new) = self.advance() else { continue };
            let text = String::from_utf8(new.text.to_vec()).unwrap();
            let taken: usize =
                text.lines().last().unwrap().parse().unwrap_or_else(|e| panic!("{e}: {text:?}"));
            // The age is that of the oldest change that was not active yet.
            let first = in_force;
            in_force = taken + 1;
            self.watch.accept_offered(Duration::ZERO);
            worst = worst.max(Some(self.current_at.since(written[first])));
        }
        worst
    }
}

#[test]
fn continuously_renamed_file_is_active_in_time_with_reused_inodes_field_m1() {
    for kind in UNSTABLE_MODES {
        for period in [20, 50, 100, 150, 200, 210, 300, 500, 1000].map(Duration::from_millis) {
            // The file system alternates between two inode numbers, because it reuses freed numbers.
            let worst = watch_fixture(kind).max_delay(period, 2000, |path, n| {
                rename(path, &format!("{n}\n"), SystemTime::now());
            });
            let worst = worst.unwrap_or_else(|| panic!("{kind:?}, each {period:?}: never"));
            assert!(worst <= RELOAD_DELAY_MAX, "{kind:?}, each {period:?}: {worst:?}");
        }
    }
}

#[test]
fn continuously_appended_file_is_active_in_time_if_whole_lines_may_be_used_field_m2() {
    for period in [10, 20, 50, 100, 150, 200, 300, 500].map(Duration::from_millis) {
        let append = |path: &Path, n: usize| {
            use std::io::Write as _;
            let mut file = fs::File::options().append(true).open(path).unwrap();
            if n == 0 {
                file.set_len(0).unwrap();
            }
            writeln!(file, "{n}").unwrap();
        };
        let worst = watch_fixture(UnstableFileMode::UseWholeLines).max_delay(period, 800, |path, n| {
            if n % 150 == 149 {
                fs::write(path, "").unwrap();
            }
            append(path, n);
        });
        let worst = worst.unwrap_or_else(|| panic!("each {period:?}: never"));
        assert!(worst <= RELOAD_DELAY_MAX, "each {period:?}: {worst:?}");
    }
}

#[test]
fn continuously_rewritten_file_is_reported_overdue_if_whole_lines_may_not_be_used() {
    let mut desk = watch_fixture(UnstableFileMode::KeepActive);
    for n in 0..300 {
        fs::write(&desk.path, format!("{n}\n")).unwrap();
        assert!(desk.advance().is_none());
        let age = desk.current_at.since(Moment::default().plus(HOUR));
        assert_eq!(desk.watch.overdue_for(desk.current_at).is_some(), age >= OVERDUE_AFTER, "{age:?}");
    }
    let taken = (0..100).find_map(|_| desk.advance()).unwrap();
    assert_eq!(*taken.text, b"299\n");
    desk.watch.accept_offered(Duration::ZERO);
    assert!(desk.watch.overdue_for(desk.current_at).is_none());
}

#[test]
fn unstable_content_ends_with_a_whole_line_and_the_last_line_follows_once_stable() {
    let mut desk = watch_fixture(UnstableFileMode::UseWholeLines);
    let mut text = String::new();
    let taken = (0..).find_map(|n| {
        text += &format!("{n}\nbo");
        fs::write(&desk.path, &text).unwrap();
        text.truncate(text.len() - 2);
        desk.advance()
    });
    let new = taken.unwrap();
    assert!(!new.is_complete && new.text.ends_with(b"\n"));
    desk.watch.accept_offered(Duration::ZERO);
    let new = (0..100).find_map(|_| desk.advance()).unwrap();
    assert!(new.is_complete && new.text.ends_with(b"\nbo"));
    desk.watch.accept_offered(Duration::ZERO);
    assert!((0..100).find_map(|_| desk.advance()).is_none());
}

#[test]
fn equal_partial_reads_of_two_writes_are_not_taken_as_stable() {
    let mut desk = watch_fixture(UnstableFileMode::KeepActive);
    for n in 1..200_u64 {
        // Each poll finds the file truncated at the same place. In between it was complete.
        write(&desk.path, "grant\n", SystemTime::UNIX_EPOCH + Duration::from_secs(n));
        assert!(desk.advance().is_none());
    }
}

#[test]
fn emptied_file_has_its_own_deadline_after_an_earlier_change() {
    for kind in UNSTABLE_MODES {
        for phase in 0..60 {
            let mut desk = watch_fixture(kind);
            (0..phase).for_each(|_| drop(desk.advance()));
            // A change has no time to become stable, and then the tool waits for its disk.
            for n in 0..15 {
                if n % 5 == 0 {
                    fs::write(&desk.path, format!("{n}\n")).unwrap();
                }
                assert!(desk.advance().is_none_or(|new| !new.is_unexpectedly_empty));
            }
            fs::write(&desk.path, "").unwrap();
            for waited in 0..100 {
                assert!(
                    desk.advance().is_none_or(|new| !new.is_unexpectedly_empty),
                    "{kind:?} {phase}: after {waited} steps"
                );
            }
            let emptied = (100..200).find(|_| desk.advance().is_some_and(|new| new.is_unexpectedly_empty));
            assert!(
                emptied.is_some_and(|steps| ADVANCE_STEP * steps <= RELOAD_DELAY_MAX),
                "{kind:?} {phase}: {emptied:?}"
            );
        }
    }
}

#[test]
fn load_time_is_subtracted_from_the_deadline() {
    let mut desk = watch_fixture(UnstableFileMode::UseWholeLines);
    let load = Duration::from_secs(1);
    desk.watch.load_time = load;
    let begin = desk.current_at;
    let put = |desk: &WatchFixture, n: usize| rename(&desk.path, &format!("{n}\n"), SystemTime::now());
    (0..).find_map(|n| {
        put(&desk, n);
        desk.advance()
    });
    assert!(desk.current_at.since(begin) + load <= RELOAD_DELAY_MAX, "{:?}", desk.current_at.since(begin));
}

#[test]
fn change_with_equal_size_and_times_is_detected_within_a_clock_tick() {
    let mut desk = watch_fixture(UnstableFileMode::UseWholeLines);
    let stamp = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    fs::write(&desk.path, "one\n").unwrap();
    let first = stamp(&desk.path);
    let taken = (0..200).find_map(|_| desk.advance()).unwrap();
    assert_eq!(*taken.text, b"one\n");
    desk.watch.accept_offered(Duration::ZERO);
    write(&desk.path, "two\n", first);
    // Simulates two writes within one clock tick.
    let known = desk.watch.known_stamp.as_mut().unwrap();
    known.stamp = desk.watch.source.stamp().unwrap();
    let taken = (0..200).find_map(|_| desk.advance()).unwrap();
    assert_eq!(*taken.text, b"two\n");
}

#[test]
fn rejected_content_is_not_offered_again_until_it_changes() {
    let mut desk = watch_fixture(UnstableFileMode::KeepActive);
    fs::write(&desk.path, "bad\n").unwrap();
    assert!((0..200).find_map(|_| desk.advance()).is_some());
    desk.watch.reject_offered();
    assert!((0..1000).find_map(|_| desk.advance()).is_none());
    fs::write(&desk.path, "good\n").unwrap();
    assert!((0..200).find_map(|_| desk.advance()).is_some());
}

#[test]
fn briefly_missing_file_is_not_an_error() {
    let mut desk = watch_fixture(UnstableFileMode::KeepActive);
    for n in 0..100 {
        fs::remove_file(&desk.path).unwrap();
        desk.current_at = desk.current_at.plus(ADVANCE_STEP);
        assert!(matches!(desk.watch.poll(desk.current_at, false, desk.unstable_mode), PollResult::NoChange));
        fs::write(&desk.path, format!("{n}\n")).unwrap();
        desk.current_at = desk.current_at.plus(ADVANCE_STEP);
        assert!(!matches!(
            desk.watch.poll(desk.current_at, false, desk.unstable_mode),
            PollResult::Unreadable(_)
        ));
    }
    fs::remove_file(&desk.path).unwrap();
    desk.watch.poll(desk.current_at, false, desk.unstable_mode);
    desk.current_at = desk.current_at.plus(STABLE_TIME);
    assert!(matches!(
        desk.watch.poll(desk.current_at, false, desk.unstable_mode),
        PollResult::Unreadable(ReadError::Missing(_))
    ));
}

#[test]
fn named_pipe_is_an_immediate_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let fault = SourceFile { path, max_bytes: 100 }.read().unwrap_err();
    assert!(matches!(fault, ReadError::NotAFile(..)), "{fault}");
}
