//! Reading an htpasswd file: its lines, their faults, and a compact index of its users.
//!
//! The rules are those of the readers that people's files were written for: nginx's
//! `ngx_http_auth_basic_module` and Apache's `mod_authn_file`. A `#` opens a comment line, blank
//! lines count for nothing, a CR before the line's end is no part of it, a third field is ignored,
//! and of two lines for one user the first counts. A bad line costs that line alone; its user is
//! then refused rather than unknown.
//!
//! The text stays as it was read and the index points into it: one allocation holds all names and
//! hashes, so that a million users take little more than their file.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;

use hashbrown::hash_table::Entry as TableEntry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::line::{HASH_LENGTH_MAX, HtpasswdLineError};
use crate::authn::RecordFingerprint;
use crate::authn::hash::{AllowedFormats, HashFormat, TimingEqualizer};
use crate::identity::Username;

/// The bytes of a short line with a hash, to estimate how many there are in a file of blank lines.
const SHORT_LINE_LENGTH: usize = 32;

/// Bad lines that are described one by one; a file with more is not an htpasswd file.
pub const FINDINGS_MAX: usize = 1000;

/// What was found at a place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HtpasswdFinding {
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
    /// What is wrong and what to do; never any text of the line.
    pub message: String,
    /// Whether the line's user can't log in because of it.
    pub is_line_invalid: bool,
    /// Whether it is a line of an htpasswd file at least, with a name and a hash of some known format.
    pub has_known_format: bool,
}

impl fmt::Display for HtpasswdFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// One user's line.
#[derive(Clone, Debug)]
pub struct UserEntry {
    name_span: (u32, u16),
    hash_span: (u32, u16),
    /// `None` where the hash can't be checked.
    pub format: Option<HashFormat>,
    /// Of the name and the hash.
    pub fingerprint: RecordFingerprint,
}

/// The users of one file, looked up by name.
pub struct UserIndex {
    text: Vec<u8>,
    entries: HashTable<UserEntry>,
    /// Seeded at random; the names are an administrator's, so speed counts for more than strength.
    hasher: DefaultHashBuilder,
    timing_equalizer: TimingEqualizer,
    invalid_lines: usize,
    /// By which its lines were read.
    allowed_formats: AllowedFormats,
}

/// What reading a file gave.
#[derive(Debug)]
pub struct ParsedHtpasswd {
    /// Its users.
    pub users: UserIndex,
    /// In the order of the lines, [`FAULTS_MAX`] of them at most.
    pub findings: Vec<HtpasswdFinding>,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct HtpasswdParseOptions {
    /// Makes the fingerprints: another for each process.
    pub fingerprint_key: [u8; 32],
    /// Formats that a setting names.
    pub allowed_formats: AllowedFormats,
}

/// Reads the text of an htpasswd file.
pub fn parse(text: Vec<u8>, rules: &HtpasswdParseOptions) -> ParsedHtpasswd {
    let mut reader = HtpasswdParser { options: rules, users: UserIndex::empty(), findings: Vec::new() };
    // Growing the index would hash every name again, several times over.
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    reader.users.entries.reserve(lines.min(text.len() / SHORT_LINE_LENGTH), |_| 0);
    let mut start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut number = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        number += 1;
        reader.line_number(&text, number, start, start + length);
        start += length + 1;
    }
    reader.users.text = text;
    reader.users.allowed_formats = rules.allowed_formats;
    ParsedHtpasswd { users: reader.users, findings: reader.findings }
}

struct HtpasswdParser<'r> {
    options: &'r HtpasswdParseOptions,
    users: UserIndex,
    findings: Vec<HtpasswdFinding>,
}

