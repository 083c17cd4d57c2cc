//! A file that is written while it is read, in every way, with a clock that the test moves.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

const KINDS: [Unsettled; 2] = [Unsettled::Nothing, Unsettled::WholeLines];

/// Writes a file, and dates it: what is of a time to come counts as written just now, however long the
/// machine takes to look at it.
fn write(path: &Path, text: &str, modified: SystemTime) {
    fs::write(path, text).unwrap();
    fs::File::options().append(true).open(path).unwrap().set_modified(modified).unwrap();
}

fn rename(path: &Path, text: &str, modified: SystemTime) {
    let new = path.with_extension("new");
    write(&new, text, modified);
    fs::rename(&new, path).unwrap();
}

type Put = fn(&Path, &str, SystemTime);

/// What is taken of a file that holds `text`, and how long was waited; each pause puts one of `later` there.
fn start(
    text: &str,
    modified: SystemTime,
    unsettled: Unsettled,
    put: Put,
    later: &[&str],
) -> Result<(String, Duration), ReadFault> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, text, modified);
    let source = Source { path: path.clone(), max_bytes: 100 };
    let (mut waited, mut writes) = (Duration::ZERO, later.iter());
    let pause = |span| {
        waited += span;
        if let Some(text) = writes.next() {
            put(&path, text, modified);
        }
    };
    let (watch, new) = Watch::start(source, b"", unsettled, Moment::default(), pause)?;
    assert_eq!(watch.next_look(Moment::default()), None);
    Ok((String::from_utf8(new.text.to_vec()).unwrap(), waited))
}

#[test]
fn file_that_is_being_written_is_not_taken_by_half_at_the_start() {
    let (now, long_ago) = (SystemTime::now() + HOUR, SystemTime::now() - HOUR);
    for (kind, step) in [(Unsettled::Nothing, SETTLE), (Unsettled::WholeLines, SETTLE_LEAST)] {
        let started = start("grant", now, kind, write, &["grant deny"]).unwrap();
        assert_eq!(started, ("grant deny".to_owned(), 2 * step));
        let started = start("grant", long_ago, kind, write, &["grant deny"]).unwrap();
        assert_eq!(started, ("grant".to_owned(), Duration::ZERO));
        // Between truncating and writing, however long the tool waits for a core there.
        for empty in 0..7 {
            let later = [&vec![""; empty][..], &["grant"]].concat();
            assert_eq!(start("", now, kind, write, &later).unwrap().0, "grant", "{kind:?} after {empty}");
        }
        let (text, waited) = start("", now, kind, write, &[]).unwrap();
        assert!(
            text.is_empty() && (EMPTIED_AFTER..=IN_FORCE_WITHIN).contains(&waited),
            "{kind:?}: {waited:?}"
        );
        assert_eq!(start("", long_ago, kind, write, &[]).unwrap().1, Duration::ZERO);
    }
}

#[test]
fn file_that_never_settles_is_no_start_for_a_kind_that_may_not_be_cut() {
    let texts: Vec<String> = (0..1000).map(|n| format!("{n}\nhalf")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let now = SystemTime::now() + HOUR;
    let fault = start("", now, Unsettled::Nothing, write, &texts).unwrap_err();
    assert!(matches!(fault, ReadFault::Changing(_)), "{fault}");
    let (text, waited) = start("", now, Unsettled::WholeLines, write, &texts).unwrap();
    assert!(text.ends_with('\n') && waited >= IN_FORCE_WITHIN, "{text:?} {waited:?}");
    // Of one that is replaced all the time, each is whole.
    for kind in KINDS {
        let (text, waited) = start("x", now, kind, rename, &texts).unwrap();
        assert!(text == "x" && waited <= SETTLE, "{text:?} {waited:?}");
    }
}

/// A watched file, of which one is in force that holds "first\n".
struct Desk {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    watch: Watch,
    kind: Unsettled,
    now: Moment,
    looked: Moment,
}

const POLL: Duration = Duration::from_millis(500);

/// The time between two steps of a test.
const STEP: Duration = Duration::from_millis(10);

fn desk(kind: Unsettled) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, "first\n", SystemTime::now() - HOUR);
    let source = Source { path: path.clone(), max_bytes: 1000 };
    let now = Moment::default().plus(HOUR);
    let (watch, _) = Watch::start(source, b"# none", kind, now, |_| {}).unwrap();
    Desk { _folder: folder, path, watch, kind, now, looked: now }
}

