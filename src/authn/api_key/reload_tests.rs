//! What a change of the file does, with a clock that the test moves.

use std::fs;

use super::*;
use crate::authn::api_key::file::Found;
use crate::authn::api_key::secret::Id;
use crate::clock::{Clock, Moment};
use crate::reload::{IN_FORCE_WITHIN, Reload, SETTLE};

fn line(id: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"hash\":\"sha256:{}\",\"owner\":\"alice\",\"name\":\"{id}\"}}\n",
        "0".repeat(64)
    )
}

struct House {
    folder: tempfile::TempDir,
    reloader: Reloader,
    clock: Clock,
    metrics: Arc<Metrics>,
}

fn house(text: &str) -> House {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    fs::write(&path, text).unwrap();
    let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::default()));
    let source = Source { path, max_bytes: 1 << 20 };
    let file = ApiKeyFile::new("keys".into(), Rules::default(), Arc::clone(&metrics));
    let reloader = Reloader::start(source, file, clock.now()).unwrap();
    House { folder, reloader, clock, metrics }
}

impl House {
    /// Writes, and looks until two reads agree.
    fn write(&mut self, text: &str) {
        fs::write(self.folder.path().join("keys"), text).unwrap();
        self.look();
        self.look();
    }

    fn look(&mut self) {
        self.clock.advance(SETTLE);
        self.reloader.look(self.clock.now(), true);
    }

    fn degraded(&self) -> Option<String> {
        self.reloader.health().degraded()
    }

    fn has(&self, id: &str) -> bool {
        matches!(self.reloader.kind().keys().file().find(&Id::parse(id).unwrap()), Some(Found::ApiKey(_)))
    }
}

#[test]
fn a_key_comes_and_goes_with_its_line() {
    let mut house = house(&line("aaaaaaaaaa"));
    house.write(&format!("{}{}", line("aaaaaaaaaa"), line("bbbbbbbbbb")));
    assert!(house.has("aaaaaaaaaa") && house.has("bbbbbbbbbb"));
    house.write(&line("bbbbbbbbbb"));
    assert!(!house.has("aaaaaaaaaa") && house.has("bbbbbbbbbb"));
    assert_eq!((house.metrics.api_keys.get(), house.metrics.api_keys_reloads.get()), (1, 2));
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_last_good_one_in_force() {
    let mut house = house(&line("aaaaaaaaaa"));
    house.write("garbage\n");
    assert!(house.has("aaaaaaaaaa"));
    assert!(house.degraded().unwrap().starts_with(PHRASE));
    assert_eq!((house.metrics.api_keys_outdated.get(), house.metrics.api_keys_reload_failures.get()), (1, 1));
    house.write(&format!("garbage\n{}", line("bbbbbbbbbb")));
    assert!(house.has("bbbbbbbbbb") && !house.has("aaaaaaaaaa"), "one good line makes a file");
    assert_eq!(house.degraded(), None);
    fs::remove_file(house.folder.path().join("keys")).unwrap();
    house.look();
    assert!(house.has("bbbbbbbbbb"));
    assert!(house.degraded().unwrap().starts_with(PHRASE));
}

#[test]
fn emptied_file_is_in_force_within_two_seconds_and_told_field_m3() {
    let mut house = house(&line("aaaaaaaaaa"));
    house.write("");
    assert!(house.has("aaaaaaaaaa"), "a tool may be between truncating and writing");
    house.clock.advance(IN_FORCE_WITHIN - 3 * SETTLE);
    house.look();
    assert!(!house.has("aaaaaaaaaa"));
    assert!(house.degraded().unwrap().starts_with(EMPTIED));
    house.write("# no keys\n");
    assert_eq!(house.degraded(), None, "it says so itself");
}

#[test]
fn at_the_start_a_file_without_keys_will_do_and_garbage_will_not() {
    assert!(!house("# none yet\n").has("aaaaaaaaaa"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let start = || {
        let source = Source { path: path.clone(), max_bytes: 1 << 20 };
        let file = ApiKeyFile::new("keys".into(), Rules::default(), Arc::default());
        Reloader::start(source, file, Moment::default())
    };
    assert!(matches!(start().err(), Some(KeysFault::Unreadable(ReadFault::Missing(_)))));
    fs::write(&path, "garbage\n").unwrap();
    assert!(matches!(start().err(), Some(KeysFault::Garbage(_, 1))));
}
