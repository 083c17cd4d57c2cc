//! Reads the text of one configuration file into statements, by the grammar of nginx (`ngx_conf_read_token`).

use std::fmt;

/// Maximum nesting of blocks in one file. nginx configurations use about six levels.
pub(super) const NESTING_MAX: usize = 32;

/// Maximum number of words in all files. The largest configurations in use have some ten thousand.
pub(super) const WORDS_MAX: usize = 1_000_000;

/// The end of the names of directives whose block is Lua code: `content_by_lua_block`.
const LUA_BLOCK: &str = "_by_lua_block";

/// A directive as it is written: its words, and the statements of its block.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// The name and the arguments, without quotes and with escapes replaced. The list is not empty.
    pub words: Vec<String>,
    /// The line of the first word, from 1.
    pub line: usize,
    /// The statements of the block, if there is one. The block of a `…_by_lua_block` is empty.
    pub block: Option<Vec<Self>>,
}

/// An error of the grammar.
#[derive(Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line of the error, from 1.
    pub line: usize,
    message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The character that ended a directive.
enum Terminator {
    Semicolon,
    BlockStart,
    BlockEnd,
    Text,
}

/// Parses the text of one file. Subtracts its number of words from `words_left`.
pub fn parse_statements(text: &str, words_left: &mut usize) -> Result<Vec<Statement>, SyntaxError> {
    let mut reader = Reader { text, at: 0, line: 1, words_left };
    // The open blocks, each with the statements before it at its own level.
    let mut open: Vec<(Statement, Vec<Statement>)> = Vec::new();
    let mut statements = Vec::new();
    if text.starts_with('\u{feff}') {
        return Err(reader.error("the file starts with a byte order mark; save it as UTF-8 without one"));
    }
    loop {
        let (words, line, end) = reader.read_directive()?;
        match end {
            Terminator::Semicolon => statements.push(Statement { words, line, block: None }),
            Terminator::BlockStart => {
                if words.first().is_some_and(|name| name.ends_with(LUA_BLOCK)) {
                    reader.skip_lua_block()?;
                    statements.push(Statement { words, line, block: Some(Vec::new()) });
                    continue;
                }
                if open.len() >= NESTING_MAX {
                    return Err(reader.error(&format!("more than {NESTING_MAX} nested blocks")));
                }
                open.push((Statement { words, line, block: None }, std::mem::take(&mut statements)));
            }
            Terminator::BlockEnd => {
                let Some((mut parent, before)) = open.pop() else {
                    return Err(reader.error("unexpected `}`; remove it, or add the `{` of its block"));
                };
                parent.block = Some(std::mem::replace(&mut statements, before));
                statements.push(parent);
            }
            Terminator::Text => {
                return match open.last() {
                    None => Ok(statements),
                    Some((block, _)) => Err(SyntaxError {
                        line: reader.line,
                        message: format!(
                            "the file ends inside the block of line {}; add the missing `}}`",
                            block.line
                        ),
                    }),
                };
            }
        }
    }
}

/// The position in the text of a file.
struct Reader<'t, 'w> {
    text: &'t str,
    at: usize,
    line: usize,
    words_left: &'w mut usize,
}

