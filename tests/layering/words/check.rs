//! The check of words: what is read, what is reported, and which exceptions are allowed.

mod docs;
mod logs;
mod names;
mod patterns;
mod prose;
mod rust;
mod scripts;
mod sentences;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use self::names::Retired;
use self::patterns::Pattern;
use self::prose::{Block, Origin, blocks};
use self::rust::{Item, Piece};
use self::sentences::{Break, WORDS_MAX};

/// Maximum mean length of sentences, in words.
const MEAN_MAX: f64 = 18.0;

/// Maximum share of sentences that are longer than [`WORDS_MAX`], exceptions of the allow list included.
const LONG_SHARE_MAX: f64 = 0.06;

/// Maximum share of doc comments that start in the middle of a thought, exceptions included.
const DOC_START_SHARE_MAX: f64 = 0.03;

/// Folders that hold no text of this project.
const SKIPPED_FOLDERS: [&str; 4] = ["target", ".git", "seeds", "node_modules"];

/// A place that breaks a rule.
struct Finding {
    file: String,
    line: usize,
    rule: &'static str,
    excerpt: String,
    /// The whole sentence or name, which an entry of the allow list quotes.
    whole: String,
    advice: String,
}

/// Lengths of the sentences of one kind of text.
#[derive(Default)]
struct Lengths(Vec<usize>);

impl Lengths {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<usize>() as f64 / self.0.len().max(1) as f64
    }

    fn share_over(&self, limit: usize) -> f64 {
        self.0.iter().filter(|length| **length > limit).count() as f64 / self.0.len().max(1) as f64
    }
}

/// The result of one run.
pub(super) struct Report {
    findings: Vec<Finding>,
    allowed: usize,
    /// Errors of the check's own files, and limits that are exceeded.
    errors: Vec<String>,
    lengths: BTreeMap<&'static str, Lengths>,
    docs: usize,
    docs_in_the_middle: usize,
    files: usize,
}

impl Report {
    /// Returns true if nothing is to be corrected.
    pub(super) fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.errors.is_empty()
    }

    /// Renders every finding, one a line, sorted by file and line.
    pub(super) fn findings(&self) -> String {
        self.findings.iter().fold(String::new(), |mut text, f| {
            let _ = writeln!(text, "{}:{}: {}: {} ({})", f.file, f.line, f.rule, f.excerpt, f.advice);
            text
        })
    }

    /// Renders the totals by rule, by folder and by file, and the lengths of sentences.
    pub(super) fn totals(&self) -> String {
        let mut text =
            format!("\n{} findings in {} files; {} allowed\n", self.findings.len(), self.files, self.allowed);
        let folder = |f: &Finding| {
            let parts: Vec<&str> = f.file.split('/').collect();
            parts[..parts.len().saturating_sub(1).min(2)].join("/")
        };
        let tables: [(&str, BTreeMap<String, usize>); 3] = [
            ("rule", self.count(|f| f.rule.to_owned())),
            ("folder", self.count(folder)),
            ("file", self.count(|f| f.file.clone())),
        ];
        for (title, counts) in tables {
            let _ = writeln!(text, "\nby {title}");
            let mut rows: Vec<_> = counts.into_iter().collect();
            rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            for (name, count) in rows.iter().take(30) {
                let _ = writeln!(text, "{count:7} {}", if name.is_empty() { "." } else { name });
            }
            if let Some(more) = rows.len().checked_sub(31) {
                let _ = writeln!(text, "        and {} more", more + 1);
            }
        }
        let _ =
            writeln!(text, "\nsentences                 number   mean  longest  over 25  over {WORDS_MAX}");
        for (kind, lengths) in &self.lengths {
            let longest = lengths.0.iter().max().copied().unwrap_or_default();
            let (mean, over_25, over_30) =
                (lengths.mean(), lengths.share_over(25) * 100.0, lengths.share_over(WORDS_MAX) * 100.0);
            let number = lengths.0.len();
            let _ =
                writeln!(text, "{kind:24} {number:7} {mean:6.1} {longest:8} {over_25:7.1}% {over_30:7.1}%");
        }
        let (middle, docs) = (self.docs_in_the_middle, self.docs);
        let _ = writeln!(text, "\ndoc comments {docs}, that start in the middle {middle}");
        for error in &self.errors {
            let _ = writeln!(text, "error: {error}");
        }
        text
    }

    fn count(&self, name: impl Fn(&Finding) -> String) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(name(finding)).or_default() += 1;
        }
        counts
    }
}

