//! Edits the text of a key file. Comments are kept, and the comment directly above a key moves with the key.

use std::ops::Range;

use zeroize::Zeroizing;

use super::generate::NewSigningKey;
use super::{SigningKeyFileError, SigningKeys, pem};

/// The reason why a text was not edited.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SigningKeyEditError {
    /// The text is not a valid key file.
    #[error(transparent)]
    InvalidFile(#[from] SigningKeyFileError),
    /// No key has this ID.
    #[error("it contains no key with this ID; doorward signing-key list shows the IDs")]
    UnknownKeyId,
    /// The key is the one that signs.
    #[error(
        "this key signs tokens; select another one with doorward signing-key use, and wait until the last token of this key has expired"
    )]
    KeyIsActive,
}

/// The ID of a key, and the range of its comment, its key block and its certificate in the text.
type KeyTextRange<'k> = (&'k str, Range<usize>);

fn locate_keys<'k>(text: &str, keys: &'k SigningKeys) -> Result<Vec<KeyTextRange<'k>>, SigningKeyFileError> {
    let blocks = pem::parse_blocks(text)
        .map_err(|error| SigningKeyFileError::InvalidPem(error.line, error.message))?;
    let mut ranges = Vec::new();
    let mut previous_end = 0;
    // A valid file has exactly two blocks for each key.
    for pair in blocks.chunks_exact(2) {
        let [private_key, certificate] = pair else { continue };
        let above = text.get(previous_end..private_key.byte_range.start).unwrap_or_default();
        let comment: usize =
            above.split_inclusive('\n').rev().take_while(|line| !line.trim().is_empty()).map(str::len).sum();
        ranges.push(private_key.byte_range.start - comment..certificate.byte_range.end);
        previous_end = certificate.byte_range.end;
    }
    Ok(keys.kids().zip(ranges).collect())
}

fn parse_keys(text: &[u8]) -> Result<(&str, SigningKeys), SigningKeyFileError> {
    let keys = SigningKeys::parse(text)?;
    Ok((std::str::from_utf8(text).map_err(|_| SigningKeyFileError::NotUtf8)?, keys))
}

/// Joins pieces of text in a buffer that is cleared when it is dropped.
fn join_pieces<'t>(pieces: impl Iterator<Item = &'t str> + Clone) -> Zeroizing<String> {
    // The capacity includes a line break for each piece, because a buffer that grows leaves copies of secrets in memory.
    let mut text = Zeroizing::new(String::with_capacity(pieces.clone().map(|piece| piece.len() + 1).sum()));
    for piece in pieces {
        text.push_str(piece);
        if !piece.is_empty() && !piece.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// Appends a key to the text. Returns the new text and its keys.
///
/// # Errors
/// Returns an error if the text is not a valid key file, or contains the key already.
pub(crate) fn add_key(
    text: &[u8],
    new_key: &NewSigningKey,
) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let (text, _) = parse_keys(text)?;
    let separator = if text.ends_with("\n\n") { "" } else { "\n" };
    check_edited_text(join_pieces([text, separator, &new_key.pem].into_iter()))
}

/// Moves a key to the first place, so that it signs.
///
/// # Errors
/// Returns an error if the text is not a valid key file, or contains no key with this ID.
pub(crate) fn move_key_first(
    text: &[u8],
    kid: &str,
) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let (text, keys) = parse_keys(text)?;
    let mut entries = locate_keys(text, &keys)?;
    let ranges: Vec<Range<usize>> = entries.iter().map(|(_, range)| range.clone()).collect();
    let at = entries.iter().position(|(id, _)| *id == kid).ok_or(SigningKeyEditError::UnknownKeyId)?;
    if let Some(upper) = entries.get_mut(..=at) {
        upper.rotate_right(1);
    }
    // Text between two keys stays at its place.
    let mut pieces = Vec::new();
    let mut from = 0;
    for (range, (_, source)) in ranges.iter().zip(&entries) {
        pieces.extend([text.get(from..range.start), text.get(source.clone())].into_iter().flatten());
        from = range.end;
    }
    pieces.extend(text.get(from..));
    check_edited_text(join_pieces(pieces.into_iter()))
}

