//! The rules for sentences: length, contractions, possessives without a noun, `who`, and the phrases of `patterns.txt`.

use std::collections::HashSet;

use super::patterns::Pattern;
use super::prose::{Block, Origin, Role, Token, TokenKind, length, sentences, tokens};

/// A sentence may have this many words.
pub(super) const WORDS_MAX: usize = 30;

/// Fewer words than this are a fragment in a table or list. The mean length does not count them.
const FRAGMENT: usize = 4;

/// A break of a rule, by its place in the block.
pub(super) struct Break {
    pub(super) rule: &'static str,
    /// Byte range of the words in the block.
    pub(super) range: (usize, usize),
    /// Byte range of the sentence.
    pub(super) sentence: (usize, usize),
    pub(super) advice: String,
}

/// The nouns for humans, after which `who` is right.
const HUMANS: &[&str] = &[
    "user",
    "users",
    "person",
    "persons",
    "people",
    "operator",
    "operators",
    "administrator",
    "administrators",
    "admin",
    "admins",
    "attacker",
    "attackers",
    "developer",
    "developers",
    "reader",
    "readers",
    "customer",
    "customers",
    "visitor",
    "visitors",
    "employee",
    "employees",
    "engineer",
    "engineers",
    "member",
    "members",
    "human",
    "humans",
    "owner",
    "owners",
    "author",
    "authors",
    "maintainer",
    "maintainers",
    "alice",
    "bob",
];

/// Checks every sentence of a block, and returns the length of each.
pub(super) fn check(block: &Block, patterns: &[Pattern], found: &mut Vec<Break>) -> Vec<usize> {
    let tokens = tokens(&block.text);
    let mut lengths = Vec::new();
    for sentence in sentences(&block.text, &tokens) {
        let (Some(first), Some(last)) = (sentence.first(), sentence.last()) else { continue };
        let whole = (first.start, last.end);
        let words = length(sentence);
        let mut report = |rule, from: usize, to: usize, advice: &str| {
            let range = (sentence[from].start, sentence[to - 1].end);
            let is_known = found.iter().any(|b| b.rule == rule && b.range.0 < range.1 && range.0 < b.range.1);
            if !is_known {
                found.push(Break { rule, range, sentence: whole, advice: advice.to_owned() });
            }
        };
        if words > WORDS_MAX {
            report("length", 0, sentence.len(), &format!("{words} words; the limit is {WORDS_MAX}"));
        }
        let semicolons = sentence.iter().filter(|token| token.is(';')).count();
        if semicolons > 1 && block.role == Role::Paragraph && block.origin != Origin::Message {
            report("clauses", 0, sentence.len(), &format!("{semicolons} semicolons; write sentences"));
        }
        for at in 0..sentence.len() {
            if let Some(advice) = contraction(sentence[at].word()) {
                report("contraction", at, at + 1, advice);
            }
            if is_bare_possessive(&sentence[at..]) {
                report("possessive", at, at + 1, "repeat the noun: \"the file of the client\"");
            }
            if let Some(advice) = who(sentence, at) {
                report("person", at, at + 1, advice);
            }
        }
        if block.role == Role::Paragraph && is_clause_alone(sentence) {
            report("inversion", 0, 1, "name what it is: \"The place of …\", \"The reason for …\"");
        }
        // A heading or an interrogative may start with such a word: "What nginx sends".
        let is_title = block.role != Role::Paragraph || last.is('?');
        let set: HashSet<&str> = sentence.iter().map(Token::word).collect();
        let applies = |p: &&Pattern| !(is_title && p.rule == "inversion") && p.can_match(&set);
        for pattern in patterns.iter().filter(applies) {
            for (from, to) in pattern.find(sentence) {
                report(pattern.rule, from, to, pattern.advice);
            }
        }
        if block.role != Role::Heading && words >= FRAGMENT {
            lengths.push(words);
        }
    }
    lengths
}

fn contraction(word: &str) -> Option<&'static str> {
    const PRONOUNS: [&str; 14] = [
        "it's", "that's", "there's", "what's", "who's", "he's", "she's", "let's", "here's", "where's", "i'm",
        "how's", "they're", "you're",
    ];
    match word {
        "can't" => Some("cannot"),
        _ if word.ends_with("n't") => Some("write \"not\""),
        _ if PRONOUNS.contains(&word)
            || ["'ll", "'ve", "'d", "'re"].iter().any(|end| word.ends_with(end)) =>
        {
            Some("write both words")
        }
        _ => None,
    }
}

/// Recognizes a sentence that is only "Where the file is" or "Why it failed".
fn is_clause_alone(sentence: &[Token]) -> bool {
    let word = |at: usize| sentence.get(at).map_or("", Token::word);
    let is_question = sentence.last().is_some_and(|last| last.is('?'));
    match word(0) {
        "why" | "whether" => !is_question,
        "how" => !is_question && word(1) != "to",
        "where" => !is_question && !sentence.iter().any(|token| token.is(',')),
        _ => false,
    }
}

/// Recognizes "the client's" and "nginx's own" without a noun behind it.
fn is_bare_possessive(rest: &[Token]) -> bool {
    const NO_NOUNS: [&str; 26] = [
        "if", "and", "or", "is", "are", "was", "were", "that", "which", "in", "for", "to", "of", "as", "by",
        "at", "but", "before", "after", "only", "alone", "when", "unless", "has", "may", "with",
    ];
    let word = rest.first().map_or("", Token::word);
    if !word.ends_with("'s") || contraction(word).is_some() || word == "let's" {
        return false;
    }
    let is_no_noun = |token: Option<&Token>| match token.map(|token| &token.kind) {
        None => true,
        Some(TokenKind::Word(next)) => NO_NOUNS.contains(&&**next),
        Some(TokenKind::Mark(mark)) => matches!(mark, '.' | ',' | ';' | ':' | ')' | '?'),
        Some(TokenKind::Code) => false,
    };
    let at = if rest.get(1).is_some_and(|next| next.word() == "own") { 2 } else { 1 };
    is_no_noun(rest.get(at))
}

fn who(sentence: &[Token], at: usize) -> Option<&'static str> {
    let word = sentence[at].word();
    if word == "whose" {
        // "A file whose owner is root" is right; "Whose file it is" is not.
        let is_question = match at.checked_sub(1).and_then(|before| sentence.get(before)) {
            None => true,
            Some(before) => {
                before.is(';')
                    || before.is(':')
                    || matches!(before.word(), "and" | "or" | "of" | "to" | "says" | "see")
            }
        };
        return is_question.then_some("\"The owner of …\", \"a file whose …\"");
    }
    let is_human = |token: &Token| HUMANS.contains(&token.word());
    let is_question = at == 0 && sentence.last().is_some_and(|last| last.is('?'));
    let is_alone = word == "who" && !is_question && !sentence[at.saturating_sub(6)..at].iter().any(is_human);
    is_alone.then_some("\"the user who\", \"the client that\", \"the peer that\"")
}
