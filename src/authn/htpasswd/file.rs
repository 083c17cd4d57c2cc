//! Parses an htpasswd file into a compact index of its users and a list of findings.
//!
//! The rules are those of `ngx_http_auth_basic_module` (nginx) and `mod_authn_file` (Apache):
//! - A line that starts with `#` is a comment. Blank lines are ignored.
//! - A CR before the line end is ignored, and so is a third field.
//! - If a user has two lines, the first one is used.
//!
//! An invalid line affects only its own user, who is rejected and not unknown.
//!
//! The index points into the text of the file. One allocation contains all names and hashes, so a million users need
//! little more memory than their file.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;

use hashbrown::hash_table::Entry as TableEntry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::line::{HASH_LENGTH_MAX, HtpasswdLineError};
use crate::authn::RecordFingerprint;
use crate::authn::hash::timing_equalizer::TimingEqualizer;
use crate::authn::hash::{AllowedFormats, HashFormat};
use crate::identity::Username;
use crate::reload::utf8_bom::strip_utf8_bom;

/// The length in bytes of a short line with a hash. It bounds the estimated number of users of a file, which can
/// consist of blank lines.
const SHORT_LINE_LENGTH: usize = 32;

/// The maximum number of findings of one file. A file with more invalid lines is not an htpasswd file.
pub(crate) const FINDINGS_MAX: usize = 1000;

/// A problem at one place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HtpasswdFinding {
    /// The line number, counted from 1.
    pub(crate) line: usize,
    /// The column in bytes, counted from 1.
    pub(crate) column: usize,
    /// The problem and its remedy. The message never contains text of the line, which may be a password.
    pub(crate) message: String,
    /// Whether the user of the line cannot log in because of the problem.
    pub(crate) is_line_invalid: bool,
    /// Whether the line has a name and a hash of a known format, so that it is a line of an htpasswd file.
    pub(crate) has_known_format: bool,
}

impl fmt::Display for HtpasswdFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// The line of one user.
#[derive(Clone, Debug)]
pub(crate) struct UserEntry {
    name_span: (u32, u16),
    hash_span: (u32, u16),
    /// The format of the hash; `None` if the line is invalid.
    pub(crate) format: Option<HashFormat>,
    /// The fingerprint of the name and the hash.
    pub(crate) fingerprint: RecordFingerprint,
}

/// The users of one file, looked up by name.
pub(crate) struct UserIndex {
    text: Vec<u8>,
    entries: HashTable<UserEntry>,
    /// A fast hash function with a random seed. The names come from an administrator, so resistance to chosen names
    /// is not needed.
    hasher: DefaultHashBuilder,
    timing_equalizer: TimingEqualizer,
    invalid_lines: usize,
    /// The formats that were allowed when the file was parsed.
    allowed_formats: AllowedFormats,
}

/// The result of parsing a file.
#[derive(Debug)]
pub(crate) struct ParsedHtpasswd {
    /// The users of the file.
    pub(crate) users: UserIndex,
    /// The first [`FINDINGS_MAX`] findings, in the order of the lines.
    pub(crate) findings: Vec<HtpasswdFinding>,
}

/// The options of [`parse`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HtpasswdParseOptions {
    /// The key of the fingerprints, which differs for each process.
    pub(crate) fingerprint_key: [u8; 32],
    /// The insecure formats that a setting allows.
    pub(crate) allowed_formats: AllowedFormats,
}

/// Parses the text of an htpasswd file.
pub(crate) fn parse(text: Vec<u8>, options: &HtpasswdParseOptions) -> ParsedHtpasswd {
    let mut parser = HtpasswdParser { options, users: UserIndex::empty(), findings: Vec::new() };
    // An index that grows would hash every name several times.
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    parser.users.entries.reserve(lines.min(text.len() / SHORT_LINE_LENGTH), |_| 0);
    let mut start = text.len() - strip_utf8_bom(&text).len();
    let mut number = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        number += 1;
        parser.parse_line(&text, number, start, start + length);
        start += length + 1;
    }
    parser.users.text = text;
    parser.users.allowed_formats = options.allowed_formats;
    ParsedHtpasswd { users: parser.users, findings: parser.findings }
}

