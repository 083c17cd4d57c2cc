//! Text as blocks, sentences and tokens: a paragraph, a list item, a table cell or a heading is a block of its own.

use std::iter;

/// The origin of a block. It decides which rules apply and under which heading the figures are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A Markdown file.
    Markdown,
    /// A comment or doc comment of a Rust file.
    Comment,
    /// A comment of a configuration file, a script or a Makefile.
    Configuration,
    /// A string of the program: an error, a help text, a line of output.
    Message,
    /// The message of a log event.
    Log,
}

/// The role of a block on its page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// A paragraph or a list item.
    Paragraph,
    /// A heading.
    Heading,
    /// A table cell.
    Cell,
}

/// A piece of text that ends where a sentence must end.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) origin: Origin,
    pub(super) role: Role,
    pub(super) text: String,
    /// The offset in `text` at which each source line starts, with the number of the line.
    pub(super) marks: Vec<(usize, usize)>,
}

impl Block {
    fn new(origin: Origin, role: Role, line: usize, text: &str) -> Self {
        Self { origin, role, text: text.trim().to_owned(), marks: vec![(0, line)] }
    }

    fn append(&mut self, line: usize, text: &str) {
        self.text.push(' ');
        self.marks.push((self.text.len(), line));
        self.text.push_str(text.trim());
    }

    /// Returns the source line of a byte offset.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        let before = self.marks.iter().rev().find(|(start, _)| *start <= offset);
        before.or(self.marks.first()).map_or(1, |(_, line)| *line)
    }
}

/// A unit of a sentence, with its byte range in the text of the block.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The kind of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A word, in lower case.
    Word(String),
    /// A code span, a URL, a path, a quotation, a placeholder: it counts as one word.
    Code,
    /// A punctuation mark.
    Mark(char),
}

impl Token {
    /// Returns the word, or an empty string.
    pub(super) fn word(&self) -> &str {
        match &self.kind {
            TokenKind::Word(word) => word,
            TokenKind::Code | TokenKind::Mark(_) => "",
        }
    }

    pub(super) fn is(&self, mark: char) -> bool {
        self.kind == TokenKind::Mark(mark)
    }
}

/// Splits numbered lines of Markdown into blocks. Fenced code, HTML comments and drawings are left out.
pub(super) fn blocks<'a>(lines: impl IntoIterator<Item = (usize, &'a str)>, origin: Origin) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut fence: Option<&str> = None;
    let mut in_comment = false;
    for (number, line) in lines {
        let text = line.trim();
        if let Some(mark) = fence {
            if text.starts_with(mark) {
                fence = None;
            }
            continue;
        }
        if in_comment {
            in_comment = !text.contains("-->");
            continue;
        }
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| text.starts_with(mark)) {
            found.extend(open.take());
            fence = Some(mark);
        } else if text.starts_with("<!--") {
            found.extend(open.take());
            in_comment = !text.contains("-->");
        } else if text.is_empty() || is_drawing(text) || is_code(text, origin) {
            found.extend(open.take());
        } else if text.starts_with('#') && matches!(origin, Origin::Markdown | Origin::Comment) {
            found.extend(open.take());
            found.push(Block::new(origin, Role::Heading, number, text.trim_start_matches('#')));
        } else if text.starts_with('|') {
            found.extend(open.take());
            found.extend(cells(text).map(|cell| Block::new(origin, Role::Cell, number, cell)));
        } else if let Some(text) = list_item(text) {
            found.extend(open.take());
            open = Some(Block::new(origin, Role::Paragraph, number, text));
        } else if let Some(at) = column(text).filter(|_| origin != Origin::Markdown) {
            // A list in columns, such as the commands at the top of a script: each row is a block of its own.
            found.extend(open.take());
            open = Some(Block::new(origin, Role::Cell, number, &text[at..]));
        } else if let Some(block) = &mut open {
            block.append(number, text.trim_start_matches('>'));
        } else {
            open = Some(Block::new(origin, Role::Paragraph, number, text.trim_start_matches('>')));
        }
    }
    found.extend(open);
    found.retain(|block| block.text.chars().any(char::is_alphabetic));
    found
}

fn is_drawing(text: &str) -> bool {
    text.chars().any(|c| ('\u{2500}'..='\u{25ff}').contains(&c))
        || text.chars().all(|c| "-=_ |:+".contains(c))
}

/// Recognizes directives and assignments that are commented out.
fn is_code(text: &str, origin: Origin) -> bool {
    origin == Origin::Configuration
        && (text.ends_with([';', '{', '}', '\\', ']'])
            || text.starts_with(['[', '<', '{', '$', '!'])
            || text.starts_with("shellcheck ")
            || text.split_once(" =").is_some_and(|(key, _)| !key.contains(' ')))
}

fn list_item(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")) {
        return Some(rest);
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == text.len() || text.len() - rest.len() > 2 {
        return None;
    }
    rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))
}

/// Returns where the second column of a row starts.
fn column(text: &str) -> Option<usize> {
    let gap = text.find("   ")?;
    let rest = text.get(gap..)?;
    Some(gap + rest.len() - rest.trim_start().len())
}

