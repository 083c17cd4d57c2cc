//! A reader of nginx's configuration format: words, quotes, comments, blocks.

use std::fs;
use std::path::Path;

/// A directive with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) words: Vec<String>,
    pub(super) opens_block: bool,
}

/// Returns all directives of a configuration in their order, or what is wrong with it. The rules are those of
/// `ngx_conf_read_token`.
pub(super) fn directives(text: &str) -> Result<Vec<Directive>, String> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            ';' | '{' if words.is_empty() => return Err(format!("nothing before {c}")),
            ';' | '{' => {
                depth += usize::from(c == '{');
                found.push(Directive { words: std::mem::take(&mut words), opens_block: c == '{' });
            }
            '}' if words.is_empty() => depth = depth.checked_sub(1).ok_or("a } without {")?,
            '}' => return Err(format!("a }} behind {words:?}")),
            '"' | '\'' => {
                let mut word = String::new();
                loop {
                    match chars.next().ok_or("a quote has no end")? {
                        '\\' => word.extend(['\\', chars.next().ok_or("a quote has no end")?]),
                        end if end == c => break,
                        other => word.push(other),
                    }
                }
                let is_at_end =
                    chars.peek().is_none_or(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '{' | ')'));
                if !is_at_end {
                    return Err(format!("text behind the quote {word:?}"));
                }
                words.push(word);
            }
            _ => {
                let mut word = String::from(c);
                let is_part = |c: &char| !matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '{');
                while let Some(c) = chars.next_if(is_part) {
                    word.push(c);
                }
                words.push(word);
            }
        }
    }
    if depth > 0 || !words.is_empty() {
        return Err(format!("the end is missing: depth {depth}, {words:?}"));
    }
    Ok(found)
}

/// Returns the name of a directive. The entries of a map with a regular expression have one name.
pub(super) fn name(word: &str) -> &str {
    if word.starts_with('~') { "~" } else { word }
}

/// Returns the text without the tags of the templates. Each value is replaced by a letter.
fn without_tags(text: &str) -> String {
    let mut rest = text;
    let mut result = String::new();
    while let Some((before, tag)) = rest.split_once('{').map(|(before, tag)| (before, tag.chars().next())) {
        let after = &rest[before.len()..];
        result.push_str(before);
        let (end, shown) = match tag {
            Some('%') => ("%}", " "),
            Some('{') => ("}}", "x"),
            _ => ("{", "{"),
        };
        result.push_str(shown);
        rest = after.split_once(end).map_or("", |(_, rest)| rest);
    }
    result + rest
}

/// Returns the names of all directives of the templates, the first words of their lines.
pub(super) fn template_names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = without_tags(&fs::read_to_string(entry.unwrap().path()).unwrap());
        let words = text.lines().filter_map(|line| line.split_whitespace().next());
        names.extend(words.map(|word| name(word.trim_matches(['"', ';'])).to_owned()));
    }
    names.sort();
    names.dedup();
    names
}

#[test]
fn words_quotes_comments_and_blocks_are_read() {
    let read = |text: &str| {
        directives(text)
            .map(|all| all.into_iter().map(|d| (d.words.join("|"), d.opens_block)).collect::<Vec<_>>())
    };
    let text = "# c {\na \"b c\" 'd;' $e;\nserver { x y#z; }\n";
    let expected = [("a|b c|d;|$e", false), ("server", true), ("x|y#z", false)];
    assert_eq!(read(text).unwrap(), expected.map(|(words, opens)| (words.to_owned(), opens)));
    assert_eq!(without_tags("{% if a %}b {{ c }} {% endif %};{"), " b x  ;{");
    for text in ["a", "a {", "}", ";", "a } b;", "a \"b;", "a \"b\"c;"] {
        assert!(read(text).is_err(), "{text}");
    }
}