struct HtpasswdParser<'r> {
    options: &'r HtpasswdParseOptions,
    users: UserIndex,
    findings: Vec<HtpasswdFinding>,
}

impl HtpasswdParser<'_> {
    fn parse_line(&mut self, text: &[u8], number: usize, start: usize, end: usize) {
        let raw = text.get(start..end).unwrap_or_default();
        let line = raw.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let indent = raw.len() - raw.trim_ascii_start().len();
        let colon = line.iter().position(|b| *b == b':');
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let name_at = start + indent;
        // If the line has no colon, the whole line is indexed as the name, so that it can be found again for its
        // diagnosis. No client can log in with it, because the line has no hash.
        let is_whole_line = colon.is_none() && line.len() <= HASH_LENGTH_MAX;
        if let Err(error) = Username::check(name)
            && !is_whole_line
        {
            return self.add_invalid_line(number, indent + 1, HtpasswdLineError::diagnose_name(line, error));
        }
        let (hash_at, hash) = match colon {
            None => (name_at + name.len(), None),
            Some(colon) => {
                let rest = line.get(colon + 1..).unwrap_or_default();
                (name_at + colon + 1, rest.split(|b| *b == b':').next())
            }
        };
        let short = hash.filter(|hash| hash.len() <= HASH_LENGTH_MAX);
        let format = short.and_then(|hash| HashFormat::detect(hash, self.options.allowed_formats).ok());
        let hash = hash.unwrap_or_default();
        let cut = hash.get(..HASH_LENGTH_MAX).unwrap_or(hash);
        if !self.insert(text, (name_at, name), (hash_at, cut), format) {
            let message = "the user is listed in an earlier line, which is used; remove one of the lines";
            return self.add_finding(HtpasswdFinding {
                line: number,
                column: indent + 1,
                message: message.to_owned(),
                is_line_invalid: false,
                has_known_format: format.is_some(),
            });
        }
        if format.is_none()
            && self.findings.len() < FINDINGS_MAX
            && let Some(error) = HtpasswdLineError::diagnose_hash(line, self.options.allowed_formats)
        {
            self.add_invalid_line(number, hash_at - start + 1, error);
        }
    }

    fn add_invalid_line(&mut self, line: usize, column: usize, error: HtpasswdLineError) {
        self.add_finding(HtpasswdFinding {
            line,
            column,
            message: error.to_string(),
            is_line_invalid: true,
            has_known_format: error.is_name_loggable(),
        });
    }

    /// Adds a user. Returns false if the user is in the index already.
    fn insert(
        &mut self,
        text: &[u8],
        name: (usize, &[u8]),
        hash: (usize, &[u8]),
        format: Option<HashFormat>,
    ) -> bool {
        let users = &mut self.users;
        let (hasher, name_of) = (&users.hasher, |e: &UserEntry| slice_span(text, e.name_span));
        let hashed = hasher.hash_one(name.1);
        let same = |entry: &UserEntry| name_of(entry) == name.1;
        let TableEntry::Vacant(vacant) = users.entries.entry(hashed, same, |e| hasher.hash_one(name_of(e)))
        else {
            return false;
        };
        // Files are limited to far less than 4 GiB, and names and hashes to one line. A span that does not fit
        // nevertheless becomes an empty one, which matches no user.
        let span = |(at, bytes): (usize, &[u8])| {
            u32::try_from(at).ok().zip(u16::try_from(bytes.len()).ok()).unwrap_or((0, 0))
        };
        let entry = UserEntry {
            name_span: span(name),
            hash_span: span(hash),
            format,
            fingerprint: compute_fingerprint(
                &self.options.fingerprint_key,
                text.get(name.0..hash.0 + hash.1.len()).unwrap_or_default(),
            ),
        };
        match format {
            Some(format) => users.timing_equalizer.include(format),
            None => users.invalid_lines += 1,
        }
        vacant.insert(entry);
        true
    }

    fn add_finding(&mut self, finding: HtpasswdFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

fn slice_span(text: &[u8], (at, length): (u32, u16)) -> &[u8] {
    text.get(at as usize..).and_then(|rest| rest.get(..usize::from(length))).unwrap_or_default()
}

/// Computes the fingerprint of a name, the colon, and a hash. A name cannot contain a colon, so two lines with
/// different names or hashes never have the same input.
fn compute_fingerprint(key: &[u8; 32], line: &[u8]) -> RecordFingerprint {
    let hash = blake3::keyed_hash(key, line);
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl UserIndex {
    fn empty() -> Self {
        Self {
            text: Vec::new(),
            entries: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            timing_equalizer: TimingEqualizer::default(),
            invalid_lines: 0,
            allowed_formats: AllowedFormats::default(),
        }
    }

    /// Returns the error of the line of an entry, or `None` if the line is valid.
    pub(crate) fn line_error(&self, entry: &UserEntry) -> Option<HtpasswdLineError> {
        if entry.format.is_some() {
            return None;
        }
        let rest = self.text.get(entry.name_span.0 as usize..).unwrap_or_default();
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
        HtpasswdLineError::diagnose_hash(line, self.allowed_formats)
    }

    /// Returns the line number of an entry, counted from 1. Reads the text before the entry to count lines.
    pub(crate) fn line_number(&self, entry: &UserEntry) -> usize {
        let before = self.text.get(..entry.name_span.0 as usize).unwrap_or_default();
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Returns the name of an entry if its line was recognized. Otherwise the text before the colon may be a password.
    pub(crate) fn loggable_name(&self, entry: &UserEntry) -> Option<&[u8]> {
        let is_recognized =
            entry.format.is_some() || self.line_error(entry).is_some_and(HtpasswdLineError::is_name_loggable);
        is_recognized.then(|| slice_span(&self.text, entry.name_span))
    }

    /// Returns the line of `user`.
    pub(crate) fn find(&self, user: &[u8]) -> Option<UserEntry> {
        let hashed = self.hasher.hash_one(user);
        self.entries.find(hashed, |entry| slice_span(&self.text, entry.name_span) == user).cloned()
    }

    /// Returns the hash of an entry of this file, as it is written there.
    pub(crate) fn hash_text(&self, entry: &UserEntry) -> &[u8] {
        slice_span(&self.text, entry.hash_span)
    }

    /// Returns the work that every rejection must do.
    pub(crate) fn timing_equalizer(&self) -> &TimingEqualizer {
        &self.timing_equalizer
    }

    /// Returns the number of users in the file, including those with an invalid line.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of users whose line is invalid.
    pub(crate) fn invalid_lines(&self) -> usize {
        self.invalid_lines
    }

    /// Returns the number of users of each format, by the name of the format.
    pub(crate) fn count_formats(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for format in self.entries.iter().filter_map(|entry| entry.format) {
            *counts.entry(format.name()).or_default() += 1;
        }
        counts
    }

    /// Returns the name and the line of every user, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &UserEntry)> {
        self.entries.iter().map(|entry| (slice_span(&self.text, entry.name_span), entry))
    }

    /// Returns the line of every user, sorted by name.
    pub(crate) fn sorted_entries(&self) -> Vec<&UserEntry> {
        let mut all: Vec<&UserEntry> = self.entries.iter().collect();
        all.sort_by_key(|entry| slice_span(&self.text, entry.name_span));
        all
    }

    /// Returns the lowest and the highest bcrypt cost of the file, if they differ.
    pub(crate) fn bcrypt_cost_range(&self) -> Option<(u8, u8)> {
        let costs = || self.entries.iter().filter_map(|entry| entry.format?.bcrypt_cost());
        costs().min().zip(costs().max()).filter(|(low, high)| low != high)
    }
}

impl fmt::Debug for UserIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserIndex({} users)", self.len())
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
