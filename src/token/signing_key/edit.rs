//! Changing the text of a file of keys, key by key: comments stay, and the lines right above a key go with it.

use std::ops::Range;

use zeroize::Zeroizing;

use super::generate::NewSigningKey;
use super::{SigningKeyFileError, SigningKeys, pem};

/// Why a text was not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyEditError {
    /// It is no file of keys.
    #[error(transparent)]
    InvalidFile(#[from] SigningKeyFileError),
    /// No key has this id.
    #[error("there is no key of this id in it; doorward signing-key list shows them")]
    UnknownKeyId,
    /// It is the one that signs.
    #[error(
        "this key signs; put another one first with doorward signing-key use, and wait until its last token is over"
    )]
    KeyIsActive,
}

/// A key's id, and its bytes in the text: its comment, the key, and its certificate.
type KeyTextRange<'k> = (&'k str, Range<usize>);

fn locate_keys<'k>(text: &str, keys: &'k SigningKeys) -> Result<Vec<KeyTextRange<'k>>, SigningKeyFileError> {
    let blocks = pem::parse_blocks(text)
        .map_err(|broken| SigningKeyFileError::InvalidPem(broken.line, broken.message))?;
    let mut places = Vec::new();
    let mut free = 0;
    // They are as many as the keys, or the text would not have been read.
    for pair in blocks.chunks_exact(2) {
        let [secret, certificate] = pair else { continue };
        let above = text.get(free..secret.byte_range.start).unwrap_or_default();
        let comment: usize =
            above.split_inclusive('\n').rev().take_while(|line| !line.trim().is_empty()).map(str::len).sum();
        places.push(secret.byte_range.start - comment..certificate.byte_range.end);
        free = certificate.byte_range.end;
    }
    Ok(keys.kids().zip(places).collect())
}

fn parse_keys(text: &[u8]) -> Result<(&str, SigningKeys), SigningKeyFileError> {
    let keys = SigningKeys::parse(text)?;
    Ok((std::str::from_utf8(text).map_err(|_| SigningKeyFileError::NotUtf8)?, keys))
}

/// The text of these pieces, which is one that is cleared.
fn join_pieces<'t>(pieces: impl Iterator<Item = &'t str> + Clone) -> Zeroizing<String> {
    // With room for a line's end behind each: a text that grows leaves copies of itself behind.
    let mut text = Zeroizing::new(String::with_capacity(pieces.clone().map(|piece| piece.len() + 1).sum()));
    for piece in pieces {
        text.push_str(piece);
        if !piece.is_empty() && !piece.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// The text with a further key at its end, and what can be read of it then.
///
/// # Errors
/// It is no file of keys, or the key is in it already.
pub fn add_key(
    text: &[u8],
    made: &NewSigningKey,
) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let (text, _) = parse_keys(text)?;
    let apart = if text.ends_with("\n\n") { "" } else { "\n" };
    check_edited_text(join_pieces([text, apart, &made.pem].into_iter()))
}

/// The text with a key first, so that it signs.
///
/// # Errors
/// It is no file of keys, or has none of this id.
pub fn move_key_first(
    text: &[u8],
    kid: &str,
) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let (text, keys) = parse_keys(text)?;
    let mut entries = locate_keys(text, &keys)?;
    let places: Vec<Range<usize>> = entries.iter().map(|(_, place)| place.clone()).collect();
    let at = entries.iter().position(|(id, _)| *id == kid).ok_or(SigningKeyEditError::UnknownKeyId)?;
    if let Some(upper) = entries.get_mut(..=at) {
        upper.rotate_right(1);
    }
    // What stands between two keys stays where it is.
    let mut pieces = Vec::new();
    let mut from = 0;
    for (place, (_, moved)) in places.iter().zip(&entries) {
        pieces.extend([text.get(from..place.start), text.get(moved.clone())].into_iter().flatten());
        from = place.end;
    }
    pieces.extend(text.get(from..));
    check_edited_text(join_pieces(pieces.into_iter()))
}

/// The text without a key.
///
/// # Errors
/// It is no file of keys, has none of this id, or this is the one that signs.
pub fn remove_key(text: &[u8], kid: &str) -> Result<(Zeroizing<String>, SigningKeys), SigningKeyEditError> {
    let (text, keys) = parse_keys(text)?;
    let entries = locate_keys(text, &keys)?;
    let at = entries.iter().position(|(id, _)| *id == kid).ok_or(SigningKeyEditError::UnknownKeyId)?;
    let (_, place) = entries.get(at).filter(|_| at > 0).ok_or(SigningKeyEditError::KeyIsActive)?;
    let pieces = [text.get(..place.start), text.get(place.end..)];
    check_edited_text(join_pieces(pieces.into_iter().flatten()))
}

/// What is written can be read.
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

    fn made() -> NewSigningKey {
        generate_key(SystemTime::now()).unwrap()
    }

    fn kids(keys: &SigningKeys) -> Vec<String> {
        keys.kids().map(str::to_owned).collect()
    }

    #[test]
    fn adding_moving_and_removing_keys_keeps_the_other_text() {
        let [one, two, three] = [made(), made(), made()];
        // The last line has no end, as some editors leave it.
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
        let [one, two] = [made(), made()];
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
