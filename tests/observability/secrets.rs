//! No output contains a secret.

mod config;
mod leaking_service;
mod marks;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use self::leaking_service::{KINDS, NO, VARIANTS};
use self::marks::{CollectedOutput, secret};
use crate::support::api::Api;
use crate::support::client::Request;
use crate::support::doorward::{Doorward, doorward};
use crate::support::{eventually, free_port};

/// A running doorward, the service that it calls, and all its output so far.
struct SecretsSetup {
    doorward: Doorward,
    service: Api,
    collected: CollectedOutput,
    settings: String,
    logins: u8,
    mended: usize,
}

impl SecretsSetup {
    fn start(format: &str) -> Self {
        let (dir, service) = (tempfile::tempdir().unwrap(), Api::start(leaking_service::answer));
        let settings = write(dir.path(), &service);
        let flags = ["--config", &settings, "--log-level", "debug", "--log-format", format];
        let more = [
            "--log-allowed-requests",
            "true",
            "--log-denials-per-second",
            "1000",
            "--hash-wait-timeout",
            "20s",
        ];
        // The failures of one case must not throttle the next one.
        let bounds = ["--throttle-user-failures", "1000", "--throttle-network-failures", "1000"];
        let time = ["--proxy-read-timeout", "100s", "--htpasswd-insecure-formats", "plain"];
        let all = [&flags[..], &more, &bounds, &time].concat();
        let doorward = Doorward::start_in(dir, &all);
        Self { doorward, service, collected: CollectedOutput::default(), settings, logins: 0, mended: 0 }
    }

    /// Sends a login as nginx does, each time from another network, and returns the status.
    fn log_in(&mut self, user: &str, password: &str) -> u16 {
        self.logins = self.logins.wrapping_add(1);
        let from = format!("192.0.2.{}", self.logins);
        let request = Request::auth().header("X-Original-URI", "/v2/").header("X-Original-Method", "GET");
        let answer = self.doorward.ask(&request.from(&from).basic(user, password));
        self.collected.keep(&format!("the answer to {user}"), format!("{answer:?}\n{}", answer.text()));
        for (name, value) in &answer.headers {
            self.collected.keep(&format!("the {name} for {user}"), value);
        }
        answer.status
    }

    /// Logs in until the authenticator is called again. If it counts as down, the next case would not reach
    /// it.
    fn mend(&mut self, variant: &str) {
        let password = secret(variant);
        eventually(&format!("{variant} is asked again"), || {
            self.mended += 1;
            // Each login uses another user, because the cache would answer otherwise.
            let user = format!("{variant}-good-{}", self.mended);
            (self.log_in(&user, &password) == 200).then_some(())
        });
    }

    /// Waits until the log has the refusal of this user. If the service failed, the line must give this
    /// reason.
    fn logged(&self, user: &str, detail: &str, status: u16) {
        let line = eventually(&format!("the log has {user}"), || {
            let (log, user) = (self.doorward.log(), user.to_owned() + "\"");
            log.lines()
                .find(|line| line.contains("request denied") && line.contains(&user))
                .map(str::to_owned)
        });
        assert!(status == 401 || line.contains(detail), "{user}: {detail}: {line}");
    }

    /// Collects all other outputs.
    fn collect(&mut self) {
        for path in ["/metrics", "/readyz", "/livez", "/nothing"] {
            let answer = self.doorward.admin(&Request::get(path));
            self.collected.keep(&format!("the private {path}"), format!("{answer:?}\n{}", answer.text()));
            let answer = self.doorward.ask(&Request::get(path));
            self.collected.keep(&format!("the public {path}"), format!("{answer:?}\n{}", answer.text()));
        }
        for flags in [&["check"][..], &["check", "--probe"]] {
            let all = [
                flags,
                &[
                    "--htpasswd-insecure-formats",
                    "plain",
                    "--hash-wait-timeout",
                    "5s",
                    "--config",
                    &self.settings,
                ],
            ];
            let all = [&all.concat()[..], &["--proxy-read-timeout", "100s"]].concat();
            let output = doorward(&all);
            assert_eq!(output.code, Some(1), "of the damaged lines: {output:?}");
            let said = output.stdout + &output.stderr;
            assert_eq!(said.contains("authenticator tls: "), flags.len() == 2, "{said}");
            self.collected.keep(&format!("{flags:?}"), said);
        }
        let log = self.doorward.log();
        self.collected.keep("the log", log);
    }
}

