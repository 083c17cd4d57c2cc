//! Edits the text of an API key file: adds or removes lines. All other lines are kept.

use super::file::{ApiKeyLine, NO_KEYS_LINE};
use crate::reload::utf8_bom::strip_utf8_bom;

/// Returns the text with `line` appended.
///
/// # Errors
/// Returns an error if the line cannot be written as JSON.
pub(crate) fn add_line(text: &[u8], line: &ApiKeyLine) -> Result<Vec<u8>, serde_json::Error> {
    let mut changed = text.to_vec();
    if !changed.is_empty() && !changed.ends_with(b"\n") {
        changed.push(b'\n');
    }
    changed.extend(serde_json::to_vec(line)?);
    changed.push(b'\n');
    Ok(changed)
}

/// Returns the lines that have the form of an API key.
pub(crate) fn parse_lines(text: &[u8]) -> impl Iterator<Item = ApiKeyLine> {
    strip_utf8_bom(text).split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// Removes the lines of the keys for which `is_revoked` returns true. Returns the text and the number of removed lines.
pub(crate) fn remove_lines(text: &[u8], is_revoked: impl Fn(&ApiKeyLine) -> bool) -> (Vec<u8>, usize) {
    let mut removed = 0;
    let remaining = text.split_inclusive(|byte| *byte == b'\n').filter(|line| {
        let json = strip_utf8_bom(line).trim_ascii();
        let is_removed = serde_json::from_slice::<ApiKeyLine>(json).is_ok_and(|line| is_revoked(&line));
        removed += usize::from(is_removed);
        !is_removed
    });
    let mut output: Vec<u8> = remaining.flatten().copied().collect();
    if removed > 0 && parse_lines(&output).next().is_none() {
        if !output.is_empty() && !output.ends_with(b"\n") {
            output.push(b'\n');
        }
        output.extend_from_slice(NO_KEYS_LINE);
        output.push(b'\n');
    }
    (output, removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, owner: &str, name: &str) -> ApiKeyLine {
        ApiKeyLine {
            id: id.into(),
            hash: format!("sha256:{}", "0".repeat(64)),
            owner: owner.into(),
            name: name.into(),
            scope: None,
            created: None,
            expires: None,
            note: None,
        }
    }

    #[test]
    fn adding_and_removing_a_line_keeps_the_others() {
        let text = b"# keys of the team\n\nnot a key";
        let one = add_line(text, &line("0123456789", "alice", "ci")).unwrap();
        let two = add_line(&one, &line("abcdefghij", "alice", "laptop")).unwrap();
        assert!(two.starts_with(b"# keys of the team\n\nnot a key\n{\"id\":\"0123456789\""));
        assert_eq!(parse_lines(&two).map(|line| line.name).collect::<Vec<_>>(), ["ci", "laptop"]);
        assert_eq!(remove_lines(&two, |line| line.name == "laptop"), (one, 1));
        assert_eq!(remove_lines(&two, |line| line.name == "other"), (two.clone(), 0));
        let alone = add_line(b"", &line("0123456789", "alice", "ci")).unwrap();
        assert_eq!(remove_lines(&alone, |_| true), (b"# no keys\n".to_vec(), 1));
        assert_eq!(
            remove_lines(&two, |_| true),
            (b"# keys of the team\n\nnot a key\n# no keys\n".to_vec(), 2)
        );
    }
}
