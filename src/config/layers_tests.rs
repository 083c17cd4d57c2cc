//! Settings from all layers, and every fault with its place and its remedy.

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::config::ListenAddress;

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

/// The faults of a file, with its path cut off.
fn faults(text: &str) -> Vec<String> {
    let file = file(text);
    let path = file.path().display().to_string();
    let faults = ConfigLayers::default().with_file(&path).into_config().unwrap_err();
    faults.iter().map(|fault| fault.to_string().replace(&path, "FILE")).collect()
}

#[test]
fn defaults_are_a_valid_config() {
    let settings = ConfigLayers::default().into_config().unwrap();
    assert_eq!(settings.listen, [ListenAddress::Tcp("127.0.0.1:8000".parse().unwrap())]);
    assert_eq!(settings.cache.idle_timeout, Duration::from_secs(12 * 3600));
    assert_eq!(settings.socket_mode, 0o660);
    assert_eq!(settings.htpasswd.file, None);
}

#[test]
fn flag_overrides_variable_overrides_file_overrides_default() {
    let file = file("realm = \"file\"\nhtpasswd.file = \"file\"\n[cache]\nidle_timeout = \"1h\"\n");
    let settings = ConfigLayers::with_flags(flag("realm", "flag"))
        .with_environment(variables(&[
            ("DOORWARD_REALM", "env"),
            ("DOORWARD_HTPASSWD", "env"),
            ("DOORWARD_SOCKET_MODE", ""),
        ]))
        .with_file(&file.path().display().to_string())
        .into_config()
        .unwrap();
    assert_eq!(settings.realm, "flag");
    assert_eq!(settings.htpasswd.file.as_ref().unwrap().display().to_string(), "env");
    assert_eq!(settings.cache.idle_timeout, Duration::from_secs(3600));
    assert_eq!(settings.cache.max_entries, 100_000);
}

#[test]
fn all_errors_are_reported_at_once_with_their_places() {
    let told = faults(
        "listen = \"localhost\"\nrealm = \"my basic realm\"\n\n[hash]\n  threads = 0\n  wai = 3\n[cache]\nidle_timeout = 12\n",
    );
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(told[0].starts_with("FILE:1:10"), "in the order of the file");
    assert!(
        told.iter()
            .any(|t| t == "FILE:6:3: hash.wai: there is no such setting; you may mean hash.wait_timeout")
    );
    assert!(told.iter().any(|t| t.starts_with("FILE:1:10: listen: it is not an address")));
    assert!(told.iter().any(|t| t.starts_with("FILE:2:9: realm: the realm has the word \"basic\"")));
    assert!(told.iter().any(|t| t.starts_with("FILE:5:13: hash.threads: it is not a whole number from 1")));
    assert!(told.iter().any(|t| t.starts_with("FILE:8:8: cache.idle_timeout: it is not a span of time")));
}

#[test]
fn invalid_toml_is_reported_with_its_place() {
    let told = faults("realm = \"x\"\nlisten = [\n");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("FILE:"), "{told:?}");
}

#[test]
fn setting_given_twice_is_an_error_in_every_notation() {
    assert_eq!(faults("[cache]\nidle_timeout = \"1h\"\nidle_timeout = \"2h\"\n").len(), 1);
    // Found by the fuzzer: the later of the two counted, in silence.
    assert_eq!(faults("\"cache.idle_timeout\" = \"1h\"\n[cache]\nidle_timeout = \"2h\"\n").len(), 1);
}

#[test]
fn unknown_name_is_an_error_that_names_the_right_setting() {
    assert!(faults("users_file = \"x\"\n")[0].ends_with("you may mean htpasswd"));
    assert!(faults("trusted_proxies = \"x\"\n")[0].ends_with("you may mean trusted_peers"));
    let told = ConfigLayers::default()
        .with_environment(variables(&[("DOORWARD_USERS_FILE", "x")]))
        .into_config()
        .unwrap_err();
    assert_eq!(
        told[0].to_string(),
        "DOORWARD_USERS_FILE: there is no such setting; you may mean DOORWARD_HTPASSWD"
    );
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
        let told = ConfigLayers::with_flags(flag("listen", open)).into_config().unwrap_err();
        assert!(told[0].to_string().contains("set trusted_peers"), "{told:?}");
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
    let mut variables: Vec<_> = SETTINGS.iter().map(|setting| setting.variable()).collect();
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
}

#[test]
fn error_with_control_characters_is_one_escaped_line() {
    let told = faults("[cache]\nidle_timeout = \"1\\n2\\u001b[2J\\u0085\"\n\"a\\nb\" = 1\n");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|line| !line.contains(char::is_control)), "{told:?}");
    // A value is not quoted; a key is, if it resembles one.
    assert!(told.iter().all(|line| !line.contains("[2J")), "{told:?}");
    assert!(told.iter().any(|line| line.contains(r"cache.a\nb")), "{told:?}");
}