/// Writes the settings, the files that they name, and the htpasswd file. Returns the path of the settings.
fn write(dir: &Path, service: &Api) -> String {
    fs::write(dir.join("service-key"), secret("service-key") + "\n").unwrap();
    // Valid and damaged lines.
    let lines = [
        format!("staff:{{PLAIN}}{}", secret("staff")),
        format!("bare:{}", secret("bare")),
        format!("cut:$2y$04${}", secret("cut")),
        format!("odd:{{CRYPT}}{}", secret("odd")),
    ];
    fs::write(dir.join("htpasswd"), lines.join("\n") + "\n").unwrap();
    let unused = format!("http://127.0.0.1:{}", free_port());
    let text = config::text(dir, &service.url(), &unused);
    let path = dir.join("doorward.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn no_output_contains_a_secret_on_success_or_failure() {
    for format in ["text", "json"] {
        let mut setup = SecretsSetup::start(format);
        assert_eq!(setup.log_in("staff", &secret("staff")), 200);
        assert_eq!(setup.log_in("staff", &secret("wrong")), 401);
        for damaged in ["bare", "cut", "odd"] {
            assert_eq!(setup.log_in(damaged, &secret(damaged)), 401);
        }
        for variant in VARIANTS {
            setup.mend(variant);
            assert_eq!(setup.log_in(&format!("{variant}-known"), &secret("wrong")), 401, "{variant}");
            for (kind, detail) in KINDS {
                let (user, status) = (format!("{variant}-{kind}"), if detail == NO { 401 } else { 503 });
                assert_eq!(setup.log_in(&user, &secret(variant)), status, "{user}");
                setup.logged(&user, &format!("authenticator {variant}: {detail}"), status);
                setup.mend(variant);
            }
        }
        assert!(setup.service.count() > VARIANTS.len() * KINDS.len());
        // Unknown users reach the authenticator without a listener, until it counts as down.
        for n in 0..8 {
            assert_eq!(setup.log_in(&format!("nobody-{n}"), &secret("nobody")), 503);
            setup.logged(&format!("nobody-{n}"), "authenticator gone: ", 503);
        }
        assert!(setup.doorward.log().contains("authenticator gone: cannot connect: "));
        assert!(setup.doorward.log().contains("authenticator down"));
        // Passwords that cannot be encoded in a header, in JSON, or at all.
        for end in ["\r\nX-More: 1", " ", "\u{e9}", "\t", "{username}", "%00", "\\", "\""] {
            let status = setup.log_in("nobody", &(secret("strange") + end));
            assert!(matches!(status, 401 | 503), "{end:?}: {status}");
        }
        setup.collect();
        setup.collected.assert_clean(format);
    }
}

#[test]
fn settings_errors_contain_no_secret() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let mut collected = CollectedOutput::default();
    let service = Api::start(leaking_service::answer);
    for (file, faulty) in config::faulty(dir.path(), &service.url()) {
        let path = dir.path().join("faulty.toml");
        fs::write(&path, faulty).unwrap();
        let path = path.to_str().unwrap();
        let listen = ["--listen", "127.0.0.1:0"];
        for command in [&["check"][..], &["check", "--probe"], &[&["serve"], &listen[..]].concat()] {
            let output = doorward(&[command, &["--config", path]].concat());
            assert_eq!(output.code, Some(1), "{file}, {command:?}: {output:?}");
            assert!((output.stdout.clone() + &output.stderr).contains(&file), "{command:?}: {output:?}");
            collected.keep(&format!("{file}, {command:?}"), output.stdout + &output.stderr);
        }
    }
    collected.assert_clean("faults");
}