impl Reader<'_, '_> {
    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError { line: self.line, message: message.to_owned() }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    /// Reads words up to the end of the directive. Returns them with the line of the first one.
    fn read_directive(&mut self) -> Result<(Vec<String>, usize, Terminator), SyntaxError> {
        let mut words = Vec::new();
        let mut first_line = self.line;
        loop {
            let Some(byte) = self.peek() else {
                return if words.is_empty() {
                    Ok((words, first_line, Terminator::Text))
                } else {
                    Err(self.error("the file ends inside a directive; add the missing `;`"))
                };
            };
            let end = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.next();
                    continue;
                }
                b'#' => {
                    self.skip_line();
                    continue;
                }
                b';' => Terminator::Semicolon,
                b'{' => Terminator::BlockStart,
                b'}' => Terminator::BlockEnd,
                _ => {
                    if words.is_empty() {
                        first_line = self.line;
                    }
                    let word = self.read_word()?;
                    words.push(word);
                    *self.words_left = self
                        .words_left
                        .checked_sub(1)
                        .ok_or_else(|| self.error(&format!("more than {WORDS_MAX} words")))?;
                    continue;
                }
            };
            if words.is_empty() != matches!(end, Terminator::BlockEnd) {
                return Err(self.error(&format!("unexpected `{}`", char::from(byte))));
            }
            self.next();
            return Ok((words, first_line, end));
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.next();
        }
    }

    /// Reads one word. A quote counts only at its start, and `#` is part of it. `{` is part of it after `$`.
    fn read_word(&mut self) -> Result<String, SyntaxError> {
        let start_line = self.line;
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        if quote.is_some() {
            self.next();
        }
        let start = self.at;
        let mut is_after_dollar = false;
        loop {
            let Some(byte) = self.peek() else {
                return Err(if quote.is_some() {
                    SyntaxError {
                        line: start_line,
                        message: "this quoted text has no end; add the missing quote".to_owned(),
                    }
                } else {
                    self.error("the file ends inside a directive; add the missing `;`")
                });
            };
            let ends = match quote {
                Some(quote) => byte == quote,
                None => match byte {
                    b' ' | b'\t' | b'\r' | b'\n' | b';' => true,
                    b'{' => !is_after_dollar,
                    _ => false,
                },
            };
            if ends {
                break;
            }
            self.next();
            is_after_dollar = byte == b'$';
            if byte == b'\\' {
                self.next();
            }
        }
        let word = unescape(self.text.get(start..self.at).unwrap_or_default());
        if quote.is_some() {
            self.next();
            match self.peek() {
                None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => {}
                Some(_) => {
                    return Err(self.error("text directly after a closing quote; add a space between them"));
                }
            }
        }
        Ok(word)
    }

    /// Skips Lua code up to the brace that closes its block.
    fn skip_lua_block(&mut self) -> Result<(), SyntaxError> {
        let start_line = self.line;
        let mut depth = 1_usize;
        while let Some(byte) = self.next() {
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                b'"' | b'\'' => self.skip_lua_string(byte),
                b'-' if self.peek() == Some(b'-') => {
                    self.next();
                    if !self.skip_lua_long_bracket() {
                        self.skip_line();
                    }
                }
                b'[' => {
                    self.at -= 1;
                    if !self.skip_lua_long_bracket() {
                        self.at += 1;
                    }
                }
                _ => {}
            }
        }
        Err(SyntaxError {
            line: start_line,
            message: "this block of Lua has no end; add the missing `}`".to_owned(),
        })
    }

    fn skip_lua_string(&mut self, quote: u8) {
        while let Some(byte) = self.next() {
            if byte == b'\\' {
                self.next();
            } else if byte == quote || byte == b'\n' {
                return;
            }
        }
    }

    /// Skips `[[…]]` and `[=[…]=]`. Returns false, and skips nothing, if there is none here.
    fn skip_lua_long_bracket(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(level) =
            rest.strip_prefix('[').map(|inner| inner.len() - inner.trim_start_matches('=').len())
        else {
            return false;
        };
        let equals = "=".repeat(level);
        let (opening, closing) = (format!("[{equals}["), format!("]{equals}]"));
        if !rest.starts_with(&opening) {
            return false;
        }
        let end = rest.find(&closing).map_or(rest.len(), |found| found + closing.len());
        self.line += rest.bytes().take(end).filter(|byte| *byte == b'\n').count();
        self.at += end;
        true
    }
}

/// Replaces the escapes that nginx replaces in words. Any other backslash stays.
fn unescape(raw: &str) -> String {
    if !raw.contains('\\') {
        return raw.to_owned();
    }
    let mut word = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            word.push(character);
            continue;
        }
        match rest.next() {
            Some(escaped @ ('"' | '\'' | '\\')) => word.push(escaped),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(other) => word.extend(['\\', other]),
            None => word.push('\\'),
        }
    }
    word
}
