//! Changing the text of a file of keys, key by key: comments stay, and the lines right above a key go with it.

use std::ops::Range;

use zeroize::Zeroizing;

use super::make::Made;
use super::{KeysFault, SigningKeys, pem};

/// Why a text was not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// It is no file of keys.
    #[error(transparent)]
    Keys(#[from] KeysFault),
    /// No key has this id.
    #[error("there is no key of this id in it; doorward token list shows them")]
    Unknown,
    /// It is the one that signs.
    #[error(
        "this key signs; put another one first with doorward token use, and wait until its last token is over"
    )]
    Signs,
}

/// A key's id, and its bytes in the text: its comment, the key, and its certificate.
type Entry<'k> = (&'k str, Range<usize>);

fn entries<'k>(text: &str, keys: &'k SigningKeys) -> Result<Vec<Entry<'k>>, KeysFault> {
    let blocks = pem::blocks(text).map_err(|broken| KeysFault::Broken(broken.line, broken.what))?;
    let mut places = Vec::new();
    let mut free = 0;
    // They are as many as the keys, or the text would not have been read.
    for pair in blocks.chunks_exact(2) {
        let [secret, certificate] = pair else { continue };
        let above = text.get(free..secret.place.start).unwrap_or_default();
        let comment: usize =
            above.split_inclusive('\n').rev().take_while(|line| !line.trim().is_empty()).map(str::len).sum();
        places.push(secret.place.start - comment..certificate.place.end);
        free = certificate.place.end;
    }
    Ok(keys.kids().zip(places).collect())
}

fn read(text: &[u8]) -> Result<(&str, SigningKeys), KeysFault> {
    let keys = SigningKeys::parse(text)?;
    Ok((std::str::from_utf8(text).map_err(|_| KeysFault::NotText)?, keys))
}

/// The text of these pieces, which is one that is cleared.
fn join<'t>(pieces: impl Iterator<Item = &'t str> + Clone) -> Zeroizing<String> {
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
pub fn add(text: &[u8], made: &Made) -> Result<(Zeroizing<String>, SigningKeys), EditFault> {
    let (text, _) = read(text)?;
    let apart = if text.ends_with("\n\n") { "" } else { "\n" };
    checked(join([text, apart, &made.text].into_iter()))
}

/// The text with a key first, so that it signs.
///
/// # Errors
/// It is no file of keys, or has none of this id.
pub fn put_first(text: &[u8], kid: &str) -> Result<(Zeroizing<String>, SigningKeys), EditFault> {
    let (text, keys) = read(text)?;
    let mut entries = entries(text, &keys)?;
    let places: Vec<Range<usize>> = entries.iter().map(|(_, place)| place.clone()).collect();
    let at = entries.iter().position(|(id, _)| *id == kid).ok_or(EditFault::Unknown)?;
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
    checked(join(pieces.into_iter()))
}

/// The text without a key.
///
/// # Errors
/// It is no file of keys, has none of this id, or this is the one that signs.
pub fn remove(text: &[u8], kid: &str) -> Result<(Zeroizing<String>, SigningKeys), EditFault> {
    let (text, keys) = read(text)?;
    let entries = entries(text, &keys)?;
    let at = entries.iter().position(|(id, _)| *id == kid).ok_or(EditFault::Unknown)?;
    let (_, place) = entries.get(at).filter(|_| at > 0).ok_or(EditFault::Signs)?;
    let pieces = [text.get(..place.start), text.get(place.end..)];
    checked(join(pieces.into_iter().flatten()))
}

/// What is written can be read.
fn checked(text: Zeroizing<String>) -> Result<(Zeroizing<String>, SigningKeys), EditFault> {
    let keys = SigningKeys::parse(text.as_bytes())?;
    Ok((text, keys))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::token::signing_key::make::generate;

    fn made() -> Made {
        generate(SystemTime::now()).unwrap()
    }

    fn kids(keys: &SigningKeys) -> Vec<String> {
        keys.kids().map(str::to_owned).collect()
    }

    #[test]
    fn keys_come_move_and_go_and_the_rest_stays() {
        let [one, two, three] = [made(), made(), made()];
        // The last line has no end, as some editors leave it.
        let text = format!("# head\n\n{}\nbetween\n\n{}", &*one.text, two.text.trim_end());
        let (text, keys) = add(text.as_bytes(), &three).unwrap();
        assert_eq!(kids(&keys), [&*one.kid, &two.kid, &three.kid]);
        let expected = format!("# head\n\n{}\nbetween\n\n{}\n{}", &*one.text, &*two.text, &*three.text);
        assert_eq!(*text, expected);
        let (text, keys) = put_first(text.as_bytes(), &three.kid).unwrap();
        assert_eq!(kids(&keys), [&*three.kid, &one.kid, &two.kid]);
        let expected = format!("# head\n\n{}\nbetween\n\n{}\n{}", &*three.text, &*one.text, &*two.text);
        assert_eq!(*text, expected);
        let (same, _) = put_first(text.as_bytes(), &three.kid).unwrap();
        assert_eq!(same, text);
        let (text, keys) = remove(text.as_bytes(), &one.kid).unwrap();
        assert_eq!(kids(&keys), [&*three.kid, &two.kid]);
        assert_eq!(*text, format!("# head\n\n{}\nbetween\n\n\n{}", &*three.text, &*two.text));
    }

    #[test]
    fn what_can_not_be_done_is_said() {
        let [one, two] = [made(), made()];
        let (text, _) = add(one.text.as_bytes(), &two).unwrap();
        let text = text.as_bytes();
        assert_eq!(remove(text, &one.kid).unwrap_err(), EditFault::Signs);
        assert_eq!(remove(text, "other").unwrap_err(), EditFault::Unknown);
        assert_eq!(put_first(text, &one.kid[..42]).unwrap_err(), EditFault::Unknown);
        assert!(matches!(add(text, &two).unwrap_err(), EditFault::Keys(KeysFault::Block { number: 5, .. })));
        assert_eq!(add(b"", &one).unwrap_err(), EditFault::Keys(KeysFault::Empty));
        assert!(matches!(put_first(b"\xff", &one.kid).unwrap_err(), EditFault::Keys(KeysFault::NotText)));
    }
}