/// Checks the files of `root`, or those of them whose path starts with one of `parts`.
pub(super) fn run(root: &Path, parts: &[String]) -> Report {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    walk(root, "", &mut files, &mut errors);
    files.sort();
    let is_part = |file: &String| {
        let matches = |part: &String| file.starts_with(part.trim_start_matches("./").trim_end_matches('/'));
        parts.is_empty() || parts.iter().any(matches)
    };
    files.retain(is_part);
    let mut check = Check::new(errors);
    for file in &files {
        match fs::read_to_string(root.join(file)) {
            Ok(text) => check.file(file, &text),
            Err(error) => check.report.errors.push(format!("{file}: {error}")),
        }
    }
    check.finish(files.len(), parts.is_empty())
}

/// Checks one text as if it were the file of this name.
#[cfg_attr(not(test), allow(dead_code))]
pub(super) fn check_text(file: &str, text: &str) -> String {
    let mut check = Check::new(Vec::new());
    check.file(file, text);
    check.report.findings()
}

fn walk(root: &Path, folder: &str, found: &mut Vec<String>, errors: &mut Vec<String>) {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) => return errors.push(format!("{folder}: {error}")),
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !SKIPPED_FOLDERS.contains(&&*name) {
            walk(root, &path, found, errors);
        } else if !is_folder && is_text(root, &path, &name) {
            found.push(path);
        }
    }
}

/// Returns true for files with prose or comments that this check can read.
fn is_text(root: &Path, path: &str, name: &str) -> bool {
    const ENDINGS: [&str; 16] = [
        ".md",
        ".rs",
        ".sh",
        ".py",
        ".conf",
        ".toml",
        ".yaml",
        ".yml",
        ".service",
        ".socket",
        ".timer",
        ".sysusers",
        ".example",
        ".Dockerfile",
        ".go",
        ".dockerignore",
    ];
    // The exceptions and the retired names of this check are no prose.
    let is_own = path.contains("/words/") && name.ends_with(".txt");
    let is_script = || fs::read(root.join(path)).is_ok_and(|bytes| bytes.starts_with(b"#!"));
    let has_no_ending = !name.trim_start_matches('.').contains('.');
    !is_own
        && (ENDINGS.iter().any(|ending| name.ends_with(ending))
            || matches!(name, "Makefile" | "Dockerfile")
            || has_no_ending && is_script())
}

struct Check {
    patterns: Vec<Pattern>,
    names: Vec<Retired>,
    report: Report,
}

impl Check {
    fn new(mut errors: Vec<String>) -> Self {
        let mut or_error = |error: String| errors.push(error);
        let patterns =
            patterns::read(include_str!("check/patterns.txt")).map_err(&mut or_error).unwrap_or_default();
        let names = names::read(include_str!("check/names.txt")).map_err(&mut or_error).unwrap_or_default();
        let report = Report {
            findings: Vec::new(),
            allowed: 0,
            errors,
            lengths: BTreeMap::new(),
            docs: 0,
            docs_in_the_middle: 0,
            files: 0,
        };
        Self { patterns, names, report }
    }

