//! Values from all layers, and the place and remedy of each error.

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::config::setting::ConfigValue;
use crate::config::table::SETTINGS;
use crate::config::{ListenAddress, array_of_tables, table, unknown_setting};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn flag(key: &'static str, text: &str) -> LayerValues {
    let origin = ConfigOrigin::Flag(key.to_owned());
    LayerValues::from([(key, vec![ConfigValue { text: text.to_owned(), origin }])])
}

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>().into_iter()
}

/// Returns the errors of a file, with `FILE` in place of its path.
fn errors_of(text: &str) -> Vec<String> {
    let file = file(text);
    let path = file.path().display().to_string();
    let errors = ConfigLayers::default().with_file(&path).into_config().unwrap_err();
    errors.iter().map(|error| error.to_string().replace(&path, "FILE")).collect()
}

#[test]
fn defaults_are_a_valid_config() {
    let config = ConfigLayers::default().into_config().unwrap();
    assert_eq!(config.listen, [ListenAddress::Tcp("127.0.0.1:8000".parse().unwrap())]);
    assert_eq!(config.cache.idle_timeout, Duration::from_secs(12 * 3600));
    assert_eq!(config.socket_mode, 0o660);
    assert_eq!(config.htpasswd.file, None);
}

#[test]
fn flag_overrides_variable_overrides_file_overrides_default() {
    let file = file("realm = \"file\"\nhtpasswd.file = \"file\"\n[cache]\nidle_timeout = \"1h\"\n");
    let config = ConfigLayers::with_flags(flag("realm", "flag"))
        .with_environment(variables(&[
            ("DOORWARD_REALM", "env"),
            ("DOORWARD_HTPASSWD", "env"),
            ("DOORWARD_SOCKET_MODE", ""),
        ]))
        .with_file(&file.path().display().to_string())
        .into_config()
        .unwrap();
    assert_eq!(config.realm, "flag");
    assert_eq!(config.htpasswd.file.as_ref().unwrap().display().to_string(), "env");
    assert_eq!(config.cache.idle_timeout, Duration::from_secs(3600));
    assert_eq!(config.cache.max_entries, 100_000);
}

#[test]
fn all_errors_are_reported_at_once_with_their_places() {
    let errors = errors_of(
        "listen = \"localhost\"\nrealm = \"my basic realm\"\n\n[hash]\n  threads = 0\n  wai = 3\n[cache]\nidle_timeout = 12\n",
    );
    assert_eq!(errors.len(), 5, "{errors:#?}");
    assert!(errors[0].starts_with("FILE:1:10"), "in the order of the file");
    assert!(
        errors.iter().any(|t| t == r#"FILE:6:3: unknown key "hash.wai"; did you mean "hash.wait_timeout"?"#)
    );
    assert!(errors.iter().any(|t| t.starts_with("FILE:1:10: listen: must be IP:PORT")));
    assert!(errors.iter().any(|t| t.starts_with("FILE:2:9: realm: must not contain the word \"basic\"")));
    assert!(errors.iter().any(|t| t.starts_with("FILE:5:13: hash.threads: must be a whole number from 1")));
    assert!(errors.iter().any(|t| t.starts_with("FILE:8:16: cache.idle_timeout: must be a duration")));
}

#[test]
fn invalid_toml_is_reported_with_its_place() {
    let errors = errors_of("realm = \"x\"\nlisten = [\n");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("FILE:"), "{errors:?}");
}

#[test]
fn setting_given_twice_is_an_error_in_every_notation() {
    assert_eq!(errors_of("[cache]\nidle_timeout = \"1h\"\nidle_timeout = \"2h\"\n").len(), 1);
    // Otherwise the later one would be used without an error.
    assert_eq!(errors_of("\"cache.idle_timeout\" = \"1h\"\n[cache]\nidle_timeout = \"2h\"\n").len(), 1);
}

