//! Files whose comments start with `#`: their comments, docstrings of Python, and the messages that scripts print and
//! that nginx sends.

use super::prose::{Block, Origin, blocks};

/// Returns the comments of a file, each run of comment lines split into blocks.
pub(super) fn comments(text: &str, is_python: bool) -> Vec<Block> {
    let mut found = Vec::new();
    let mut run: Vec<(usize, &str)> = Vec::new();
    let mut in_docstring = false;
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let trimmed = line.trim();
        let quotes = if is_python { trimmed.matches("\"\"\"").count() } else { 0 };
        let starts_docstring = quotes > 0 && trimmed.starts_with("\"\"\"") && !in_docstring;
        if in_docstring || starts_docstring {
            run.push((number, trimmed.trim_matches('"')));
            in_docstring = if starts_docstring { quotes == 1 } else { quotes == 0 };
        } else if number == 1 && trimmed.starts_with("#!") {
        } else if let Some(comment) = trimmed.strip_prefix('#') {
            run.push((number, comment.trim_start_matches('#')));
        } else {
            found.extend(blocks(run.drain(..), Origin::Configuration));
            if let Some(comment) = trailing(line) {
                found.extend(blocks([(number, comment)], Origin::Configuration));
            }
        }
    }
    found.extend(blocks(run.drain(..), Origin::Configuration));
    found
}

/// Returns the comment at the end of a line of code.
fn trailing(line: &str) -> Option<&str> {
    let is_comment = |at: &usize| {
        let is_quoted = |quote: char| line.get(..*at).is_none_or(|code| code.matches(quote).count() % 2 == 1);
        !is_quoted('\'') && !is_quoted('"')
    };
    let at = line.match_indices(" # ").map(|(at, _)| at).find(is_comment)?;
    line.get(at + 3..)
}

/// Returns what a shell script prints by its own words, and the messages of nginx's JSON bodies.
pub(super) fn messages(text: &str) -> Vec<Block> {
    const PRINTERS: [&str; 9] =
        ["doorward_fail", "doorward_note", "fail", "say", "note", "die", "echo", "printf", "need"];
    const KEYS: [&str; 2] = ["\"message\":", "\"detail\":"];
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, '(' | '{' | ';'));
        let rests = KEYS.iter().filter_map(|key| line.split_once(key)).map(|(_, rest)| rest);
        let printed = words.any(|word| PRINTERS.contains(&word)).then_some(line);
        for text in rests.chain(printed).filter_map(quoted) {
            if text.split_whitespace().count() > 3 {
                found.extend(blocks([(at + 1, text)], Origin::Message));
            }
        }
    }
    found
}

/// Returns the first quotation of a line.
fn quoted(line: &str) -> Option<&str> {
    let start = line.find(['"', '\''])?;
    let quote = line.get(start..=start)?;
    let rest = line.get(start + 1..)?;
    rest.get(..rest.find(quote)?)
}