impl Desk {
    /// Lets a step go by, and looks if it is time to.
    fn step(&mut self) -> Option<New> {
        self.now = self.now.plus(STEP);
        let wait = self.watch.next_look(self.looked).unwrap_or(POLL);
        if self.now.since(self.looked) < wait {
            return None;
        }
        self.looked = self.now;
        match self.watch.look(self.now, false, self.kind) {
            Seen::New(new) => Some(new),
            Seen::Nothing | Seen::InForce => None,
            Seen::Fault(fault) => panic!("{fault}"),
        }
    }

    /// Does something to the file every `period`, with a number that grows; the greatest age of the content at the
    /// moment when it was taken, or nothing if it was never.
    fn worst(&mut self, period: Duration, steps: usize, put: impl Fn(&Path, usize)) -> Option<Duration> {
        let every = usize::try_from(period.as_millis() / STEP.as_millis()).unwrap();
        let mut written: Vec<Moment> = Vec::new();
        let (mut worst, mut in_force) = (None, 0);
        for n in 0..steps {
            if n % every == 0 {
                put(&self.path, written.len());
                written.push(self.now);
            }
            let Some(new) = self.step() else { continue };
            let text = String::from_utf8(new.text.to_vec()).unwrap();
            let taken: usize =
                text.lines().last().unwrap().parse().unwrap_or_else(|e| panic!("{e}: {text:?}"));
            // What was overtaken first is how long the oldest change that is missing was.
            let first = in_force;
            in_force = taken + 1;
            self.watch.taken(Duration::ZERO);
            worst = worst.max(Some(self.now.since(written[first])));
        }
        worst
    }
}

#[test]
fn file_that_is_renamed_all_the_time_is_in_force_in_time_whatever_the_inodes_field_m1() {
    for kind in KINDS {
        for period in [20, 50, 100, 150, 200, 210, 300, 500, 1000].map(Duration::from_millis) {
            // Two numbers in turn, as a file system hands the one that was freed out again.
            let worst = desk(kind).worst(period, 2000, |path, n| {
                rename(path, &format!("{n}\n"), SystemTime::now());
            });
            let worst = worst.unwrap_or_else(|| panic!("{kind:?}, each {period:?}: never"));
            assert!(worst <= IN_FORCE_WITHIN, "{kind:?}, each {period:?}: {worst:?}");
        }
    }
}

#[test]
fn file_that_is_appended_to_all_the_time_is_in_force_in_time_if_its_lines_may_be_cut_field_m2() {
    for period in [10, 20, 50, 100, 150, 200, 300, 500].map(Duration::from_millis) {
        let append = |path: &Path, n: usize| {
            use std::io::Write as _;
            let mut file = fs::File::options().append(true).open(path).unwrap();
            if n == 0 {
                file.set_len(0).unwrap();
            }
            writeln!(file, "{n}").unwrap();
        };
        let worst = desk(Unsettled::WholeLines).worst(period, 800, |path, n| {
            if n % 150 == 149 {
                fs::write(path, "").unwrap();
            }
            append(path, n);
        });
        let worst = worst.unwrap_or_else(|| panic!("each {period:?}: never"));
        assert!(worst <= IN_FORCE_WITHIN, "each {period:?}: {worst:?}");
    }
}

#[test]
fn file_that_is_written_in_place_all_the_time_is_told_if_it_may_not_be_cut() {
    let mut desk = desk(Unsettled::Nothing);
    for n in 0..300 {
        fs::write(&desk.path, format!("{n}\n")).unwrap();
        assert!(desk.step().is_none());
        let age = desk.now.since(Moment::default().plus(HOUR));
        assert_eq!(desk.watch.late(desk.now).is_some(), age >= TOLD_AFTER, "{age:?}");
    }
    let taken = (0..100).find_map(|_| desk.step()).unwrap();
    assert_eq!(*taken.text, b"299\n");
    desk.watch.taken(Duration::ZERO);
    assert!(desk.watch.late(desk.now).is_none());
}

#[test]
fn unsettled_text_ends_with_a_whole_line_and_the_last_one_follows_when_it_is_whole() {
    let mut desk = desk(Unsettled::WholeLines);
    let mut text = String::new();
    let taken = (0..).find_map(|n| {
        text += &format!("{n}\nbo");
        fs::write(&desk.path, &text).unwrap();
        text.truncate(text.len() - 2);
        desk.step()
    });
    let new = taken.unwrap();
    assert!(!new.is_whole && new.text.ends_with(b"\n"));
    desk.watch.taken(Duration::ZERO);
    let new = (0..100).find_map(|_| desk.step()).unwrap();
    assert!(new.is_whole && new.text.ends_with(b"\nbo"));
    desk.watch.taken(Duration::ZERO);
    assert!((0..100).find_map(|_| desk.step()).is_none());
}

