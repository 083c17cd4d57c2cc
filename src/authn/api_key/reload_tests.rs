//! What a change of the file does, with a clock that the test moves.

use crate::reload::FileReloader;
use std::fs;

use super::*;
use crate::authn::api_key::file::ApiKeyMatch;
use crate::authn::api_key::format::ApiKeyId;
use crate::clock::{Clock, Moment};
use crate::reload::{PollFile, RELOAD_DELAY_MAX, STABLE_TIME};

fn line(id: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"hash\":\"sha256:{}\",\"owner\":\"alice\",\"name\":\"{id}\"}}\n",
        "0".repeat(64)
    )
}

struct ApiKeyReloadFixture {
    folder: tempfile::TempDir,
    reloader: FileReloader<ApiKeyFile>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

fn reload_fixture(text: &str) -> ApiKeyReloadFixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    fs::write(&path, text).unwrap();
    let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::default()));
    let source = SourceFile { path, max_bytes: 1 << 20 };
    let file = ApiKeyFile::new("keys".into(), ApiKeyRules::default(), Arc::clone(&metrics));
    let reloader = FileReloader::start(source, file, clock.now()).unwrap();
    ApiKeyReloadFixture { folder, reloader, clock, metrics }
}

impl ApiKeyReloadFixture {
    /// Writes, and looks until two reads agree.
    fn write(&mut self, text: &str) {
        fs::write(self.folder.path().join("keys"), text).unwrap();
        self.look();
        self.look();
    }

    fn look(&mut self) {
        self.clock.advance(STABLE_TIME);
        self.reloader.poll(self.clock.now(), true);
    }

    fn degraded(&self) -> Option<String> {
        self.reloader.health().degraded_message()
    }

    fn has(&self, id: &str) -> bool {
        matches!(
            self.reloader.target().api_keys().index().find(&ApiKeyId::parse(id).unwrap()),
            Some(ApiKeyMatch::ApiKey(_))
        )
    }
}

#[test]
fn adding_or_removing_a_line_adds_or_removes_the_key() {
    let mut house = reload_fixture(&line("aaaaaaaaaa"));
    house.write(&format!("{}{}", line("aaaaaaaaaa"), line("bbbbbbbbbb")));
    assert!(house.has("aaaaaaaaaa") && house.has("bbbbbbbbbb"));
    house.write(&line("bbbbbbbbbb"));
    assert!(!house.has("aaaaaaaaaa") && house.has("bbbbbbbbbb"));
    assert_eq!((house.metrics.api_keys.get(), house.metrics.api_keys_reloads.get()), (1, 2));
}

#[test]
fn invalid_file_keeps_the_last_valid_one_in_use() {
    let mut house = reload_fixture(&line("aaaaaaaaaa"));
    house.write("garbage\n");
    assert!(house.has("aaaaaaaaaa"));
    assert!(house.degraded().unwrap().starts_with(READINESS_MESSAGE));
    assert_eq!((house.metrics.api_keys_outdated.get(), house.metrics.api_keys_reload_failures.get()), (1, 1));
    house.write(&format!("garbage\n{}", line("bbbbbbbbbb")));
    assert!(house.has("bbbbbbbbbb") && !house.has("aaaaaaaaaa"), "one good line makes a file");
    assert_eq!(house.degraded(), None);
    fs::remove_file(house.folder.path().join("keys")).unwrap();
    house.look();
    assert!(house.has("bbbbbbbbbb"));
    assert!(house.degraded().unwrap().starts_with(READINESS_MESSAGE));
}

#[test]
fn emptied_file_is_loaded_within_two_seconds_and_reported_field_m3() {
    let mut house = reload_fixture(&line("aaaaaaaaaa"));
    house.write("");
    assert!(house.has("aaaaaaaaaa"), "a tool may be between truncating and writing");
    house.clock.advance(RELOAD_DELAY_MAX - 3 * STABLE_TIME);
    house.look();
    assert!(!house.has("aaaaaaaaaa"));
    assert!(house.degraded().unwrap().starts_with(EMPTY_FILE_MESSAGE));
    house.write("# no keys\n");
    assert_eq!(house.degraded(), None, "it says so itself");
}

#[test]
fn file_without_keys_is_accepted_at_start_and_garbage_is_rejected() {
    assert!(!reload_fixture("# none yet\n").has("aaaaaaaaaa"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let start = || {
        let source = SourceFile { path: path.clone(), max_bytes: 1 << 20 };
        let file = ApiKeyFile::new("keys".into(), ApiKeyRules::default(), Arc::default());
        FileReloader::start(source, file, Moment::default())
    };
    assert!(matches!(start().err(), Some(ApiKeyFileError::Unreadable(ReadError::Missing(_)))));
    fs::write(&path, "garbage\n").unwrap();
    assert!(matches!(start().err(), Some(ApiKeyFileError::NoApiKeyLines(_, 1))));
}
