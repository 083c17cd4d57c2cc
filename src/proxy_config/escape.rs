//! The escapers of the templates, one for each place of an nginx configuration in which a value can stand.
//!
//! Values are validated before they reach a template. An escaper is the second line of defence: a value that it cannot
//! write safely is an error, and nothing is written.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// An unquoted parameter. A character that could end the parameter, start a variable or start a comment is an error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Word;

impl Escaper for Word {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._/@+:-,*~%=&?[]".contains(&b);
        if !text.bytes().all(is_allowed) {
            return Err(fmt::Error);
        }
        dest.write_str(text)
    }
}

/// The inside of a parameter in double quotes. nginx has no escape for `$`, so a dollar is an error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quoted;

impl Escaper for Quoted {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(dest, "\\{c}")?,
                '$' => return Err(fmt::Error),
                c if c.is_control() => return Err(fmt::Error),
                c => dest.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The inside of a regular expression in double quotes, in which the value matches itself only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pattern;

impl Escaper for Pattern {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                // nginx removes a backslash only before a quote, a backslash, t, r and n.
                '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '|' => {
                    write!(dest, "\\{c}")?
                }
                '"' | '\\' | '$' => return Err(fmt::Error),
                c if c.is_ascii_graphic() => dest.write_char(c)?,
                _ => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

/// The rest of a line after `#`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Comment;

impl Escaper for Comment {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        if text.chars().any(char::is_control) {
            return Err(fmt::Error);
        }
        dest.write_str(text)
    }
}
