//! Compares the htpasswd parser with the shortest form of its rules. A line that is not a comment has the name before the
//! first colon and the hash before the second. If a name occurs twice, the first line is used.

use std::collections::HashMap;

use crate::authn::hash::{AllowedFormats, HashFormat};
use crate::authn::htpasswd::diff::HtpasswdDiff;
use crate::authn::htpasswd::file::{FINDINGS_MAX, HtpasswdParseOptions, ParsedHtpasswd, parse};
use crate::identity::Username;

/// The limit of the parser: a longer hash is rejected.
const HASH_MAX: usize = 4096;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The hash of each user; `None` if the line is invalid.
fn model(text: &[u8], allowed: AllowedFormats) -> HashMap<&[u8], Option<&[u8]>> {
    let mut users = HashMap::new();
    for line in text.strip_prefix(BOM).unwrap_or(text).split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().unwrap_or_default();
        // A line without a colon counts as a name as a whole, so that its diagnosis is found.
        let is_whole_line = !line.contains(&b':') && line.len() <= HASH_MAX;
        if line.is_empty() || line.starts_with(b"#") || (Username::check(name).is_err() && !is_whole_line) {
            continue;
        }
        let usable = |hash: &&[u8]| hash.len() <= HASH_MAX && HashFormat::detect(hash, allowed).is_ok();
        users.entry(name).or_insert_with(|| fields.next().filter(usable));
    }
    users
}

fn check_findings(text: &[u8], parsed: &ParsedHtpasswd) {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    assert!(parsed.findings.len() <= FINDINGS_MAX);
    assert!(parsed.findings.is_sorted_by_key(|fault| fault.line));
    for fault in &parsed.findings {
        let line = lines.get(fault.line - 1).expect("a fault is in a line of the file");
        assert!((1..=line.len() + 1).contains(&fault.column), "{fault}: the line has {} bytes", line.len());
        let ascii_control = |c: char| c.is_ascii_control();
        assert!(!fault.message.contains(ascii_control), "{fault:?} is one line in a log");
    }
}

/// Runs the check with one input of the fuzzer.
pub fn run(text: &[u8]) {
    let allowed = AllowedFormats { plain: text.len().is_multiple_of(2) };
    let rules = HtpasswdParseOptions { fingerprint_key: [7; 32], allowed_formats: allowed };
    let (parsed, again) = (parse(text.to_vec(), &rules), parse(text.to_vec(), &rules));
    check_findings(text, &parsed);
    assert_eq!(parsed.findings, again.findings);

    let (users, model) = (&parsed.users, model(text, allowed));
    assert_eq!(users.len(), model.len());
    assert_eq!(users.invalid_lines(), model.values().filter(|hash| hash.is_none()).count());
    assert_eq!(users.count_formats().values().sum::<usize>(), users.len() - users.invalid_lines());
    assert_eq!(users.sorted_entries().len(), users.len());
    assert_eq!(users.entries().count(), users.len());
    assert_eq!(HtpasswdDiff::between(users, &again.users), HtpasswdDiff::default());
    for (name, hash) in &model {
        let entry = users.find(name).expect("every user of the file is found");
        match hash {
            None => assert_eq!(entry.format, None),
            Some(hash) => {
                assert_eq!(users.hash_text(&entry), *hash);
                assert_eq!(entry.format, HashFormat::detect(hash, allowed).ok());
            }
        }
    }
    assert!(users.find(b"").is_none());
    let everybody: Vec<_> = model.keys().filter_map(|name| users.find(name)).collect();
    let mut prints: Vec<_> = everybody.iter().map(|entry| entry.fingerprint).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), everybody.len(), "no two lines have one fingerprint");
    let _ = users.bcrypt_cost_range();
    let _ = users.timing_equalizer().dummy_work(None);
}
