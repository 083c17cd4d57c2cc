//! The words of the project: sentences, doc comments, log messages and names follow one standard. The check reads the
//! whole tree as text. `make lint` runs the same code as a program of its own, see `words/main.rs`.
//!
//! `DOORWARD_WORDS=src/authn cargo test --test it words -- --nocapture` prints the findings of a part.

mod check;

use std::env;
use std::io::{self, Write};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn tree_has_no_findings_outside_the_allow_list() {
    let report = check::run(root(), &[]);
    assert!(report.is_clean(), "{}{}", report.findings(), report.totals());
}

#[test]
fn findings_of_the_named_part_are_printed() {
    let Ok(part) = env::var("DOORWARD_WORDS") else { return };
    let report = check::run(root(), &[part]);
    let text = format!("{}{}", report.findings(), report.totals());
    io::stdout().write_all(text.as_bytes()).unwrap();
}

/// Returns the rules that a file breaks, one for each finding, without duplicates.
#[track_caller]
fn assert_rules(file: &str, text: &str, expected: &[&str]) {
    let report = check::check_text(file, text);
    let mut rules: Vec<&str> =
        report.lines().filter_map(|line| line.split(':').nth(2)).map(str::trim).collect();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules, expected, "{text}\n{report}");
}

#[test]
fn sentences_that_break_a_rule_are_found() {
    for (rule, sentence) in [
        ("person", "It protects somebody's data."),
        ("person", "A client who guesses is throttled."),
        ("person", "If he guesses, the request is rejected."),
        ("person", "The limit applies to whoever guesses."),
        ("personify", "The client is told that the key has expired."),
        ("personify", "doorward asks the service about each user."),
        ("personify", "A thread that has everything look fresh."),
        ("personify", "nginx knows the address."),
        ("inversion", "Of two lines, the first counts."),
        ("inversion", "The header is removed. So is the cookie."),
        ("inversion", "What can be read is cached."),
        ("idiom", "The hash stands in the file."),
        ("idiom", "An entry is kept in the place of another."),
        ("idiom", "The client retries, for it has no token."),
        ("possessive", "The address is the client's."),
        ("possessive", "A header of nginx's is missing."),
        ("contraction", "The file can't be read."),
        ("spelling", "A log-in takes one hash."),
        ("clauses", "The first is open; the second is closed; the third is open."),
        (
            "length",
            "The queue has one place for each request that waits for a thread and the number of places follows from \
             the time that a thread takes for one password of the most expensive format.",
        ),
    ] {
        assert_rules("docs/example.md", sentence, &[rule]);
        assert_rules("nginx/example.conf", &format!("# {sentence}\n"), &[rule]);
        assert_rules("src/example.rs", &format!("// {sentence}\n"), &[rule]);
    }
}

#[test]
fn sentences_in_plain_words_pass() {
    for sentence in [
        "If the service is down, users from other sources are not affected.",
        "A client that can set `X-Real-IP` bypasses the throttle.",
        "A user who is listed twice is checked against the first line.",
        "A file whose owner is root is accepted.",
        "RFC 9110 says that the header is optional.",
        "The error is \"the file can't be read; ask somebody who knows\".",
        "The same limit applies to networks.",
        "docker prompts for the password, e.g. after `docker login`.",
        "The cache holds entries for 12 h. nginx closes the connection after 60 s.",
        "The headers `A`, `B`, `C`, `D`, `E`, `F` and `G` are removed.",
        "Set `cache.idle_timeout` to the time after which an entry is evicted.",
        "Who can call `/auth`?",
    ] {
        assert_rules("docs/example.md", sentence, &[]);
        assert_rules("src/example.rs", &format!("// {sentence}\n"), &[]);
    }
}

#[test]
fn cells_headings_and_code_are_read_for_what_they_are() {
    let long =
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
    assert_rules("docs/example.md", &format!("| {long} | {long} |\n|---|---|\n| a | b |\n"), &[]);
    assert_rules("docs/example.md", "## What nginx sends\n\nThe headers.\n", &[]);
    assert_rules("docs/example.md", "```sh\nsomebody can't\n```\n", &[]);
    assert_rules("nginx/example.conf", "#proxy_set_header Host whoever;\n", &[]);
    assert_rules("examples/example.sh", "echo \"the file can't be read\"\n", &["contraction"]);
    assert_rules("examples/example.sh", "sed 's # x#' # somebody\n", &["person"]);
}

