//! Parses and writes PEM blocks (RFC 7468), with their positions in the text. A key file is edited block by block,
//! and errors contain line numbers.
//!
//! The PEM parsers of the dependencies skip unknown labels, such as `ENCRYPTED PRIVATE KEY`, and return neither
//! labels nor positions.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Number of characters in a line, as all tools write it (RFC 7468 section 2).
const LINE_LENGTH: usize = 64;

/// A block.
pub(super) struct PemBlock<'t> {
    /// The label, such as `CERTIFICATE`.
    pub(super) label: &'t str,
    /// The number of its first line, from 1.
    pub(super) line: usize,
    /// The range in the text, from the first dash to the end of the last line.
    pub(super) byte_range: Range<usize>,
    /// The decoded content; `None` if it is not base64.
    pub(super) content: Option<Zeroizing<Vec<u8>>>,
}

/// An error in the boundaries of the blocks.
pub(super) struct PemError {
    /// The number of the line, from 1.
    pub(super) line: usize,
    /// The problem.
    pub(super) message: &'static str,
}

/// Returns the label of a line that starts (`BEGIN`) or ends (`END`) a block; `None` for any other line.
fn boundary_label<'t>(line: &'t str, word: &str) -> Option<Result<&'t str, &'static str>> {
    let rest = line.strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?;
    Some(rest.strip_suffix("-----").ok_or("this line does not end with five dashes"))
}

/// Parses the blocks of a text. All text outside of blocks is a comment.
///
/// # Errors
/// Returns the first line whose block is not clear.
pub(super) fn parse_blocks(text: &str) -> Result<Vec<PemBlock<'_>>, PemError> {
    let mut blocks = Vec::new();
    // The open block, and its base64 so far, which can be secret.
    let mut open: Option<(PemBlock<'_>, Zeroizing<String>)> = None;
    let mut at = 0;
    for (number, full_line) in text.split_inclusive('\n').enumerate() {
        let error = |message| PemError { line: number + 1, message };
        let end = at + full_line.len();
        let line = full_line.trim();
        let (begins, ends) = (boundary_label(line, "BEGIN"), boundary_label(line, "END"));
        open = match (open, begins, ends) {
            (None, Some(label), _) => {
                let label = label.map_err(error)?;
                // The capacity is sufficient: a buffer that grows leaves copies of the secret in memory.
                let body = Zeroizing::new(String::with_capacity(text.len() - at));
                Some((PemBlock { label, line: number + 1, byte_range: at..end, content: None }, body))
            }
            (None, None, Some(_)) => return Err(error("a block ends here, but none has started")),
            (None, None, None) => None,
            (Some(_), Some(_), _) => {
                return Err(error("a block starts here, but the block before it has no end"));
            }
            (Some((block, body)), None, Some(label)) => {
                if label.map_err(error)? != block.label {
                    return Err(error("this END line has another label than the BEGIN line"));
                }
                let content = BASE64_STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new);
                blocks.push(PemBlock { byte_range: block.byte_range.start..end, content, ..block });
                None
            }
            (Some((block, mut body)), None, None) => {
                body.push_str(line);
                Some((block, body))
            }
        };
        at = end;
    }
    match open {
        None => Ok(blocks),
        Some((block, _)) => {
            Err(PemError { line: block.line, message: "the block that starts here has no end" })
        }
    }
}

/// Writes a block.
pub(super) fn encode_block(label: &str, content: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(content));
    // The capacity is sufficient, as in `parse_blocks`.
    let mut text = Zeroizing::new(String::with_capacity(base64.len() * 2 + 128));
    let mut line = |parts: [&str; 3]| {
        parts.iter().for_each(|part| text.push_str(part));
        text.push('\n');
    };
    line(["-----BEGIN ", label, "-----"]);
    let mut rest = base64.as_str();
    while let Some((first, tail)) = rest.split_at_checked(LINE_LENGTH) {
        line([first, "", ""]);
        rest = tail;
    }
    if !rest.is_empty() {
        line([rest, "", ""]);
    }
    line(["-----END ", label, "-----"]);
    text
}
