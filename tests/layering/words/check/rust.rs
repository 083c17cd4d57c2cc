//! Comments, strings and names of Rust source, read as text.

use std::iter;

/// A piece of source that is written in words, with its line.
#[derive(Debug)]
pub(super) enum Piece {
    /// Consecutive comment lines, with the number of each.
    Comment { lines: Vec<(usize, String)>, documents: Option<Item> },
    /// A string literal outside tests: the message of a log event, or any other.
    Text { line: usize, text: String, is_log: bool },
    /// A defined name.
    Name { line: usize, name: String, item: Item },
}

/// The item that a doc comment or a name belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item {
    File,
    Module,
    Function,
    Test,
    Type,
    Constant,
    Field,
    Variant,
    Other,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// `///`, `//!` or `//`.
    Comment(&'static str),
    Word,
    Text,
    Mark(char),
}

#[derive(Debug)]
struct Lexeme {
    kind: Kind,
    text: String,
    line: usize,
}

impl Lexeme {
    fn is(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::Comment(_))
    }
}

/// Splits source into comments, words, strings and marks. Numbers, characters and lifetimes are left out.
fn lex(source: &str) -> Vec<Lexeme> {
    let bytes = source.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let c = byte(at);
        let start = at;
        let first_line = line;
        let kind = if source[at..].starts_with("//") {
            at = source[at..].find('\n').map_or(bytes.len(), |end| at + end);
            Some(Kind::Comment(match &source[start..at] {
                text if text.starts_with("///") && !text.starts_with("////") => "///",
                text if text.starts_with("//!") => "//!",
                _ => "//",
            }))
        } else if source[at..].starts_with("/*") {
            at = source[at..].find("*/").map_or(bytes.len(), |end| at + end + 2);
            None
        } else if c == b'"' {
            at = string_end(bytes, at);
            Some(Kind::Text)
        } else if let Some(end) = raw_string_end(source, at) {
            at = end;
            Some(Kind::Text)
        } else if matches!(c, b'b' | b'c') && byte(at + 1) == b'"' {
            at = string_end(bytes, at + 1);
            // Bytes are data.
            None
        } else if c == b'\'' {
            at = quote_end(source, at);
            None
        } else if c.is_ascii_alphabetic() || c == b'_' {
            let end = source[at..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
            at = end.map_or(bytes.len(), |end| at + end);
            Some(Kind::Word)
        } else {
            at += source[at..].chars().next().map_or(1, char::len_utf8);
            (!c.is_ascii_whitespace() && !c.is_ascii_digit() && c.is_ascii())
                .then_some(Kind::Mark(char::from(c)))
        };
        let text = &source[start..at];
        line += text.matches('\n').count();
        if let Some(kind) = kind {
            found.push(Lexeme { kind, text: text.to_owned(), line: first_line });
        }
    }
    found
}

/// Returns the end of the string that starts with the quote at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(source: &str, at: usize) -> Option<usize> {
    let rest = source[at..].strip_prefix("br").or_else(|| source[at..].strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |end| end + close.len());
    Some(source.len() - body.len() + end)
}

/// Returns the end of a character literal, or of the quote of a lifetime.
fn quote_end(source: &str, at: usize) -> usize {
    let mut chars = source[at + 1..].char_indices();
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((second, escaped))) => {
            let skip = at + 1 + second + escaped.len_utf8();
            source[skip..].find('\'').map_or(source.len(), |end| skip + end + 1)
        }
        (Some(_), Some((second, '\''))) => at + 1 + second + 1,
        _ => at + 1,
    }
}

/// Returns the text of a literal: escapes resolved, and a line that is continued joined.
fn unescape(literal: &str) -> String {
    if literal.starts_with(['r', 'b']) {
        return literal.trim_start_matches(['b', 'r', '#', '"']).trim_end_matches(['#', '"']).to_owned();
    }
    let mut text = String::new();
    let mut chars = literal.trim_start_matches('"').chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some('r' | '0') | None => {}
            Some('t') => text.push(' '),
            Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            Some('u' | 'x') => text.push('?'),
            Some(other) => text.push(other),
        }
    }
    text.truncate(text.trim_end_matches('"').len());
    text
}

