//! Random option sets: the command refuses each with a reason, or writes a configuration that nginx accepts, and in which no
//! value has become a directive. Some of them are started, and pass requests of a guard.

mod generate;
mod guard;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::started::{nginx_command, write_command, write_main_file};
use crate::support::backend::Authority;
use crate::support::nginx::shipped;
use crate::support::process::run;
use crate::support::scale::scaled;
use generate::{Files, OptionSet, option_keys};
use guard::Guard;
use tokens::{Directive, directives, name, template_names};

/// The number of option sets, and how many accepted ones are started.
const SETS: (usize, usize) = (150, 10_000);
const STARTED: (usize, usize) = (6, 200);

/// The number of threads. nginx and the command use the processor, so more would not help.
const THREADS: usize = 2;

/// Messages of nginx about this machine, not about the configuration: no IPv6, or no right to use a port below 1024.
const OF_MACHINE: [&str; 2] = ["Address family not supported", "Permission denied"];

/// Options with paths that nginx opens. The command does not check included files and the folder of the log, and checks
/// the others only with `file_checks`.
const PATHS: [&str; 5] = ["include", "access_log", "tls_certificate", "tls_key", "upstream_ca"];

/// Directives that an installed nginx before 1.27.3 does not have.
const NEWER: [&str; 2] = [" resolve max_fails=0;", "http2 on;"];

/// The folder of one option set.
struct Workplace {
    dir: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_main_file(dir.path(), "warn");
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn into_dir(self) -> TempDir {
        self.dir
    }

    fn written(&self) -> PathBuf {
        self.path().join("conf.d/doorward.conf")
    }

    /// Runs the command with the option set. Returns the configuration, or the message of the refusal.
    fn write(&self, set: &OptionSet) -> Result<String, String> {
        let file = self.path().join("doorward.toml");
        fs::write(&file, set.toml()).unwrap();
        let mut command = write_command(self.path());
        command.arg("--config").arg(&file).args(set.flags());
        let output = run(command);
        let was_written = self.written().exists();
        match output.code {
            Some(0) => Ok(fs::read_to_string(self.written()).unwrap()),
            // clap refuses some flags itself, with the status 2.
            Some(1 | 2) if !was_written => Err(output.stderr),
            _ => panic!("{output:?}, a file was written: {was_written}\n{}", set.toml()),
        }
    }
}

