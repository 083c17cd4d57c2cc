//! Passwords of every kind, and similar passwords.

use crate::support::random::Random;

/// Returns one password of each kind, with the name of the kind. No password begins with a dash, because the
/// tools would read an option.
pub(crate) fn passwords(random: &mut Random) -> Vec<(&'static str, Vec<u8>)> {
    let latin_1 = [random.letters(3).as_bytes(), b"\xe4\xf6\xff\xdf", random.letters(4).as_bytes()].concat();
    vec![
        ("letters", random.letters(9).into()),
        ("one letter", random.letters(1).into()),
        ("UTF-8", format!("{}äöü€🔑{}", random.letters(2), random.letters(5)).into()),
        ("Latin-1", latin_1),
        ("colons", format!("{}:{}::", random.letters(3), random.letters(5)).into()),
        ("spaces", format!(" {} {} ", random.letters(4), random.letters(5)).into()),
        ("signs", format!("{}$1$'\"\\%s{{SHA}}{}", random.letters(2), random.letters(3)).into()),
        ("71 bytes", random.letters(71).into()),
        ("72 bytes", random.letters(72).into()),
        ("73 bytes", random.letters(73).into()),
        ("127 bytes", random.letters(127).into()),
        ("255 bytes", random.letters(255).into()),
    ]
}

/// Returns the passwords to try against a hash of `right`: the same password and similar ones, with their
/// names.
pub(crate) fn tries(right: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    if right.is_empty() {
        return vec![("right", Vec::new())];
    }
    let another = |at: usize| {
        let mut other = right.to_owned();
        other[at] = if other[at] == b'#' { b'+' } else { b'#' };
        other
    };
    vec![
        ("right", right.to_owned()),
        ("another first byte", another(0)),
        ("another last byte", another(right.len() - 1)),
        ("one byte more", [right, b"x"].concat()),
        ("one byte less", right[..right.len() - 1].to_owned()),
        ("NUL and more", [right, b"\0x"].concat()),
        ("empty", Vec::new()),
    ]
}
