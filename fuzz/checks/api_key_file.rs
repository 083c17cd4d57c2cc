//! Parses any text as an API key file. Each line is a key, an error or neither, and no ID occurs twice. A removed key is
//! gone, and only a key of the file is accepted.

use std::sync::Arc;

use crate::authn::api_key::file::{ApiKeyMatch, parse};
use crate::authn::api_key::format::{ApiKeyId, PresentedApiKey, has_api_key_prefix};
use crate::authn::api_key::{ApiKeyRules, ApiKeys, edit};
use crate::permissions::actions::Actions;
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::permissions::resource::Resource;

const NOW: u64 = 1_700_000_000;

/// Runs the check with one input of the fuzzer.
pub fn run(text: &[u8]) {
    let by: Arc<str> = "keys".into();
    let parsed = parse(text, &by, None);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(parsed.invalid_lines + parsed.index.records().count() <= lines);
    assert!(parsed.line_errors.len() <= parsed.invalid_lines);
    for fault in &parsed.line_errors {
        assert!((1..=lines).contains(&fault.line) && !fault.message.is_empty());
        assert!(!fault.message.contains(char::is_control), "{:?}", fault.message);
    }
    for line in edit::parse_lines(text) {
        let Some(id) = ApiKeyId::parse(&line.id) else { continue };
        match parsed.index.find(&id) {
            Some(ApiKeyMatch::ApiKey(record)) => {
                assert_eq!(record.identity.user.as_bytes(), line.owner.as_bytes());
                assert_eq!(record.identity.scope().is_some(), line.scope.is_some());
                assert_eq!(record.digest.to_string(), line.hash.to_lowercase());
            }
            Some(ApiKeyMatch::InvalidLine(_)) => {}
            None => panic!("a line that can be read is known, well or not: {line:?}"),
        }
        let (rest, removed) = edit::remove_lines(text, |other| other.id == line.id);
        assert!(removed > 0 && edit::parse_lines(&rest).all(|other| other.id != line.id));
    }
    let file = parse(text, &by, Some(&parsed.index));
    assert_eq!(file.invalid_lines, parsed.invalid_lines);
    let keys = ApiKeys::new(file.index, ApiKeyRules::default());
    // The text is not the secret of any hash in the file.
    assert!(keys.authenticate(None, text, NOW, |_| true).is_err());
    assert!(PresentedApiKey::parse(text).is_none() || has_api_key_prefix(text));
    let texts = String::from_utf8_lossy(text);
    if let Ok(scope) = ApiKeyScope::parse(texts.split('\n').take(8)) {
        for name in ["team", "app"] {
            let actions = scope.permitted_actions(&Resource::Repository(&[name, "x"]));
            assert!(!actions.has_catalog());
        }
        assert!(scope.permitted_actions(&Resource::Ping).is_empty());
        assert!(scope.permitted_actions(&Resource::Path(&["x"], "GET")).difference(Actions::PULL).is_empty());
    }
}