/// The numbers of option sets with each result.
#[derive(Debug, Default)]
struct Counts {
    refused: AtomicUsize,
    accepted: AtomicUsize,
    passed: AtomicUsize,
    newer: AtomicUsize,
    of_machine: AtomicUsize,
    missing_files: AtomicUsize,
    started: AtomicUsize,
    guarded: AtomicUsize,
    warnings: Mutex<BTreeMap<String, usize>>,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Checks that a refusal names an option, and shows no control character of a value.
fn check_refusal(message: &str, set: &OptionSet) {
    let names = |key: &str| {
        let spellings = [key.to_owned(), format!("--{}", key.replace('_', "-"))];
        spellings.iter().any(|name| message.contains(name))
    };
    assert!(option_keys().any(names), "no option is named: {message}\n{}", set.toml());
    assert!(!message.contains("panicked"), "{message}\n{}", set.toml());
    let raw = message.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(raw, None, "{message:?}\n{}", set.toml());
    // A line break in a value would begin a line of its own.
    for line in message.lines().filter(|line| !line.is_empty()) {
        let is_known = ["doorward: ", "error: ", "Usage: ", "For more", "  "]
            .iter()
            .any(|start| line.starts_with(start));
        assert!(is_known, "{line:?} in {message:?}\n{}", set.toml());
    }
}

/// The shape of a directive: its name, its number of words, and whether it opens a block.
fn shape(directive: &Directive) -> (String, usize, bool) {
    (name(&directive.words[0]).to_owned(), directive.words.len(), directive.opens_block)
}

/// Removes the maps of usual hosts. They exist only for short names. Their entries are names and ports.
fn without_usual_hosts(text: &str) -> String {
    let mut is_map = false;
    let mut kept = String::new();
    for line in text.lines() {
        is_map |= line.starts_with("map $http_host $doorward_host_of");
        if !is_map {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        let is_plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
        match words[..] {
            ["map", ..] | ["default", "$doorward_host"] | [] => {}
            ["}"] => is_map = false,
            [host, "$http_host"] if is_plain(host) => {}
            _ => panic!("{line}"),
        }
    }
    kept
}

/// Checks that an accepted option set has the same directives as its twin, whose values are plain.
fn check_directives(text: &str, set: &OptionSet, names: &[String]) {
    let mut found =
        directives(&without_usual_hosts(text)).unwrap_or_else(|error| panic!("{error}\n{}", set.toml()));
    for directive in &found {
        let is_known = names.iter().any(|known| known == name(&directive.words[0]));
        assert!(is_known, "no template has {:?}\n{}", directive.words, set.toml());
    }
    let twin = set.plain_twin();
    let plain = Workplace::new()
        .write(&twin)
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", twin.toml(), set.toml()));
    let mut expected = directives(&without_usual_hosts(&plain)).unwrap();
    // It depends on the length of a name.
    for all in [&mut found, &mut expected] {
        all.retain(|directive| directive.words[0] != "server_names_hash_bucket_size");
    }
    let (found, expected): (Vec<_>, Vec<_>) =
        (found.iter().map(shape).collect(), expected.iter().map(shape).collect());
    let different = found.iter().zip(&expected).find(|(a, b)| a != b);
    assert!(found == expected, "{different:?}\n{}\n{}", set.toml(), twin.toml());
}

/// Checks that nginx accepts the configuration.
fn check_with_nginx(place: &Workplace, text: &str, set: &OptionSet, counts: &Counts) -> bool {
    if NEWER.iter().any(|directive| text.contains(directive)) {
        add(&counts.newer);
        return false;
    }
    let mut command: Command = nginx_command(place.path());
    command.arg("-t");
    let output = run(command);
    if output.code == Some(0) {
        for line in output.stderr.lines().filter(|line| line.contains("[warn]")) {
            let line = line.split_once("]").map_or(line, |(_, rest)| rest);
            let words = line.split_whitespace().skip(1).take(7).collect::<Vec<_>>().join(" ");
            *counts.warnings.lock().unwrap().entry(words).or_default() += 1;
        }
        add(&counts.passed);
        return true;
    }
    let is_missing = |path: &str| !path.is_empty() && output.stderr.contains(&format!("\"{path}\""));
    if PATHS.iter().flat_map(|key| set.values(key)).any(is_missing) {
        add(&counts.missing_files);
        return false;
    }
    let is_of_machine = OF_MACHINE.iter().any(|message| output.stderr.contains(message));
    assert!(is_of_machine, "{}\n{}\n{:?}", output.stderr, set.toml(), set.flags());
    add(&counts.of_machine);
    false
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are the result of the long run")]
fn random_options_are_refused_with_a_reason_or_give_a_configuration_that_protects() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::make(dir.path(), &Authority::new("Test Authority"));
    let names = template_names(&shipped().join("templates"));
    let guard = Guard::start(&files);
    let counts = Counts::default();
    let (sets, started) = (scaled(SETS.0, SETS.1), scaled(STARTED.0, STARTED.1));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= sets {
                        break;
                    }
                    let set = OptionSet::random(number as u64, &files);
                    let place = Workplace::new();
                    let text = match place.write(&set) {
                        Ok(text) => text,
                        Err(message) => {
                            check_refusal(&message, &set);
                            add(&counts.refused);
                            continue;
                        }
                    };
                    add(&counts.accepted);
                    check_directives(&text, &set, &names);
                    let is_valid = check_with_nginx(&place, &text, &set, &counts);
                    if is_valid && counts.started.fetch_add(1, Ordering::Relaxed) < started {
                        guard.check(&set);
                        add(&counts.guarded);
                    }
                }
            });
        }
    });
    println!("{sets} option sets: {counts:?}");
    let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    assert!(read(&counts.refused) > sets / 5 && read(&counts.accepted) > sets / 5, "{counts:?}");
    assert!(read(&counts.passed) > sets / 8 || read(&counts.of_machine) > 0, "{counts:?}");
    assert!(read(&counts.guarded) == started || read(&counts.of_machine) > 0, "{counts:?}");
}