/// Reads the pieces of a file. Strings are read only if `with_strings` is set, and never in a test module.
pub(super) fn pieces(source: &str, with_strings: bool) -> Vec<Piece> {
    let lexemes = lex(source);
    let code: Vec<&Lexeme> = lexemes.iter().filter(|lexeme| !lexeme.is_comment()).collect();
    let mut found: Vec<Piece> = comments(&lexemes);
    let tests = test_module(&code);
    if with_strings {
        found.extend(texts(&code[..tests]));
    }
    found.extend(names(&code));
    found
}

/// Returns where the test module of a file starts.
fn test_module(code: &[&Lexeme]) -> usize {
    let starts = |window: &[&Lexeme]| {
        matches!(window, [cfg, _, test, _, _, module, name, open, ..]
            if cfg.is_word("cfg") && test.is_word("test") && module.is_word("mod") && name.kind == Kind::Word && open.is('{'))
    };
    code.windows(8).position(starts).unwrap_or(code.len())
}

fn comments(lexemes: &[Lexeme]) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = lexemes.get(at) {
        let Kind::Comment(mark) = first.kind else {
            at += 1;
            continue;
        };
        let run: Vec<&Lexeme> = iter::once(first)
            .chain(
                lexemes[at + 1..]
                    .iter()
                    .zip(first.line + 1..)
                    .take_while(|(l, line)| l.kind == first.kind && l.line == *line)
                    .map(|(l, _)| l),
            )
            .collect();
        let is_trailing = at > 0 && lexemes[at - 1].line == first.line && !lexemes[at - 1].is_comment();
        let length = if is_trailing { 1 } else { run.len() };
        let lines =
            run[..length].iter().map(|l| (l.line, l.text.trim_start_matches(mark).to_owned())).collect();
        at += length;
        let rest: Vec<&Lexeme> = lexemes[at..].iter().filter(|l| !l.is_comment()).take(200).collect();
        let documents = match mark {
            "///" => Some(item(&rest)),
            "//!" => Some(Item::File),
            _ => None,
        };
        found.push(Piece::Comment { lines, documents });
    }
    found
}

/// Returns what the code begins with, attributes and visibility skipped.
fn item(code: &[&Lexeme]) -> Item {
    let (at, is_test) = skip_attributes(code);
    let mut rest = &code[at..];
    loop {
        let Some(first) = rest.first() else { return Item::Other };
        let second = rest.get(1);
        match &*first.text {
            "pub" if second.is_some_and(|l| l.is('(')) => {
                let close = rest.iter().position(|l| l.is(')')).unwrap_or(0);
                rest = &rest[close + 1..];
            }
            "const" if second.is_some_and(|l| l.kind == Kind::Word && !l.is_word("fn")) => {
                return Item::Constant;
            }
            "pub" | "async" | "unsafe" | "const" | "default" => rest = &rest[1..],
            "fn" => return if is_test { Item::Test } else { Item::Function },
            "struct" | "enum" | "trait" | "union" | "type" => return Item::Type,
            "static" => return Item::Constant,
            "mod" => return Item::Module,
            _ if first.kind != Kind::Word
                || matches!(&*first.text, "impl" | "use" | "macro_rules" | "extern") =>
            {
                return Item::Other;
            }
            _ if second.is_some_and(|l| l.is(':')) && !rest.get(2).is_some_and(|l| l.is(':')) => {
                return Item::Field;
            }
            _ if second.is_some_and(|l| matches!(l.kind, Kind::Mark(',' | '(' | '{' | '}' | '='))) => {
                return Item::Variant;
            }
            _ => return Item::Other,
        }
    }
}

/// Returns how many lexemes are attributes, and whether one of them makes a test.
fn skip_attributes(code: &[&Lexeme]) -> (usize, bool) {
    let (mut at, mut is_test) = (0, false);
    while code.get(at).is_some_and(|l| l.is('#')) && code.get(at + 1).is_some_and(|l| l.is('[')) {
        let mut depth = 0;
        let start = at;
        for lexeme in &code[start + 1..] {
            at += 1;
            depth += isize::from(lexeme.is('[')) - isize::from(lexeme.is(']'));
            if depth == 0 {
                break;
            }
        }
        let path: Vec<&&Lexeme> =
            code[start..at].iter().take_while(|l| !l.is('(')).filter(|l| l.kind == Kind::Word).collect();
        is_test |= path.last().is_some_and(|l| l.text == "test");
        at += 1;
    }
    (at.min(code.len()), is_test)
}

