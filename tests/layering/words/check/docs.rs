//! The rule for the first words of a doc comment: it starts with what the item is or does.

use super::prose::{Block, TokenKind, tokens};
use super::rust::Item;

/// First words that no doc comment starts with: pronouns, prepositions, conjunctions, relative words, auxiliary verbs.
const NEVER: &str = "about after against also although among and anybody anyone anything are as at because before behind \
    beside besides between beyond but by can down during else everybody everyone everything for from \
    given had has have he hence here his how if in into is it its let like may must neither nobody nor \
    not nothing of off on only or otherwise out over see she should since so somebody someone something \
    than that their them then there these they this those though through to told toward under unless \
    until up upon was we were what whatever when whence where wherever which whichever while who \
    whoever whom whose why will with within without would yet you your";

/// Plural nouns that end like verbs. A function that starts with one is described by its result alone.
const PLURALS: &str = "addresses actions blocks bytes characters clients codes connections credentials entries errors \
    faults fields files groups headers hosts keys methods networks numbers parameters passwords paths \
    patterns peers questions refusals replies repositories rules seconds secrets settings statuses \
    subjects tags texts threads tokens users values words always perhaps sometimes this its various \
    previous ours others";

/// Lower-case names that may start a sentence.
const NAMES: &str = "actix apr1 argon2 argon2id bcrypt buildah cargo clap containerd crane crypt curl docker doorward \
    htpasswd inotify libxcrypt msgpack musl nginx oauth2-proxy openssl podman regctl reqwest ring \
    rustls serde skopeo systemd tokio tracing werkzeug yescrypt zot";

/// Words that a doc comment must not start with.
pub(super) struct BadStart {
    /// `doc-start`, or `doc-verb` if the comment is only not in the form for functions.
    pub(super) rule: &'static str,
    /// Byte range of the words in the block.
    pub(super) range: (usize, usize),
    pub(super) advice: &'static str,
}

/// Checks the first words of a doc comment.
pub(super) fn check(block: &Block, item: Item) -> Option<BadStart> {
    let tokens = tokens(&block.text);
    let first = tokens.first()?;
    let next = tokens.get(1).map_or("", |token| token.word());
    let range = (first.start, tokens.get(2).unwrap_or(first).end);
    let TokenKind::Word(word) = &first.kind else { return None };
    let word = word.trim_end_matches("'s");
    let original = block.text.get(first.start..first.end)?;
    let third = tokens.get(2).map_or("", |token| token.word());
    let bad = |rule, advice| Some(BadStart { rule, range, advice });
    match item {
        _ if lists(NEVER, word) && !(word == "in" && next == "flight") => bad("doc-start", advice(item)),
        _ if original.starts_with(char::is_lowercase) && !lists(NAMES, word) && !next.is_empty() => {
            bad("doc-start", "start with a capital letter")
        }
        Item::Function if word == "whether" => bad("doc-start", "Returns true if …"),
        Item::File | Item::Module | Item::Type if word == "whether" => bad("doc-start", advice(item)),
        _ if word == "the"
            && next == "same"
            && matches!(third, "" | "with" | "for" | "of" | "in" | "as" | "if" | "from") =>
        {
            bad("doc-start", "name it again: no reference to the item above")
        }
        _ if matches!(word, "all" | "one" | "some" | "any" | "none" | "each" | "both") && next == "of" => {
            let is_elliptical = matches!(third, "them" | "it" | "these" | "those" | "which" | "whom");
            is_elliptical.then_some(BadStart {
                rule: "doc-start",
                range,
                advice: "name the item: \"All settings\"",
            })
        }
        Item::Function if !word.ends_with('s') || word.ends_with("ss") || lists(PLURALS, word) => {
            bad("doc-verb", "a function starts with a verb: Returns, Parses, Checks")
        }
        _ => None,
    }
}

fn advice(item: Item) -> &'static str {
    match item {
        Item::Function => "start with a verb: Returns, Parses, Checks",
        Item::Test => "start with the condition as a noun, or name the case",
        Item::File | Item::Module => "start with the subject: The …, A …, Reads …",
        Item::Type | Item::Constant | Item::Field | Item::Variant | Item::Other => {
            "start with what it is: The …, A …, Number of …"
        }
    }
}

fn lists(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|listed| listed == word)
}