#[test]
fn doc_comments_that_start_in_the_middle_are_found() {
    for (rule, source) in [
        ("doc-start", "/// How many entries there are.\nconst ENTRIES: usize = 1;\n"),
        ("doc-start", "/// By which the key is found.\n#[derive(Debug)]\npub struct Key;\n"),
        ("doc-start", "/// It is the limit.\npub(crate) fn limit() {}\n"),
        ("doc-start", "struct A {\n    /// the name\n    name: String,\n}\n"),
        ("doc-start", "/// All of them.\nfn all() {}\n"),
        ("doc-start", "/// Whether the file is open.\nfn is_open() {}\n"),
        ("doc-verb", "/// The number of entries.\npub fn entries() {}\n"),
    ] {
        assert_rules("src/example.rs", source, &[rule]);
    }
    for source in [
        "/// Returns the number of entries.\npub async fn entries() {}\n",
        "/// A bounded queue of jobs.\nstruct Queue {\n    /// Whether the queue is open.\n    is_open: bool,\n}\n",
        "/// nginx's limit for a header.\nconst HEADER_MAX: usize = 1;\n",
        "/// `None` if the request is anonymous.\nfn user() {}\n",
        "/// Lines of a file.\nmod lines;\n",
        "/// In-flight checks by cache key.\nstruct Checks;\n",
    ] {
        assert_rules("src/example.rs", source, &[]);
    }
    assert_rules("tests/example.rs", "/// The number of entries.\npub fn entries() {}\n", &[]);
}

#[test]
fn strings_of_the_program_are_checked_and_strings_of_tests_are_not() {
    let error = "#[error(\"{0}: the file can't be read\")]\n";
    assert_rules("src/example.rs", error, &["contraction"]);
    assert_rules("src/example_tests.rs", error, &[]);
    assert_rules("src/example.rs", &format!("#[cfg(test)]\nmod tests {{\n{error}}}\n"), &[]);
}

#[test]
fn log_messages_that_are_no_events_are_found() {
    for message in [
        "The file was read",
        "file reloaded.",
        "there is no token",
        "the authenticator recovered",
        "its file was not reloaded",
        "one two three four five six seven eight nine ten eleven twelve thirteen",
    ] {
        let event =
            format!("tracing::warn!(file = %path.display(), reason = \"It is bad\", \"{message}\");\n");
        assert_rules("src/example.rs", &event, &["log"]);
    }
    for message in ["htpasswd reloaded", "ECR token renewed", "received signal", "{name} reloaded"] {
        assert_rules("src/example.rs", &format!("warn!(users, \"{message}\");\n"), &[]);
    }
}

#[test]
fn names_outside_the_standard_are_found() {
    for (rule, source) in [
        ("name", "struct Flight;\n"),
        ("name", "enum SettingsFault {}\n"),
        ("name", "enum Reason {\n    #[error(\"x\")]\n    Trouble(u8),\n}\n"),
        ("name", "struct A {\n    pub(crate) costliest: u8,\n}\n"),
        ("test-name", "#[test]\nfn a_key_that_expired_is_rejected() {}\n"),
        ("test-name", "#[tokio::test(start_paused = true)]\nasync fn it_works() {}\n"),
        ("retired", "// `cache.idle` is a setting.\n"),
        ("retired", "const FLAG: &str = \"--cache-idle\";\n"),
    ] {
        assert_rules("src/example.rs", source, &[rule]);
    }
    assert_rules("src/rights.rs", "", &["name"]);
    for source in [
        "struct InFlightCheck;\n",
        "#[test]\nfn expired_key_is_rejected() {}\n",
        "fn parse() {}\n",
        "// `cache.idle_timeout` is a setting.\n",
    ] {
        assert_rules("src/example.rs", source, &[]);
    }
}
