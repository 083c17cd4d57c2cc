//! Flags, environment and file: priority, unknown and invalid settings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::listeners::folder;
use crate::support::doorward::{Doorward, command, doorward};
use crate::support::process::{Output, run};
use crate::support::users;

/// Returns a folder with a valid htpasswd file and a settings file.
fn with_settings(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = folder();
    let path = dir.path().join("doorward.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// Runs `check` with a valid htpasswd file, these variables and these flags.
fn check(dir: &Path, variables: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command: Command = command();
    command.arg("check").arg("--htpasswd").arg(dir.join("htpasswd")).args(flags);
    command.envs(variables.iter().copied());
    run(command)
}

#[test]
fn command_line_has_priority_over_environment_and_file() {
    // The error about an invalid value names the source that was read.
    let (dir, config) = with_settings("realm = \"basic file\"\n");
    let config = config.to_str().unwrap();
    let variables = [("DOORWARD_REALM", "basic variable"), ("DOORWARD_CONFIG", config)];
    let said = |variables: &[(&str, &str)], flags: &[&str]| {
        let said = check(dir.path(), variables, flags).stderr;
        assert!(said.lines().count() <= 1, "only the one that counts is read: {said}");
        said
    };
    assert_eq!(said(&[], &[]), "", "the default is good");
    assert!(said(&[], &["--config", config]).starts_with(&format!("doorward: {config}:1:9: ")));
    assert!(said(&variables[1..], &[]).starts_with(&format!("doorward: {config}:1:9: ")));
    assert!(said(&variables, &[]).starts_with("doorward: DOORWARD_REALM: "));
    assert!(said(&variables, &["--realm", "basic flag"]).starts_with("doorward: --realm: "));
    assert_eq!(said(&variables, &["--realm", "good"]), "");
    // If both name a file, the command line has priority over the environment.
    let other = dir.path().join("other.toml");
    std::fs::write(&other, "").unwrap();
    assert_eq!(said(&variables[1..], &["--config", other.to_str().unwrap()]), "");
}

#[test]
fn setting_from_each_source_takes_effect() {
    let (_dir, config) = with_settings("realm = \"of the file\"\n[throttle]\nuser_failures = 1\n");
    let flags = ["--config", config.to_str().unwrap()];
    let challenge = |doorward: &Doorward| {
        let answer = doorward.ask(&crate::support::client::Request::auth());
        answer.header("www-authenticate").unwrap().to_owned()
    };
    let doorward = Doorward::start(&users::alice(), &flags);
    assert!(challenge(&doorward).contains("realm=\"of the file\""));
    assert_eq!(doorward.log_in("alice", "a", "192.0.2.1"), 401);
    assert_eq!(doorward.log_in("alice", "b", "192.0.2.1"), 403, "the file's limit of one failure");
    let doorward = Doorward::start(&users::alice(), &[&flags[..], &["--realm", "of the flag"]].concat());
    assert!(challenge(&doorward).contains("realm=\"of the flag\""));
}

#[test]
fn several_errors_are_reported_at_once_with_their_places() {
    let text = "realm = \"x\"\nlisten = [\"127.0.0.1:0\", \"nowhere\"]\nhtpaswd = \"x\"\n\n[cache]\n  max_entries = 0\nttl = \"1h\"\nidle_timeout = \"soon\"\n[throttle]\nuser_failures = 99\n";
    let (dir, config) = with_settings(text);
    let config = config.to_str().unwrap();
    let output = check(dir.path(), &[("DOORWARD_LOG_LEVEL", "loud")], &["--config", config]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    let wanted = [
        format!("{config}:2:26: listen: value 2 of 2: must be IP:PORT"),
        format!("{config}:3:1: unknown key \"htpaswd\"; did you mean \"htpasswd.file\"?"),
        format!("{config}:6:17: cache.max_entries: must be a whole number from 1 to 10000000"),
        format!("{config}:7:1: unknown key \"cache.ttl\"; did you mean \"cache.idle_timeout\"?"),
        format!("{config}:8:16: cache.idle_timeout: must be a duration such as 500ms, 10s, 5m or 12h"),
        format!(
            "{config}:10:17: throttle.user_failures: the value is above throttle.network_failures, which would always be reached first"
        ),
        "DOORWARD_LOG_LEVEL: must be error, warn, info or debug".to_owned(),
    ];
    for want in &wanted {
        let want = format!("doorward: {want}");
        assert!(
            lines.iter().any(|line| line.starts_with(&want)),
            "wanted: {want}\n   got: {}",
            output.stderr
        );
    }
    assert_eq!(lines.len(), wanted.len(), "{}", output.stderr);
}

#[test]
fn settings_file_with_invalid_toml_is_reported_with_the_place() {
    let (dir, config) = with_settings("realm = \"x\"\nlisten = [\"127.0.0.1:0\"\nhtpasswd = x\n");
    let config = config.to_str().unwrap();
    let output = check(dir.path(), &[], &["--config", config]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.starts_with(&format!("doorward: {config}:3:")), "{output:?}");
}

#[test]
fn unreadable_settings_file_is_named() {
    let dir = folder();
    let not_utf8 = dir.path().join("latin1.toml");
    fs::write(&not_utf8, b"realm = \"caf\xe9\"\n").unwrap();
    for (path, words) in [
        (dir.path().join("nowhere.toml"), "the file does not exist"),
        (dir.path().to_owned(), "it is a directory, not a file"),
        (not_utf8, "it is not UTF-8"),
    ] {
        let output = check(dir.path(), &[], &["--config", path.to_str().unwrap()]);
        assert_eq!(output.code, Some(1), "{output:?}");
        let line = format!("doorward: {}:1:1: the settings file cannot be read: {words}\n", path.display());
        assert_eq!(output.stderr, line);
    }
}

#[test]
fn unknown_variable_is_an_error_that_suggests_the_right_one() {
    let dir = folder();
    let cases = [
        ("DOORWARD_HTPASSWORD", "DOORWARD_HTPASSWD"),
        ("DOORWARD_TRUSTED_PROXIES", "DOORWARD_TRUSTED_PEERS"),
        ("DOORWARD_CACHE_TTL", "DOORWARD_CACHE_IDLE_TIMEOUT"),
        ("DOORWARD_THROTTLE_USER_FAILURE", "DOORWARD_THROTTLE_USER_FAILURES"),
    ];
    for (wrong, right) in cases {
        let output = check(dir.path(), &[(wrong, "1")], &[]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(
            output.stderr,
            format!("doorward: {wrong}: unknown variable; did you mean \"{right}\"?\n")
        );
    }
}

#[test]
fn unknown_flag_exits_2_and_suggests_the_right_one() {
    let dir = folder();
    let output = check(dir.path(), &[], &["--trusted-peer", "127.0.0.1"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--trusted-peers"), "{output:?}");
    let output = check(dir.path(), &[], &["--cache-idle-timeout", "soon"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert_eq!(
        output.stderr,
        "doorward: --cache-idle-timeout: must be a duration such as 500ms, 10s, 5m or 12h\n"
    );
}

#[test]
fn variables_of_kubernetes_and_docker_are_ignored_pitfall_p45() {
    let dir = folder();
    let injected = [
        ("DOORWARD_PORT", "tcp://10.96.0.17:8000"),
        ("DOORWARD_SERVICE_HOST", "10.96.0.17"),
        ("DOORWARD_SERVICE_PORT", "8000"),
        ("DOORWARD_SERVICE_PORT_HTTP", "8000"),
        ("DOORWARD_PORT_8000_TCP", "tcp://10.96.0.17:8000"),
        ("DOORWARD_PORT_8000_TCP_PROTO", "tcp"),
        ("DOORWARD_PORT_8000_TCP_PORT", "8000"),
        ("DOORWARD_PORT_8000_TCP_ADDR", "10.96.0.17"),
        ("DOORWARD_ADMIN_SERVICE_HOST", "10.96.0.18"),
        ("DOORWARD_ADMIN_PORT", "tcp://10.96.0.18:9000"),
        ("DOORWARD_NAME", "/app/doorward"),
        ("DOORWARD_ENV_PATH", "/bin"),
        ("DOORWARD_REALM", ""),
    ];
    let output = check(dir.path(), &injected, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    // A plausible but unknown name is still an error.
    let output = check(dir.path(), &[("DOORWARD_PORT", "8000")], &[]);
    assert_eq!(
        output.stderr,
        "doorward: DOORWARD_PORT: unknown variable; did you mean \"DOORWARD_LISTEN\"?\n"
    );
}

/// Returns the variables with this prefix that the text takes from the environment of compose, as in
/// `${NAME:-default}`.
fn taken_by_compose(text: &str, prefix: &str) -> BTreeSet<String> {
    let start = format!("${{{prefix}");
    let after = text.match_indices(&start).map(|(at, _)| &text[at + 2..]);
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    after.map(|rest| rest.bytes().take_while(|byte| is_name(*byte)).map(char::from).collect()).collect()
}

#[test]
fn env_file_with_every_compose_variable_is_valid_field_o10() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = fs::read_dir(root.join("compose")).unwrap().map(|entry| entry.unwrap().path());
    let files = beside.chain([root.join("compose.yaml"), root.join("compose.override.yaml")]);
    let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let names = taken_by_compose(&text, "DOORWARD_");
    assert!(names.contains("DOORWARD_IMAGE") && names.contains("DOORWARD_POLICY"), "{names:?}");
    let dir = folder();
    for name in names.iter().map(String::as_str).chain(["DOORWARD_IMAGE", "DOORWARD_TEST_SCALE"]) {
        let said = check(dir.path(), &[(name, "some.example/image:1")], &[]).stderr;
        assert!(!said.contains("unknown variable"), "{name}: {said}");
    }
    // Similar names are still errors.
    for name in ["DOORWARD_IMAGES", "DOORWARD_IMAGE_", "DOORWARD_TEST_SCALES", "DOORWARD_PUBLISH"] {
        let said = check(dir.path(), &[(name, "x")], &[]).stderr;
        assert!(said.starts_with(&format!("doorward: {name}: unknown variable")), "{said}");
    }
    // The command that writes the configuration of nginx also accepts the variables of compose.
    let names = taken_by_compose(&text, "NGX_DOORWARD_");
    assert!(names.contains("NGX_DOORWARD_PUBLISH"), "{names:?}");
    for name in names.iter().map(String::as_str) {
        let said = proxy_config(&[(name, "x")]).stderr;
        assert!(!said.contains("unknown variable"), "{name}: {said}");
    }
    let said = proxy_config(&[("NGX_DOORWARD_PUBLISHED", "x")]).stderr;
    assert!(said.starts_with("doorward: NGX_DOORWARD_PUBLISHED: unknown variable"), "{said}");
}

/// Runs `doorward proxy-config nginx` with these variables.
fn proxy_config(variables: &[(&str, &str)]) -> Output {
    let mut command: Command = command();
    command.args(["proxy-config", "nginx"]).envs(variables.iter().copied());
    run(command)
}

/// Returns the versions of nginx in a file for compose: each default in the text of an image or an option.
fn nginx_versions(text: &str) -> Vec<&str> {
    let starts =
        text.match_indices("${NGX_DOORWARD_NGINX_VERSION").map(|(at, start)| &text[at + start.len()..]);
    starts.map(|rest| rest.split('}').next().unwrap()).collect()
}

#[test]
fn every_nginx_of_the_compose_files_has_the_version_that_the_command_gets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = fs::read_dir(root.join("compose")).unwrap().map(|entry| entry.unwrap().path());
    for path in beside.chain([root.join("compose.yaml"), root.join("compose.override.yaml")]) {
        let text = fs::read_to_string(&path).unwrap();
        for image in text.lines().filter(|line| line.contains("image:") && line.contains("nginx:")) {
            assert!(
                image.ends_with(" nginx:${NGX_DOORWARD_NGINX_VERSION:-1.28}"),
                "{}: {image}",
                path.display()
            );
        }
        assert!(nginx_versions(&text).iter().all(|default| *default == ":-1.28"), "{}", path.display());
    }
    let main = fs::read_to_string(root.join("compose.yaml")).unwrap();
    assert_eq!(nginx_versions(&main).len(), 2, "the option and the image");
}

#[test]
fn setting_name_of_another_program_is_answered_with_the_own_name() {
    let renamed = [
        ("bind", "listen"),
        ("users_file", "htpasswd.file"),
        ("trusted_proxies", "trusted_peers"),
        ("proxy", "dialects"),
        ("upstream_secret_file", "proxy_secret_file"),
    ];
    for (wrong, right) in renamed {
        let (dir, config) = with_settings(&format!("{wrong} = \"x\"\n"));
        let config = config.to_str().unwrap();
        let output = check(dir.path(), &[], &["--config", config]);
        assert_eq!(
            output.stderr,
            format!("doorward: {config}:1:1: unknown key \"{wrong}\"; did you mean \"{right}\"?\n")
        );
        assert_eq!(output.code, Some(1));
    }
}

#[test]
fn check_reports_errors_of_settings_and_htpasswd_in_one_run() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("htpasswd"), "mallory:$apr1$\n").unwrap();
    let output = check(dir.path(), &[("DOORWARD_CACHE_TTL", "1h")], &[]);
    assert_eq!(output.code, Some(1));
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("DOORWARD_CACHE_TTL"), "{said}");
    assert!(said.contains(":1:9: the $apr1$ hash"), "every fault at once: {said}");
}

#[test]
fn doorward_without_arguments_prints_usage() {
    let output = doorward(&[]);
    assert_eq!(output.code, Some(2));
    for word in ["serve", "check", "health", "completions"] {
        assert!(output.stderr.contains(word), "{output:?}");
    }
}
