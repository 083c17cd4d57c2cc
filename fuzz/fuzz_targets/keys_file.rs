//! The file of keys: whatever stands in it, each line is a key, a fault or neither, no id is told twice, and
//! what is removed is gone; and whatever is presented, only what was written down is a key.

#![no_main]

use std::sync::Arc;

use doorward::authn::api_key::file::{Found, parse};
use doorward::authn::api_key::format::{Id, Presented, is_key};
use doorward::authn::api_key::{Keys, Rules, edit};
use doorward::permissions::api_key_scope::Scope;
use doorward::permissions::{Actions, Object};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000;

fuzz_target!(|text: &[u8]| {
    let by: Arc<str> = "keys".into();
    let parsed = parse(text, &by, None);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(parsed.bad + parsed.file.records().count() <= lines);
    assert!(parsed.faults.len() <= parsed.bad);
    for fault in &parsed.faults {
        assert!((1..=lines).contains(&fault.line) && !fault.what.is_empty());
        assert!(!fault.what.contains(char::is_control), "{:?}", fault.what);
    }
    for line in edit::lines(text) {
        let Some(id) = Id::parse(&line.id) else { continue };
        match parsed.file.find(&id) {
            Some(Found::Key(record)) => {
                assert_eq!(record.identity.user.as_bytes(), line.owner.as_bytes());
                assert_eq!(record.identity.scope().is_some(), line.scope.is_some());
                assert_eq!(record.digest.to_string(), line.hash.to_lowercase());
            }
            Some(Found::Bad(_)) => {}
            None => panic!("a line that can be read is known, well or not: {line:?}"),
        }
        let (rest, removed) = edit::remove(text, |other| other.id == line.id);
        assert!(removed > 0 && edit::lines(&rest).all(|other| other.id != line.id));
    }
    let file = parse(text, &by, Some(&parsed.file));
    assert_eq!(file.bad, parsed.bad);
    let keys = Keys::new(file.file, Rules::default());
    // Nobody finds a secret of which the file has the hash.
    assert!(keys.check(None, text, NOW, |_| true).is_err());
    assert!(Presented::read(text).is_none() || is_key(text));
    let texts = String::from_utf8_lossy(text);
    if let Ok(scope) = Scope::parse(texts.split('\n').take(8)) {
        for name in ["team", "app"] {
            let actions = scope.actions(&Object::Repository(&[name, "x"]));
            assert!(!actions.has_catalog());
        }
        assert!(scope.actions(&Object::Ping).is_empty());
        assert!(scope.actions(&Object::Path(&["x"], "GET")).without(Actions::PULL).is_empty());
    }
});