fn cells(row: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    let mut is_escaped = false;
    let separates = move |c: char| {
        in_code ^= c == '`';
        let ends = c == '|' && !in_code && !is_escaped;
        is_escaped = c == '\\';
        ends
    };
    row.split(separates).map(str::trim).filter(|cell| !cell.is_empty())
}

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &text[at..];
        let previous = text[..at].chars().next_back();
        let (kind, length) = if c.is_whitespace()
            || c == '*'
            || (c == '_' && !rest[1..].starts_with(char::is_alphanumeric))
        {
            (None, c.len_utf8())
        } else if c == '`' {
            (Some(TokenKind::Code), code_span(rest))
        } else if rest.starts_with("](") {
            (None, rest.find(')').map_or(1, |end| end + 1))
        } else if matches!(c, '[' | ']' | '\u{200b}') {
            (None, c.len_utf8())
        } else if let Some(length) = enclosed(rest, previous) {
            (Some(TokenKind::Code), length)
        } else if rest.starts_with("http://") || rest.starts_with("https://") || rest.starts_with("unix:/") {
            (Some(TokenKind::Code), url(rest))
        } else if c.is_alphanumeric() || starts_technical(rest) {
            let (kind, length) = word(rest);
            (Some(kind), length)
        } else {
            (Some(TokenKind::Mark(c)), c.len_utf8())
        };
        if let Some(kind) = kind {
            found.push(Token { kind, start: at, end: at + length });
        }
        at += length;
    }
    found
}

fn code_span(rest: &str) -> usize {
    let ticks = rest.len() - rest.trim_start_matches('`').len();
    let Some(end) = rest[ticks..].find(&rest[..ticks]) else { return ticks };
    let end = ticks + end + ticks;
    // `x`'s and `key`s are one word.
    end + rest[end..]
        .find(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '-'))
        .unwrap_or(rest.len() - end)
}

/// Returns the length of a quotation, a placeholder or an HTML tag at the start of `rest`.
fn enclosed(rest: &str, previous: Option<char>) -> Option<usize> {
    let close = match rest.chars().next()? {
        '"' => '"',
        '\u{201c}' => '\u{201d}',
        '\'' if previous.is_none_or(|c| c.is_whitespace() || c == '(') => '\'',
        '{' => '}',
        '<' if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') => '>',
        _ => return None,
    };
    let end = rest.char_indices().skip(1).find(|(_, c)| *c == close)?.0;
    (end < 160).then_some(end + close.len_utf8())
}

fn url(rest: &str) -> usize {
    let end = rest.find(|c: char| c.is_whitespace() || ")>`\"'|,;".contains(c)).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':', '?', '*']).len()
}

fn starts_technical(rest: &str) -> bool {
    let mut chars = rest.chars();
    matches!(chars.next(), Some('/' | '$' | '-' | '.' | '~' | '@' | '%' | '#' | '='))
        && chars.find(|c| *c != '-').is_some_and(|c| c.is_alphanumeric() || c == '/')
}

fn word(rest: &str) -> (TokenKind, usize) {
    for short in ["e.g.", "i.e.", "vs.", "cf.", "approx."] {
        if rest.to_lowercase().starts_with(short) {
            return (TokenKind::Word(short.replace('.', "")), short.len());
        }
    }
    let mut chars = rest.char_indices().peekable();
    let mut end = 0;
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let joins = |c: char| "'\u{2019}-_./:@#=$%&+~\\,".contains(c);
        let next_is_inner = next.is_some_and(|n| n.is_alphanumeric() || (c != ',' && "_/$@{<".contains(n)));
        let is_inner = match c {
            ',' => {
                rest[..at].ends_with(|p: char| p.is_ascii_digit()) && next.is_some_and(|n| n.is_ascii_digit())
            }
            '$' | '/' | '%' | '_' | '{' | '}' | '<' | '>' | '(' => c != '(' || (next == Some(')')),
            c => c.is_alphanumeric() || (joins(c) && (at == 0 || next_is_inner)),
        };
        if !is_inner {
            break;
        }
        end = at + c.len_utf8();
    }
    let end = end.max(rest.chars().next().map_or(1, char::len_utf8));
    let text = &rest[..end];
    let is_number = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '%'));
    let stem = text.trim_end_matches("'s");
    let is_technical = !is_number
        && (text.starts_with(['-', '.'])
        || text.contains(|c: char| "_/:.@#=$%&+~\\{}<>(".contains(c))
        || text.contains(|c: char| c.is_ascii_digit())
        // CamelCase.
        || stem.chars().skip(1).any(char::is_uppercase) && stem.chars().any(char::is_lowercase));
    let lower = text.replace('\u{2019}', "'").to_lowercase();
    (if is_technical { TokenKind::Code } else { TokenKind::Word(lower) }, end)
}

/// Splits the tokens of a block into sentences.
pub(super) fn sentences<'a>(text: &str, tokens: &'a [Token]) -> Vec<&'a [Token]> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        let ends = matches!(token.kind, TokenKind::Mark('.' | '!' | '?'))
            && text[token.end..]
                .trim_start_matches(['*', '_', ')', '"', '\u{201d}', '`'])
                .chars()
                .next()
                .is_none_or(char::is_whitespace);
        if ends {
            found.push(&tokens[start..=at]);
            start = at + 1;
        }
    }
    found.push(&tokens[start..]);
    // A closing bracket after the full stop is not a sentence.
    found.retain(|sentence| sentence.iter().any(|token| !matches!(token.kind, TokenKind::Mark(_))));
    found
}

/// Counts the words of a sentence. An enumeration of code spans counts as one word.
pub(super) fn length(sentence: &[Token]) -> usize {
    let mut count = 0;
    let mut is_enumeration = false;
    for (token, next) in sentence.iter().zip(sentence.iter().skip(1).map(Some).chain(iter::repeat(None))) {
        match &token.kind {
            TokenKind::Code => {
                count += usize::from(!is_enumeration);
                is_enumeration = true;
            }
            TokenKind::Mark(',' | '/') => {}
            TokenKind::Word(word)
                if is_enumeration
                    && matches!(&**word, "and" | "or")
                    && next.is_some_and(|n| n.kind == TokenKind::Code) => {}
            TokenKind::Word(_) => {
                count += 1;
                is_enumeration = false;
            }
            TokenKind::Mark(_) => is_enumeration = false,
        }
    }
    count
}