    fn file(&mut self, file: &str, text: &str) {
        let is_changelog = file.ends_with("CHANGELOG.md");
        if !is_changelog && !file.contains("/words/") && !file.ends_with("/words.rs") {
            self.retired(file, text);
        }
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        if file.ends_with(".md") {
            self.blocks(file, &blocks(lines, Origin::Markdown));
        } else if file.ends_with(".rs") {
            let is_test = file.ends_with("_tests.rs") || file.ends_with("/tests.rs");
            for piece in rust::pieces(text, file.starts_with("src/") && !is_test) {
                self.piece(file, &piece);
            }
            if let Some(module) = file.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")) {
                self.name(file, 1, module, Item::Module);
            }
        } else {
            self.blocks(file, &scripts::comments(text, file.ends_with(".py")));
            self.blocks(file, &scripts::messages(text));
        }
    }

    fn piece(&mut self, file: &str, piece: &Piece) {
        match piece {
            Piece::Comment { lines, documents } => {
                let blocks = blocks(lines.iter().map(|(line, text)| (*line, &**text)), Origin::Comment);
                if let (Some(item), Some(first)) = (documents, blocks.first()) {
                    self.doc(file, first, *item);
                }
                let before = self.report.findings.len();
                self.blocks(file, &blocks);
                if documents.is_some() {
                    // The rule for doc comments checks the first words.
                    let line = blocks.first().map_or(0, |block| block.line_at(0));
                    let mut at = 0;
                    self.report.findings.retain(|finding| {
                        at += 1;
                        at <= before || finding.rule != "inversion" || finding.line != line
                    });
                }
            }
            Piece::Text { line, text, is_log } => {
                if *is_log {
                    let blocks = blocks([(*line, &**text)], Origin::Log);
                    for block in &blocks {
                        for advice in logs::check(block) {
                            self.add(
                                file,
                                block,
                                "log",
                                (0, block.text.len()),
                                (0, block.text.len()),
                                advice,
                            );
                        }
                    }
                    self.blocks(file, &blocks);
                } else if text.split_whitespace().count() > 2 {
                    let lines = text.lines().map(|text| (*line, text));
                    self.blocks(file, &blocks(lines, Origin::Message));
                }
            }
            Piece::Name { line, name, item } => {
                // The name of a module is reported with its file.
                if *item != Item::Module {
                    self.name(file, *line, name, *item);
                }
            }
        }
    }

    fn doc(&mut self, file: &str, block: &Block, item: Item) {
        self.report.docs += 1;
        // A helper of a test or bench may be described by what it returns.
        let applies = |bad: &docs::BadStart| bad.rule == "doc-start" || file.starts_with("src/");
        if let Some(bad) = docs::check(block, item).filter(applies) {
            self.report.docs_in_the_middle += usize::from(bad.rule == "doc-start");
            self.add(file, block, bad.rule, bad.range, (0, block.text.len()), bad.advice.to_owned());
        }
    }

    fn blocks(&mut self, file: &str, blocks: &[Block]) {
        for block in blocks {
            let mut breaks: Vec<Break> = Vec::new();
            let lengths = sentences::check(block, &self.patterns, &mut breaks);
            let kind = match (block.origin, file) {
                (Origin::Markdown, "README.md") => "README.md",
                (Origin::Markdown, "ARCHITECTURE.md") => "ARCHITECTURE.md",
                (Origin::Markdown, "CHANGELOG.md") => "CHANGELOG.md",
                (Origin::Markdown, _) => "other Markdown",
                (Origin::Comment, _) => "comments of Rust",
                (Origin::Configuration, _) => "comments of other files",
                (Origin::Message | Origin::Log, _) => "messages",
            };
            self.report.lengths.entry(kind).or_default().0.extend(lengths);
            for found in breaks {
                self.add(file, block, found.rule, found.range, found.sentence, found.advice);
            }
        }
    }

    fn add(
        &mut self,
        file: &str,
        block: &Block,
        rule: &'static str,
        range: (usize, usize),
        sentence: (usize, usize),
        advice: String,
    ) {
        let whole = block.text.get(sentence.0..sentence.1).unwrap_or(&block.text).to_owned();
        self.report.findings.push(Finding {
            file: file.to_owned(),
            line: block.line_at(range.0),
            rule,
            excerpt: excerpt(&block.text, range, sentence),
            whole,
            advice,
        });
    }

    fn name(&mut self, file: &str, line: usize, name: &str, item: Item) {
        let mut report = |rule, advice: &str| {
            let (file, whole, advice) = (file.to_owned(), name.to_owned(), advice.to_owned());
            self.report.findings.push(Finding { file, line, rule, excerpt: whole.clone(), whole, advice });
        };
        for retired in self.names.iter().filter(|retired| retired.is_name(name, item)) {
            report("name", retired.standard);
        }
        if item == Item::Test
            && let Some(advice) = names::test_name(name)
        {
            report("test-name", advice);
        }
    }

    fn retired(&mut self, file: &str, text: &str) {
        let names: Vec<&Retired> =
            self.names.iter().filter(|retired| retired.find(text).next().is_some()).collect();
        for (at, line) in text.lines().enumerate() {
            for retired in &names {
                for name in retired.find(line) {
                    self.report.findings.push(Finding {
                        file: file.to_owned(),
                        line: at + 1,
                        rule: "retired",
                        excerpt: name.to_owned(),
                        whole: line.to_owned(),
                        advice: retired.standard.to_owned(),
                    });
                }
            }
        }
    }

    /// Applies the allow list and the limits for the whole tree.
    fn finish(mut self, files: usize, is_whole: bool) -> Report {
        self.report.files = files;
        self.report.findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
        let list = include_str!("check/allow.txt");
        for (at, line) in
            list.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            let entry = line.split_once("  # ").and_then(|(entry, _)| entry.split_once(": "));
            let Some((file, excerpt)) = entry else {
                self.report
                    .errors
                    .push(format!("allow.txt:{}: it is not \"FILE: EXCERPT  # REASON\"", at + 1));
                continue;
            };
            let before = self.report.findings.len();
            self.report.findings.retain(|finding| finding.file != file || !finding.whole.contains(excerpt));
            let matched = before - self.report.findings.len();
            self.report.allowed += matched;
            if matched == 0 && is_whole {
                self.report
                    .errors
                    .push(format!("allow.txt:{}: nothing matches this entry; remove it", at + 1));
            }
        }
        if is_whole {
            self.limits();
        }
        self.report
    }

    fn limits(&mut self) {
        let report = &mut self.report;
        for (kind, lengths) in &report.lengths {
            if lengths.mean() > MEAN_MAX {
                report.errors.push(format!(
                    "{kind}: the mean sentence has {:.1} words; the limit is {MEAN_MAX}",
                    lengths.mean()
                ));
            }
            if lengths.share_over(WORDS_MAX) > LONG_SHARE_MAX {
                report.errors.push(format!("{kind}: too many sentences have more than {WORDS_MAX} words"));
            }
        }
        if report.docs_in_the_middle as f64 > report.docs as f64 * DOC_START_SHARE_MAX {
            report.errors.push("too many doc comments start in the middle of a thought".to_owned());
        }
    }
}

/// Returns the words in question with some text around them.
fn excerpt(text: &str, range: (usize, usize), sentence: (usize, usize)) -> String {
    const AROUND: usize = 32;
    const LONGEST: usize = 110;
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(range.0.saturating_sub(AROUND).max(sentence.0));
    let end = boundary((range.1 + AROUND).min(sentence.1).min(start + LONGEST));
    let (before, after) =
        (if start > sentence.0 { "…" } else { "" }, if end < sentence.1 { "…" } else { "" });
    let inner = text.get(start..end).unwrap_or_default();
    let marked = match (
        text.get(start..range.0),
        text.get(range.0..range.1.min(end)),
        text.get(range.1.min(end)..end),
    ) {
        (Some(left), Some(words), Some(right)) if words.len() < 40 => format!("{left}[{words}]{right}"),
        _ => inner.to_owned(),
    };
    format!("{before}{marked}{after}")
}
