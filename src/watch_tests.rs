//! The first read of a file that somebody may still be writing.

use std::path::Path;
use std::time::SystemTime;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Writes a file, and dates it: what is of a time to come counts as written just now, however long the
/// machine takes to look at it.
fn write(path: &Path, text: &str, modified: SystemTime) {
    fs::write(path, text).unwrap();
    fs::File::options().append(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// What is taken of a file that holds `text`, and how often was waited; each pause writes one of `later`.
fn start(text: &str, modified: SystemTime, later: &[&str]) -> (String, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, text, modified);
    let source = Source { path: path.clone(), max_bytes: 100 };
    let (mut pauses, mut writes) = (0, later.iter());
    let pause = || {
        pauses += 1;
        if let Some(text) = writes.next() {
            write(&path, text, modified);
        }
    };
    let (watch, text) = Watch::start_settled(source, Moment::default(), pause).unwrap();
    assert!(!watch.is_settling());
    (String::from_utf8(text).unwrap(), pauses)
}

#[test]
fn a_file_that_is_being_written_is_not_taken_by_half_at_the_start() {
    let (now, long_ago) = (SystemTime::now() + HOUR, SystemTime::now() - HOUR);
    assert_eq!(start("", now, &["grant", "grant deny"]), ("grant deny".to_owned(), 3));
    assert_eq!(start("grant", long_ago, &["grant deny"]), ("grant".to_owned(), 0));
}

#[test]
fn a_file_that_never_settles_is_taken_as_it_is() {
    let texts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(start("", SystemTime::now() + HOUR, &texts).1, SETTLE_TRIES);
}

#[test]
fn a_file_that_is_replaced_all_the_time_is_taken_in_the_end_and_one_that_is_being_written_is_not() {
    for (replaced, taken) in [(true, true), (false, false)] {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("file"), folder.path().join("new"));
        fs::write(&path, "first").unwrap();
        let source = Source { path: path.clone(), max_bytes: 100 };
        let (mut watch, _) = Watch::start(source, Moment::default()).unwrap();
        let mut found = None;
        for n in 0..3 * SETTLE_TRIES {
            let text = format!("text {n}");
            if replaced {
                fs::write(&new, &text).unwrap();
                fs::rename(&new, &path).unwrap();
            } else {
                fs::write(&path, &text).unwrap();
            }
            let now = Moment::default().plus(SETTLE * u32::try_from(n).unwrap());
            if let Seen::New(seen, _) = watch.look(now, true) {
                assert_eq!(seen, text.into_bytes());
                watch.taken();
                found = Some(n);
                break;
            }
        }
        assert_eq!(found.is_some(), taken, "{found:?}");
        assert!(found.is_none_or(|n| n >= SETTLE_TRIES));
    }
}