#[test]
fn unknown_name_is_an_error_that_names_the_right_setting() {
    assert!(
        errors_of("users_file = \"x\"\n")[0]
            .ends_with(r#" unknown key "users_file"; did you mean "htpasswd.file"?"#)
    );
    assert!(
        errors_of("trusted_proxies = \"x\"\n")[0]
            .ends_with(r#" unknown key "trusted_proxies"; did you mean "trusted_peers"?"#)
    );
    let errors = ConfigLayers::default()
        .with_environment(variables(&[("DOORWARD_USERS_FILE", "x")]))
        .into_config()
        .unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        r#"DOORWARD_USERS_FILE: unknown variable; did you mean "DOORWARD_HTPASSWD"?"#
    );
}

#[test]
fn list_without_a_value_in_a_variable_does_not_hide_the_list_of_the_file() {
    let trusted = |text: &str| {
        let mut layers =
            ConfigLayers::default().with_environment(variables(&[("DOORWARD_TRUSTED_PEERS", text)]));
        layers.file = flag("trusted_peers", "192.0.2.7");
        layers.into_config().unwrap().trusted_peers.len()
    };
    for blank in ["", " ", ",", " , "] {
        assert_eq!(trusted(blank), 1, "{blank:?}");
    }
    assert_eq!(trusted("192.0.2.8,,192.0.2.9,"), 2);
}

#[test]
fn variables_injected_by_kubernetes_and_docker_are_ignored_and_no_others() {
    let injected = [
        ("DOORWARD_PORT", "tcp://10.0.0.1:8000"),
        ("DOORWARD_SERVICE_HOST", "10.0.0.1"),
        ("DOORWARD_SERVICE_PORT", "8000"),
        ("DOORWARD_SERVICE_PORT_HTTP", "8000"),
        ("DOORWARD_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("DOORWARD_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("DOORWARD_ADMIN_SERVICE_HOST", "10.0.0.1"),
        ("DOORWARD_ADMIN_PORT", "tcp://10.0.0.1:8001"),
        ("DOORWARD_NAME", "/nginx/doorward"),
        ("DOORWARD_ENV_PATH", "/bin"),
    ];
    ConfigLayers::default().with_environment(variables(&injected)).into_config().unwrap();
    for written in [("DOORWARD_PORT", "8000"), ("DOORWARD_HASH_PORT", "8000"), ("DOORWARD_CACHE", "x")] {
        assert!(
            ConfigLayers::default().with_environment(variables(&[written])).into_config().is_err(),
            "{written:?}"
        );
    }
}

#[test]
fn listener_beyond_loopback_requires_trusted_peers() {
    for open in ["0.0.0.0:8000", "[::]:8000", "192.0.2.1:8000"] {
        let errors = ConfigLayers::with_flags(flag("listen", open)).into_config().unwrap_err();
        assert!(errors[0].to_string().contains("set trusted_peers"), "{errors:?}");
    }
    for closed in ["127.0.0.1:8000", "[::1]:8000", "unix:/run/doorward.sock"] {
        assert!(ConfigLayers::with_flags(flag("listen", closed)).into_config().is_ok());
    }
    let mut trusting = flag("listen", "0.0.0.0:8000");
    trusting.extend(flag("trusted_peers", "192.0.2.7"));
    assert!(ConfigLayers::with_flags(trusting.clone()).into_config().is_ok());
    trusting.extend(flag("trusted_peers", "0.0.0.0/0"));
    assert!(ConfigLayers::with_flags(trusting).into_config().is_err());
}

#[test]
fn every_setting_has_a_unique_flag_and_variable() {
    let mut flags: Vec<_> = SETTINGS.iter().map(|setting| setting.flag()).collect();
    let mut variables: Vec<_> =
        SETTINGS.iter().map(|setting| setting.variable_with_prefix("DOORWARD_")).collect();
    flags.sort();
    flags.dedup();
    variables.sort();
    variables.dedup();
    assert_eq!((flags.len(), variables.len()), (SETTINGS.len(), SETTINGS.len()));
    for (old, new) in unknown_setting::RENAMED {
        assert!(table::find_setting(old).is_none() && table::find_setting(new).is_some(), "{old} {new}");
    }
}

#[test]
fn readme_lists_every_setting_with_its_default() {
    let readme = include_str!("../../README.md");
    for setting in SETTINGS {
        let default =
            if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        let row = format!("| `{}` | {default} | {} |", setting.key, setting.help);
        assert!(readme.contains(&row), "README.md lacks: {row}");
    }
    let reloadable: Vec<String> =
        SETTINGS.iter().filter(|s| s.is_reloadable).map(|s| format!("`{}`", s.key)).collect();
    let sentence = format!("SIGHUP applies changes of {}.", reloadable.join(", "));
    assert!(readme.contains(&sentence), "README.md lacks: {sentence}");
}

#[test]
fn every_default_can_be_parsed_and_every_setting_compared() {
    let defaults = ConfigLayers::default().into_config().unwrap();
    assert!(defaults.differing_settings(&defaults).is_empty());
    for (key, text) in [
        ("listen", "127.0.0.1:1"),
        ("realm", "x"),
        ("token.service", "x"),
        ("throttle.window", "5m"),
        ("log.level", "debug"),
    ] {
        let changed = ConfigLayers::with_flags(flag(key, text)).into_config().unwrap();
        let differing: Vec<&str> = defaults.differing_settings(&changed).iter().map(|s| s.key).collect();
        assert_eq!(differing, [key]);
    }
}

#[test]
fn invalid_value_is_replaced_by_the_default_in_a_partial_config_only() {
    let layers = ConfigLayers::with_flags(flag("cache.max_entries", "none"));
    let (values, errors) = layers.clone().into_partial_config();
    assert_eq!((values.cache.max_entries, errors.len()), (100_000, 1));
    assert!(layers.into_config().is_err());
}

#[test]
fn every_renamed_setting_is_reported_with_its_replacement_in_one_run() {
    let text: String = unknown_setting::RENAMED.iter().map(|(old, _)| format!("{old} = \"x\"\n")).collect();
    let errors = errors_of(&text);
    for (number, (old, new)) in (1..).zip(unknown_setting::RENAMED) {
        let error = format!("FILE:{number}:");
        let named = format!(" unknown key \"{old}\"; did you mean \"{new}\"?");
        assert!(
            errors.iter().any(|line| line.starts_with(&error) && line.ends_with(&named)),
            "{old}: {errors:#?}"
        );
        let variable = format!("DOORWARD_{}", old.replace('.', "_").to_uppercase());
        let is_variable_of_a_setting =
            SETTINGS.iter().any(|setting| setting.variable_with_prefix("DOORWARD_") == variable);
        let layers = ConfigLayers::default().with_environment(variables(&[(&variable, "x")]));
        let right = table::find_setting(new).unwrap().variable_with_prefix("DOORWARD_");
        let line = format!("{variable}: unknown variable; did you mean \"{right}\"?");
        let is_reported = layers.errors.iter().any(|error| error.to_string() == line);
        assert_eq!(is_reported, !is_variable_of_a_setting, "{line}");
    }
    assert_eq!(errors.len(), unknown_setting::RENAMED.len(), "{errors:#?}");
}

#[test]
fn every_renamed_key_of_a_table_is_reported_with_its_replacement() {
    for (old, new) in array_of_tables::RENAMED_TABLE_KEYS {
        let (kind, more) = match *new {
            "allow_anonymous" => ("upstream", "type = \"none\""),
            _ => ("authenticator", "type = \"http\"\nurl = \"https://a/b\""),
        };
        let text = match *new {
            "name_pointer" => format!("[[authenticator]]\n{more}\n[[authenticator.groups]]\n{old} = 1\n"),
            _ => format!("[[{kind}]]\n{more}\n{old} = 1\n"),
        };
        let errors = errors_of(&text);
        let named = format!("unknown key \"{old}\"; did you mean \"{new}\"?");
        assert!(errors.iter().any(|error| error.ends_with(&named)), "{old}: {errors:?}");
    }
}

#[test]
fn error_with_control_characters_is_one_escaped_line() {
    let errors = errors_of("[cache]\nidle_timeout = \"1\\n2\\u001b[2J\\u0085\"\n\"a\\nb\" = 1\n");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|line| !line.contains(char::is_control)), "{errors:?}");
    // A value is not quoted. A key is quoted if it resembles a setting.
    assert!(errors.iter().all(|line| !line.contains("[2J")), "{errors:?}");
    assert!(errors.iter().any(|line| line.contains(r"cache.a\nb")), "{errors:?}");
}
