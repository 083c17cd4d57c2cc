//! Changing a file of keys: a line more, or a line less; all others stay as they are.

use super::file::{ApiKeyLine, NO_KEYS_LINE};

/// The text with one more line at its end.
///
/// # Errors
/// The line can't be written.
pub fn add_line(text: &[u8], line: &ApiKeyLine) -> Result<Vec<u8>, serde_json::Error> {
    let mut changed = text.to_vec();
    if !changed.is_empty() && !changed.ends_with(b"\n") {
        changed.push(b'\n');
    }
    changed.extend(serde_json::to_vec(line)?);
    changed.push(b'\n');
    Ok(changed)
}

/// The lines that can be read as keys.
pub fn parse_lines(text: &[u8]) -> impl Iterator<Item = ApiKeyLine> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// The text without the lines of the keys for which `gone` holds, and how many those are.
pub fn remove_lines(text: &[u8], gone: impl Fn(&ApiKeyLine) -> bool) -> (Vec<u8>, usize) {
    let mut removed = 0;
    let kept = text.split_inclusive(|byte| *byte == b'\n').filter(|line| {
        let bare = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let is_gone = serde_json::from_slice::<ApiKeyLine>(bare.trim_ascii()).is_ok_and(|line| gone(&line));
        removed += usize::from(is_gone);
        !is_gone
    });
    let mut kept: Vec<u8> = kept.flatten().copied().collect();
    if removed > 0 && parse_lines(&kept).next().is_none() {
        if !kept.is_empty() && !kept.ends_with(b"\n") {
            kept.push(b'\n');
        }
        kept.extend_from_slice(NO_KEYS_LINE);
        kept.push(b'\n');
    }
    (kept, removed)
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
