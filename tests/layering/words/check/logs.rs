//! The rule for the message of a log event: a short noun phrase or a past-tense event.

use super::prose::{Block, TokenKind, length, tokens};

/// A log message may have this many words; everything else is a field.
const WORDS_MAX: usize = 12;

/// Returns what is wrong with a log message.
pub(super) fn check(block: &Block) -> Vec<String> {
    let tokens = tokens(&block.text);
    let mut found = Vec::new();
    let words = length(&tokens);
    if words > WORDS_MAX {
        found.push(format!("{words} words; the limit is {WORDS_MAX}: move the rest into fields"));
    }
    if block.text.ends_with('.') {
        found.push("no full stop at the end".to_owned());
    }
    let first = block.text.split_whitespace().next().unwrap_or_default();
    let is_name = first.chars().skip(1).any(|c| c.is_uppercase() || c.is_ascii_digit() || c == '-');
    if first.starts_with(char::is_uppercase) && !is_name {
        found.push("start in lower case".to_owned());
    }
    let starts_with_article =
        matches!(tokens.first().map(|token| token.word()), Some("a" | "an" | "the" | "there" | "one"));
    if starts_with_article {
        found.push("start with the noun: \"htpasswd reloaded\"".to_owned());
    }
    for token in &tokens {
        let TokenKind::Word(word) = &token.kind else { continue };
        let advice = match &**word {
            "it" | "its" | "they" | "them" | "their" | "he" | "his" | "you" | "your" | "we" | "our" => {
                "no pronoun"
            }
            "is" | "are" | "will" | "has" | "have" | "does" | "do" => {
                "a noun phrase or a past-tense event, no clause"
            }
            _ => continue,
        };
        found.push(format!("\"{word}\": {advice}"));
        break;
    }
    found
}