fn texts(code: &[&Lexeme]) -> Vec<Piece> {
    let mut found = Vec::new();
    // The depth of brackets, and the one inside the log macro that is open.
    let (mut depth, mut log): (usize, Option<usize>) = (0, None);
    let mut has_message = false;
    for (at, lexeme) in code.iter().enumerate() {
        match lexeme.kind {
            Kind::Mark('(' | '[' | '{') => {
                depth += 1;
                let before = (at.checked_sub(2).map(|i| code[i]), at.checked_sub(1).map(|i| code[i]));
                if let (Some(name), Some(bang)) = before
                    && bang.is('!')
                    && matches!(&*name.text, "error" | "warn" | "info" | "debug" | "trace")
                {
                    log = Some(depth);
                    has_message = false;
                }
            }
            Kind::Mark(')' | ']' | '}') => {
                if log == Some(depth) {
                    log = None;
                }
                depth = depth.saturating_sub(1);
            }
            Kind::Text => {
                let follows = at.checked_sub(1).is_some_and(|i| code[i].is(',') || code[i].is('('));
                let is_log = log == Some(depth) && follows && !has_message;
                has_message |= is_log;
                found.push(Piece::Text { line: lexeme.line, text: unescape(&lexeme.text), is_log });
            }
            _ => {}
        }
    }
    found
}

fn names(code: &[&Lexeme]) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut is_test = false;
    let mut at = 0;
    while let Some(lexeme) = code.get(at) {
        if lexeme.is('#') {
            let (length, test) = skip_attributes(&code[at..]);
            is_test = test;
            at += length.max(1);
            continue;
        }
        let item = match &*lexeme.text {
            "fn" if is_test => Some(Item::Test),
            "fn" => Some(Item::Function),
            "struct" | "enum" | "trait" | "union" | "type" => Some(Item::Type),
            "mod" => Some(Item::Module),
            "const" | "static" => Some(Item::Constant),
            _ => None,
        };
        let name = code
            .get(at + 1)
            .filter(|next| next.kind == Kind::Word && !matches!(&*next.text, "fn" | "unsafe" | "mut"));
        if let (Kind::Word, Some(item), Some(name)) = (&lexeme.kind, item, name) {
            found.push(Piece::Name { line: name.line, name: name.text.clone(), item });
            is_test = false;
            let members = match &*lexeme.text {
                "struct" => Some(Item::Field),
                "enum" => Some(Item::Variant),
                _ => None,
            };
            if let Some(member) = members {
                found.extend(member_names(&code[at + 2..], member));
            }
        }
        at += 1;
    }
    found
}

/// Returns the fields or variants of the type whose generics or body follow.
fn member_names(code: &[&Lexeme], item: Item) -> Vec<Piece> {
    let mut found = Vec::new();
    let Some(open) = code.iter().position(|l| l.is('{') || l.is(';')).filter(|at| code[*at].is('{')) else {
        return found;
    };
    let mut depth = 0_usize;
    let mut is_start = true;
    let mut at = open;
    while let Some(lexeme) = code.get(at) {
        match lexeme.kind {
            Kind::Mark('{' | '(' | '<') => depth += 1,
            Kind::Mark('>') if code[at - 1].is('-') => {}
            Kind::Mark('}' | ')' | '>') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            Kind::Mark(',') if depth == 1 => is_start = true,
            Kind::Mark('#') => {
                at += skip_attributes(&code[at..]).0.max(1);
                continue;
            }
            Kind::Word if depth == 1 && is_start && lexeme.text != "pub" => {
                is_start = false;
                found.push(Piece::Name { line: lexeme.line, name: lexeme.text.clone(), item });
            }
            _ => {}
        }
        at += 1;
    }
    found
}
