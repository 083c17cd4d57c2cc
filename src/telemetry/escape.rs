//! Escapes characters of log lines that could forge or hide text.
//!
//! Such characters end a line for some readers, move or hide text in a terminal, or reverse the direction of text.
//! Clients, files and services can send them, and log lines are read with `less`, `journalctl` or a browser.
//!
//! JSON escapes only characters below U+0020, and values formatted with `Display` are not escaped at all. Therefore
//! each whole line is checked when it is written.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// A factory for writers, and a writer, that escape each line.
#[derive(Clone, Debug)]
pub(super) struct EscapingWriter<M> {
    pub(super) inner: M,
    pub(super) format: LineFormat,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for EscapingWriter<M> {
    type Writer = EscapingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter { inner: self.inner.make_writer(), format: self.format }
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    /// Writes a whole line. The subscriber calls this function once for each line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            self.inner.write_all(line)?;
        } else {
            let escaped = escape_line(&String::from_utf8_lossy(text), self.format);
            self.inner.write_all(&[escaped.as_bytes(), end].concat())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Escapes a line, given without its line end.
fn escape_line(line: &str, format: LineFormat) -> String {
    let mut escaped = String::with_capacity(line.len() + 16);
    for char in line.chars() {
        if is_hidden(char) {
            match format {
                LineFormat::Text => escaped.extend(char.escape_unicode()),
                LineFormat::Json => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        escaped.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// Returns true for control characters (C0, DEL, C1), line and paragraph separators, and characters that are invisible
/// or set the direction of text (Unicode category `Cf` and similar ones).
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: &str = "a\u{85}b\u{9b}c\u{202e}d\u{2028}e\u{7f}f\u{200b}g\u{2066}h\u{e0041}i";

    fn written(text: &str, format: LineFormat) -> String {
        let mut writer = EscapingWriter { inner: Vec::new(), format };
        writer.write_all(text.as_bytes()).unwrap();
        String::from_utf8(writer.inner).unwrap()
    }

    #[test]
    fn json_line_escapes_hidden_characters_and_keeps_its_value() {
        let line = format!("{}\n", serde_json::json!({ "user": HIDDEN }));
        let escaped = written(&line, LineFormat::Json);
        assert!(escaped.contains(r"a\u0085b\u009bc\u202ed\u2028e"), "{escaped}");
        assert!(escaped.trim_end().bytes().all(|byte| byte.is_ascii_graphic()), "{escaped}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["user"], HIDDEN);
    }

    #[test]
    fn text_line_escapes_hidden_characters_and_line_breaks() {
        let text = LineFormat::Text;
        let escaped = written(&format!("file={HIDDEN}\nforged\r\u{1b}[2J\n"), text);
        assert!(escaped.contains(r"a\u{85}b\u{9b}c\u{202e}d\u{2028}e"), "{escaped}");
        assert!(escaped.contains(r"\u{a}forged\u{d}\u{1b}[2J"), "{escaped}");
        assert!(escaped.ends_with('\n') && escaped.trim_end().bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(written("Zoë 漢字 \u{301}\n", text), "Zoë 漢字 \u{301}\n");
    }
}
