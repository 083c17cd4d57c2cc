//! Blocks of PEM (RFC 7468) in a text, with the places where they stand: a file of keys is changed block by
//! block, and what is wrong with one is told with its line. The readers of the crates at hand skip labels that
//! they do not know, `ENCRYPTED PRIVATE KEY` among them, and tell neither labels nor places.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Characters of a line, as every tool writes them (RFC 7468 section 2).
const LINE_LENGTH: usize = 64;

/// A block.
pub(super) struct PemBlock<'t> {
    /// What it says that it is, as in `CERTIFICATE`.
    pub(super) label: &'t str,
    /// The number of its first line, from 1.
    pub(super) line: usize,
    /// Its bytes in the text, from the first dash to the end of the last line.
    pub(super) byte_range: Range<usize>,
    /// What stands in it; `None` if that is no base64.
    pub(super) content: Option<Zeroizing<Vec<u8>>>,
}

/// A line at which the text stops making sense.
pub(super) struct PemError {
    /// Its number, from 1.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) message: &'static str,
}

/// The label of a line that begins (`BEGIN`) or ends (`END`) a block, if it is such a line.
fn boundary_label<'t>(line: &'t str, word: &str) -> Option<Result<&'t str, &'static str>> {
    let rest = line.strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?;
    Some(rest.strip_suffix("-----").ok_or("this line does not end with five dashes"))
}

/// The blocks of a text; all that stands outside of them is comment.
///
/// # Errors
/// The first line at which it can't be said what is in a block and what is not.
pub(super) fn parse_blocks(text: &str) -> Result<Vec<PemBlock<'_>>, PemError> {
    let mut found = Vec::new();
    // The block that has begun, and its base64 so far, which may be that of a secret.
    let mut open: Option<(PemBlock<'_>, Zeroizing<String>)> = None;
    let mut at = 0;
    for (number, whole) in text.split_inclusive('\n').enumerate() {
        let broken = |what| PemError { line: number + 1, message: what };
        let end = at + whole.len();
        let line = whole.trim();
        let (begins, ends) = (boundary_label(line, "BEGIN"), boundary_label(line, "END"));
        open = match (open, begins, ends) {
            (None, Some(label), _) => {
                let label = label.map_err(broken)?;
                // Enough for any key or certificate: a text that grows leaves copies of itself behind.
                let body = Zeroizing::new(String::with_capacity(text.len() - at));
                Some((PemBlock { label, line: number + 1, byte_range: at..end, content: None }, body))
            }
            (None, None, Some(_)) => return Err(broken("a block ends here, and none has begun")),
            (None, None, None) => None,
            (Some(_), Some(_), _) => {
                return Err(broken("a block begins here, and the one before it has no end"));
            }
            (Some((block, body)), None, Some(label)) => {
                if label.map_err(broken)? != block.label {
                    return Err(broken("this is the end of another block than the one that has begun"));
                }
                let content = BASE64_STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new);
                found.push(PemBlock { byte_range: block.byte_range.start..end, content, ..block });
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
        None => Ok(found),
        Some((block, _)) => {
            Err(PemError { line: block.line, message: "the block that begins here has no end" })
        }
    }
}

/// Writes a block.
pub(super) fn encode_block(label: &str, content: &[u8]) -> Zeroizing<String> {
    let coded = Zeroizing::new(BASE64_STANDARD.encode(content));
    // As above.
    let mut text = Zeroizing::new(String::with_capacity(coded.len() * 2 + 128));
    let mut line = |parts: [&str; 3]| {
        parts.iter().for_each(|part| text.push_str(part));
        text.push('\n');
    };
    line(["-----BEGIN ", label, "-----"]);
    let mut rest = coded.as_str();
    while let Some((first, more)) = rest.split_at_checked(LINE_LENGTH) {
        line([first, "", ""]);
        rest = more;
    }
    if !rest.is_empty() {
        line([rest, "", ""]);
    }
    line(["-----END ", label, "-----"]);
    text
}