/// Removes a key from the text.
///
/// # Errors
/// Returns an error if the text is not a valid key file, contains no key with this ID, or if the key signs.
pub(crate) fn remove_key(
    text: &[u8],
    kid: &str,
) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let (text, keys) = parse_keys(text)?;
    let entries = locate_keys(text, &keys)?;
    let at = entries.iter().position(|(id, _)| *id == kid).ok_or(SigningKeyEditError::UnknownKeyId)?;
    let (_, range) = entries.get(at).filter(|_| at > 0).ok_or(SigningKeyEditError::KeyIsActive)?;
    let pieces = [text.get(..range.start), text.get(range.end..)];
    check_edited_text(join_pieces(pieces.into_iter().flatten()))
}

/// Checks that the edited text is a valid key file.
fn check_edited_text(
    text: Zeroizing<String>,
) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let keys = SigningKeys::parse(text.as_bytes())?;
    Ok((text, keys))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::token::signing_key::generate::generate_key;

    fn new_key() -> NewSigningKey {
        generate_key(SystemTime::now()).unwrap()
    }

    fn kids(keys: &SigningKeys) -> Vec<String> {
        keys.kids().map(str::to_owned).collect()
    }

    #[test]
    fn adding_moving_and_removing_keys_keeps_the_other_text() {
        let [one, two, three] = [new_key(), new_key(), new_key()];
        // Some editors write no line break at the end of a file.
        let text = format!("# head\n\n{}\nbetween\n\n{}", &*one.pem, two.pem.trim_end());
        let (text, keys) = add_key(text.as_bytes(), &three).unwrap();
        assert_eq!(kids(&keys), [&*one.kid, &two.kid, &three.kid]);
        let expected = format!("# head\n\n{}\nbetween\n\n{}\n{}", &*one.pem, &*two.pem, &*three.pem);
        assert_eq!(*text, expected);
        let (text, keys) = move_key_first(text.as_bytes(), &three.kid).unwrap();
        assert_eq!(kids(&keys), [&*three.kid, &one.kid, &two.kid]);
        let expected = format!("# head\n\n{}\nbetween\n\n{}\n{}", &*three.pem, &*one.pem, &*two.pem);
        assert_eq!(*text, expected);
        let (same, _) = move_key_first(text.as_bytes(), &three.kid).unwrap();
        assert_eq!(same, text);
        let (text, keys) = remove_key(text.as_bytes(), &one.kid).unwrap();
        assert_eq!(kids(&keys), [&*three.kid, &two.kid]);
        assert_eq!(*text, format!("# head\n\n{}\nbetween\n\n\n{}", &*three.pem, &*two.pem));
    }

    #[test]
    fn impossible_edit_is_rejected_with_reason() {
        let [one, two] = [new_key(), new_key()];
        let (text, _) = add_key(one.pem.as_bytes(), &two).unwrap();
        let text = text.as_bytes();
        assert_eq!(remove_key(text, &one.kid).unwrap_err(), SigningKeyEditError::KeyIsActive);
        assert_eq!(remove_key(text, "other").unwrap_err(), SigningKeyEditError::UnknownKeyId);
        assert_eq!(move_key_first(text, &one.kid[..42]).unwrap_err(), SigningKeyEditError::UnknownKeyId);
        assert!(matches!(
            add_key(text, &two).unwrap_err(),
            SigningKeyEditError::InvalidFile(SigningKeyFileError::InvalidBlock { number: 5, .. })
        ));
        assert_eq!(
            add_key(b"", &one).unwrap_err(),
            SigningKeyEditError::InvalidFile(SigningKeyFileError::NoKey)
        );
        assert!(matches!(
            move_key_first(b"\xff", &one.kid).unwrap_err(),
            SigningKeyEditError::InvalidFile(SigningKeyFileError::NotUtf8)
        ));
    }
}
