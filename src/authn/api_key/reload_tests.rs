//! Reloads of the API key file, with a manual clock.

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
    /// Writes the file, and polls until two reads agree.
    fn write(&mut self, text: &str) {
        fs::write(self.folder.path().join("keys"), text).unwrap();
        self.poll();
        self.poll();
    }

    fn poll(&mut self) {
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
    let mut fixture = reload_fixture(&line("aaaaaaaaaa"));
    fixture.write(&format!("{}{}", line("aaaaaaaaaa"), line("bbbbbbbbbb")));
    assert!(fixture.has("aaaaaaaaaa") && fixture.has("bbbbbbbbbb"));
    fixture.write(&line("bbbbbbbbbb"));
    assert!(!fixture.has("aaaaaaaaaa") && fixture.has("bbbbbbbbbb"));
    assert_eq!((fixture.metrics.api_keys.get(), fixture.metrics.api_keys_reloads.get()), (1, 2));
}

#[test]
fn invalid_file_keeps_the_last_valid_one_in_use() {
    let mut fixture = reload_fixture(&line("aaaaaaaaaa"));
    fixture.write("garbage\n");
    assert!(fixture.has("aaaaaaaaaa"));
    assert!(fixture.degraded().unwrap().starts_with(READINESS_MESSAGE));
    assert_eq!(
        (fixture.metrics.api_keys_outdated.get(), fixture.metrics.api_keys_reload_failures.get()),
        (1, 1)
    );
    fixture.write(&format!("garbage\n{}", line("bbbbbbbbbb")));
    assert!(fixture.has("bbbbbbbbbb") && !fixture.has("aaaaaaaaaa"), "one valid line is sufficient");
    assert_eq!(fixture.degraded(), None);
    fs::remove_file(fixture.folder.path().join("keys")).unwrap();
    fixture.poll();
    assert!(fixture.has("bbbbbbbbbb"));
    assert!(fixture.degraded().unwrap().starts_with(READINESS_MESSAGE));
}

#[test]
fn emptied_file_is_loaded_within_two_seconds_and_reported_field_m3() {
    let mut fixture = reload_fixture(&line("aaaaaaaaaa"));
    fixture.write("");
    assert!(fixture.has("aaaaaaaaaa"), "a tool may be between truncating and writing");
    fixture.clock.advance(RELOAD_DELAY_MAX - 3 * STABLE_TIME);
    fixture.poll();
    assert!(!fixture.has("aaaaaaaaaa"));
    assert!(fixture.degraded().unwrap().starts_with(EMPTY_FILE_MESSAGE));
    fixture.write("# no keys\n");
    assert_eq!(fixture.degraded(), None, "the comment marks the file as intentionally empty");
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