#[test]
fn two_reads_of_the_same_part_of_two_writes_do_not_agree() {
    let mut desk = desk(Unsettled::Nothing);
    for n in 1..200_u64 {
        // Each look finds it cut at the same place, and in between it was whole.
        write(&desk.path, "grant\n", SystemTime::UNIX_EPOCH + Duration::from_secs(n));
        assert!(desk.step().is_none());
    }
}

#[test]
fn emptied_file_has_a_deadline_of_its_own_and_not_that_of_a_change_before_it() {
    for kind in KINDS {
        for phase in 0..60 {
            let mut desk = desk(kind);
            (0..phase).for_each(|_| drop(desk.step()));
            // A change that has no time to settle, and then the tool waits for its disk.
            for n in 0..15 {
                if n % 5 == 0 {
                    fs::write(&desk.path, format!("{n}\n")).unwrap();
                }
                assert!(desk.step().is_none_or(|new| !new.is_emptied));
            }
            fs::write(&desk.path, "").unwrap();
            for waited in 0..100 {
                assert!(
                    desk.step().is_none_or(|new| !new.is_emptied),
                    "{kind:?} {phase}: after {waited} steps"
                );
            }
            let emptied = (100..200).find(|_| desk.step().is_some_and(|new| new.is_emptied));
            assert!(
                emptied.is_some_and(|steps| STEP * steps <= IN_FORCE_WITHIN),
                "{kind:?} {phase}: {emptied:?}"
            );
        }
    }
}

#[test]
fn load_time_is_taken_off_the_deadline() {
    let mut desk = desk(Unsettled::WholeLines);
    let load = Duration::from_secs(1);
    desk.watch.load = load;
    let begin = desk.now;
    let put = |desk: &Desk, n: usize| rename(&desk.path, &format!("{n}\n"), SystemTime::now());
    (0..).find_map(|n| {
        put(&desk, n);
        desk.step()
    });
    assert!(desk.now.since(begin) + load <= IN_FORCE_WITHIN, "{:?}", desk.now.since(begin));
}

#[test]
fn change_in_the_same_tick_of_the_clock_is_seen_though_size_and_times_are_the_same() {
    let mut desk = desk(Unsettled::WholeLines);
    let stamp = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    fs::write(&desk.path, "one\n").unwrap();
    let first = stamp(&desk.path);
    let taken = (0..200).find_map(|_| desk.step()).unwrap();
    assert_eq!(*taken.text, b"one\n");
    desk.watch.taken(Duration::ZERO);
    write(&desk.path, "two\n", first);
    // As if both had been written in one tick.
    let known = desk.watch.known.as_mut().unwrap();
    known.stamp = desk.watch.source.stamp().unwrap();
    let taken = (0..200).find_map(|_| desk.step()).unwrap();
    assert_eq!(*taken.text, b"two\n");
}

#[test]
fn content_that_was_refused_is_not_handed_out_again_before_it_changes() {
    let mut desk = desk(Unsettled::Nothing);
    fs::write(&desk.path, "bad\n").unwrap();
    assert!((0..200).find_map(|_| desk.step()).is_some());
    desk.watch.passed_over();
    assert!((0..1000).find_map(|_| desk.step()).is_none());
    fs::write(&desk.path, "good\n").unwrap();
    assert!((0..200).find_map(|_| desk.step()).is_some());
}

#[test]
fn file_that_is_missing_for_a_moment_is_no_fault() {
    let mut desk = desk(Unsettled::Nothing);
    for n in 0..100 {
        fs::remove_file(&desk.path).unwrap();
        desk.now = desk.now.plus(STEP);
        assert!(matches!(desk.watch.look(desk.now, false, desk.kind), Seen::Nothing));
        fs::write(&desk.path, format!("{n}\n")).unwrap();
        desk.now = desk.now.plus(STEP);
        assert!(!matches!(desk.watch.look(desk.now, false, desk.kind), Seen::Fault(_)));
    }
    fs::remove_file(&desk.path).unwrap();
    desk.watch.look(desk.now, false, desk.kind);
    desk.now = desk.now.plus(SETTLE);
    assert!(matches!(desk.watch.look(desk.now, false, desk.kind), Seen::Fault(ReadFault::Missing(_))));
}

#[test]
fn pipe_is_a_fault_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let fault = Source { path, max_bytes: 100 }.read().unwrap_err();
    assert!(matches!(fault, ReadFault::NotAFile(..)), "{fault}");
}