impl HtpasswdParser<'_> {
    fn line_number(&mut self, text: &[u8], number: usize, start: usize, end: usize) {
        let raw = text.get(start..end).unwrap_or_default();
        let line = raw.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let indent = raw.len() - raw.trim_ascii_start().len();
        let colon = line.iter().position(|b| *b == b':');
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let name_at = start + indent;
        // Without a colon the whole line counts as the name, so that it is found again for its diagnosis. No client
        // can have a name that is none.
        let is_whole_line = colon.is_none() && line.len() <= HASH_LENGTH_MAX;
        if let Err(fault) = Username::check(name)
            && !is_whole_line
        {
            return self.add_invalid_line(number, indent + 1, HtpasswdLineError::diagnose_name(line, fault));
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
            let what = "the user of this line stands in an earlier line, which counts; remove one";
            return self.add_finding(HtpasswdFinding {
                line: number,
                column: indent + 1,
                message: what.to_owned(),
                is_line_invalid: false,
                has_known_format: format.is_some(),
            });
        }
        if format.is_none()
            && self.findings.len() < FINDINGS_MAX
            && let Some(fault) = HtpasswdLineError::diagnose_hash(line, self.options.allowed_formats)
        {
            self.add_invalid_line(number, hash_at - start + 1, fault);
        }
    }

    fn add_invalid_line(&mut self, line: usize, column: usize, fault: HtpasswdLineError) {
        self.add_finding(HtpasswdFinding {
            line,
            column,
            message: fault.to_string(),
            is_line_invalid: true,
            has_known_format: fault.is_name_loggable(),
        });
    }

    /// Says whether the user is new.
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
        // Files are bounded far below 4 GiB and names and hashes to a line; what does not fit even
        // so becomes an empty span, which matches nobody.
        let place = |(at, bytes): (usize, &[u8])| {
            u32::try_from(at).ok().zip(u16::try_from(bytes.len()).ok()).unwrap_or((0, 0))
        };
        let entry = UserEntry {
            name_span: place(name),
            hash_span: place(hash),
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

    fn add_finding(&mut self, fault: HtpasswdFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(fault);
        }
    }
}

fn slice_span(text: &[u8], (at, length): (u32, u16)) -> &[u8] {
    text.get(at as usize..).and_then(|rest| rest.get(..usize::from(length))).unwrap_or_default()
}

/// Of a name, the colon that it can't have, and a hash.
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

    /// Why the line of an entry can't be used; `None` if it can.
    pub fn line_error(&self, entry: &UserEntry) -> Option<HtpasswdLineError> {
        if entry.format.is_some() {
            return None;
        }
        let rest = self.text.get(entry.name_span.0 as usize..).unwrap_or_default();
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
        HtpasswdLineError::diagnose_hash(line, self.allowed_formats)
    }

    /// The number of the line of an entry, from 1. Counts the lines before it.
    pub fn line_number(&self, entry: &UserEntry) -> usize {
        let before = self.text.get(..entry.name_span.0 as usize).unwrap_or_default();
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The name of an entry, if its line was understood. Otherwise it may be a password.
    pub fn loggable_name(&self, entry: &UserEntry) -> Option<&[u8]> {
        let is_understood =
            entry.format.is_some() || self.line_error(entry).is_some_and(HtpasswdLineError::is_name_loggable);
        is_understood.then(|| slice_span(&self.text, entry.name_span))
    }

    /// The line of `user`, if there is one.
    pub fn find(&self, user: &[u8]) -> Option<UserEntry> {
        let hashed = self.hasher.hash_one(user);
        self.entries.find(hashed, |entry| slice_span(&self.text, entry.name_span) == user).cloned()
    }

    /// The text behind the colon of a line of this file.
    pub fn hash_text(&self, entry: &UserEntry) -> &[u8] {
        slice_span(&self.text, entry.hash_span)
    }

    /// What a refusal has to cost.
    pub fn timing_equalizer(&self) -> &TimingEqualizer {
        &self.timing_equalizer
    }

    /// Users in the file, those with a bad line included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no user at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Users whose line can't be used.
    pub fn invalid_lines(&self) -> usize {
        self.invalid_lines
    }

    /// How many users there are of each format, by the format's name.
    pub fn count_formats(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for format in self.entries.iter().filter_map(|entry| entry.format) {
            *counts.entry(format.name()).or_default() += 1;
        }
        counts
    }

    /// Every user's name and line, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &UserEntry)> {
        self.entries.iter().map(|entry| (slice_span(&self.text, entry.name_span), entry))
    }

    /// Every user's line, by name.
    pub fn sorted_entries(&self) -> Vec<&UserEntry> {
        let mut all: Vec<&UserEntry> = self.entries.iter().collect();
        all.sort_by_key(|entry| slice_span(&self.text, entry.name_span));
        all
    }

    /// The lowest and the highest bcrypt cost, where they differ.
    pub fn bcrypt_cost_range(&self) -> Option<(u8, u8)> {
        let costs = || self.entries.iter().filter_map(|entry| entry.format?.bcrypt_cost());
        costs().min().zip(costs().max()).filter(|(low, high)| low != high)
    }
}

impl fmt::Debug for UserIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserFile({} users)", self.len())
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
