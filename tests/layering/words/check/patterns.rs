//! The pattern language of `patterns.txt`, and the search for patterns in sentences.

use std::collections::HashSet;

use super::prose::{Token, TokenKind};

/// A phrase that must not occur, and the advice that is printed with it.
pub(super) struct Pattern {
    pub(super) rule: &'static str,
    pub(super) advice: &'static str,
    elements: Vec<Element>,
    /// A sentence without any of these words cannot match. Empty if there is no such list.
    needed: Vec<&'static str>,
}

enum Element {
    Start,
    End,
    /// The word before is none of these.
    NotAfter(Vec<&'static str>),
    /// The next word is none of these.
    NotBefore(Vec<&'static str>),
    /// One token out of these.
    OneOf(Vec<&'static str>),
    /// Zero to three words.
    Gap,
}

/// Reads the pattern file. A line that cannot be read is an error with its number.
pub(super) fn read(text: &'static str) -> Result<Vec<Pattern>, String> {
    let mut rule = "";
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(name) = line.strip_prefix('[') {
            rule = name.trim_end_matches(']');
        } else {
            let (words, advice) = line
                .split_once(" => ")
                .ok_or_else(|| format!("patterns.txt:{}: \" => \" is missing", at + 1))?;
            let elements: Vec<Element> = words.split_whitespace().map(element).collect();
            let needed = elements.iter().find_map(plain_words).unwrap_or_default();
            found.push(Pattern { rule, advice, elements, needed });
        }
    }
    Ok(found)
}

fn element(text: &'static str) -> Element {
    let words = |list: &'static str| list.split('|').collect();
    match (text, text.strip_prefix('!'), text.strip_prefix('~')) {
        ("^", ..) => Element::Start,
        ("$", ..) => Element::End,
        ("...", ..) => Element::Gap,
        (_, Some(list), _) => Element::NotAfter(words(list)),
        (_, _, Some(list)) => Element::NotBefore(words(list)),
        _ => Element::OneOf(words(text)),
    }
}

/// Returns the words of an element without wildcards, marks and anchors.
fn plain_words(element: &Element) -> Option<Vec<&'static str>> {
    let is_plain = |word: &&str| word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\''));
    match element {
        Element::OneOf(words) if words.iter().all(is_plain) => Some(words.clone()),
        _ => None,
    }
}

impl Pattern {
    /// Returns true if a sentence with these words can match.
    pub(super) fn can_match(&self, words: &HashSet<&str>) -> bool {
        self.needed.is_empty() || self.needed.iter().any(|word| words.contains(word))
    }

    /// Returns the ranges of tokens that match, without overlaps.
    pub(super) fn find(&self, sentence: &[Token]) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for start in 0..sentence.len() {
            if found.last().is_none_or(|(_, end)| *end <= start)
                && let Some(end) = matches(&self.elements, sentence, start)
                && end > start
            {
                found.push((start, end));
            }
        }
        found
    }
}

/// Returns where a match that starts at `at` ends.
fn matches(elements: &[Element], sentence: &[Token], at: usize) -> Option<usize> {
    let Some((first, rest)) = elements.split_first() else { return Some(at) };
    let is_one = |index: Option<usize>, words: &[&str]| {
        let token = index.and_then(|index| sentence.get(index));
        words.iter().any(|word| token.map_or(*word == "^", |token| is_word(token, word)))
    };
    match first {
        Element::Start => (at == 0).then(|| matches(rest, sentence, at)).flatten(),
        Element::End => {
            let is_end = sentence[at..]
                .iter()
                .all(|token| matches!(token.kind, TokenKind::Mark('.' | '!' | '?' | ')')));
            is_end.then(|| matches(rest, sentence, at)).flatten()
        }
        Element::NotAfter(words) if is_one(at.checked_sub(1), words) => None,
        Element::NotBefore(words) if at < sentence.len() && is_one(Some(at), words) => None,
        Element::NotAfter(_) | Element::NotBefore(_) => matches(rest, sentence, at),
        Element::OneOf(words) if at < sentence.len() && is_one(Some(at), words) => {
            matches(rest, sentence, at + 1)
        }
        Element::OneOf(_) => None,
        Element::Gap => {
            let is_word = |token: &&Token| !matches!(token.kind, TokenKind::Mark(_));
            let most = sentence[at..].iter().take(3).take_while(is_word).count();
            (0..=most).find_map(|skipped| matches(rest, sentence, at + skipped))
        }
    }
}

fn is_word(token: &Token, pattern: &str) -> bool {
    match &token.kind {
        TokenKind::Code => pattern == "\u{a7}",
        TokenKind::Mark(mark) => pattern.starts_with(*mark) && pattern.chars().count() == 1,
        TokenKind::Word(word) if pattern == "#" => word.starts_with(|c: char| c.is_ascii_digit()),
        TokenKind::Word(word) => match pattern.split_once('*') {
            Some((start, end)) => {
                word.len() >= start.len() + end.len() && word.starts_with(start) && word.ends_with(end)
            }
            None => word == pattern,
        },
    }
}
