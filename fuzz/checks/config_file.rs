//! Parses any text as a settings file. The result is settings or errors, and each error of the file has its place.

use crate::config::file::{ConfigFileContent, parse};
use crate::config::layers::ConfigLayers;
use crate::config::{ConfigError, ConfigOrigin, table};

const PATH: &str = "doorward.toml";

fn check_place(origin: &ConfigOrigin, text: &str) {
    let ConfigOrigin::File { path, line, column } = origin else {
        panic!("it is in the file, and nowhere else")
    };
    assert_eq!(path, PATH);
    // The last line may be the empty one behind the last line's end.
    let content = text.split('\n').nth(line - 1).expect("it is in a line of the file");
    assert!((1..=content.chars().count() + 1).contains(column));
}

fn check_error(fault: &ConfigError) {
    let text = fault.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?} is one line on stderr");
}

/// Runs the check with one input of the fuzzer.
pub fn run(text: &str) {
    let mut faults = Vec::new();
    let ConfigFileContent { values: given, authenticators: chain, upstreams, invalid_keys, proxy_config: _ } =
        parse(PATH, text, &mut faults);
    for fault in &faults {
        check_place(&fault.origin, text);
    }
    let mut keys: Vec<_> = given.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    assert!(keys.is_sorted_by(|a, b| a < b), "what is set twice is a fault");
    for (key, values) in &given {
        let setting = table::find_setting(key).expect("only settings that there are come through");
        assert!(setting.is_list || values.len() == 1);
        for value in values {
            check_place(&value.origin, text);
        }
    }
    let found = faults.len();
    let has_empty_list = given.iter().any(|(_, values)| values.is_empty());
    let layers = ConfigLayers {
        file: given.into_iter().collect(),
        authenticators: chain,
        upstreams,
        invalid_keys,
        errors: faults,
        ..ConfigLayers::default()
    };
    match layers.into_config() {
        Ok(settings) => {
            assert_eq!(found, 0);
            assert!(!settings.listen.is_empty());
        }
        Err(faults) => {
            assert!(faults.len() >= found.max(1));
            faults.iter().for_each(check_error);
            // An error without a place is about an empty list, or about a default in relation to something that was set.
            let has_place = faults.iter().any(|fault| matches!(fault.origin, ConfigOrigin::File { .. }));
            assert!(has_place || has_empty_list);
        }
    }
}
