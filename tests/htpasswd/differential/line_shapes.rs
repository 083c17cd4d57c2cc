//! Lines of every shape for the comparison with other readers.

use super::case::{Case, LinePosition};
use super::hash_tools::{Maker, Makers};
use crate::support::random::Random;

/// Makers of the hashes that are put into each shape.
const INTO: [Maker; 4] = [
    Maker::Htpasswd(&["-B", "-C", "4"]),
    Maker::Htpasswd(&["-m"]),
    Maker::Htpasswd(&["-s"]),
    Maker::Mkpasswd("sha512crypt", &["-R", "1000"]),
];

/// Shapes: the name, the user name of the login, and the lines.
///
/// These placeholders are replaced:
/// - `%u`: a user name that only this case has
/// - `%h`: the hash
/// - `%o`: the hash of another password
/// - `%l`: ë in Latin-1
/// - `%L`: a name of 255 bytes that ends with `%u`
/// - `%M`: a name of 256 bytes that ends with `%u`
const SHAPES: &[(&str, &str, &str)] = &[
    ("LF", "%u", "%u:%h\n"),
    ("CRLF", "%u", "%u:%h\r\n"),
    ("a space behind the hash", "%u", "%u:%h \n"),
    ("a tab behind the hash", "%u", "%u:%h\t\n"),
    ("a third field", "%u", "%u:%h:Ada Lovelace\n"),
    ("a third field, and CRLF", "%u", "%u:%h:Ada Lovelace\r\n"),
    ("an empty third field", "%u", "%u:%h:\n"),
    ("a third field, behind a space", "%u", "%u:%h :Ada Lovelace\n"),
    ("the hash in the third field", "%u", "%u::%h\n"),
    ("a space before the name", "%u", " %u:%h\n"),
    ("a tab before the name", "%u", "\t%u:%h\n"),
    ("a space behind the name", "%u", "%u :%h\n"),
    ("a space before the hash", "%u", "%u: %h\n"),
    ("a NUL behind the hash", "%u", "%u:%h\0\n"),
    ("quotes", "%u", "\"%u\":\"%h\"\n"),
    ("two lines, this one first", "%u", "%u:%h\n%u:%o\n"),
    ("two lines, this one second", "%u", "%u:%o\n%u:%h\n"),
    ("two lines, the first without a hash", "%u", "%u:\n%u:%h\n"),
    ("two lines, the first without a colon", "%u", "%u\n%u:%h\n"),
    ("a comment before it", "%u", "# %u:%o\n#%u:%o\n%u:%h\n"),
    ("blank lines before it", "%u", "\n \n\t\n\r\n%u:%h\n"),
    ("a longer name before it", "%u", "%ux:%o\n%u:%h\n"),
    ("a shorter name before it", "%ux", "%u:%o\n%ux:%h\n"),
    ("commented out", "%u", "#%u:%h\n"),
    ("commented out behind a space", "%u", " #%u:%h\n"),
    ("commented out, with the # in the name", "#%u", "#%u:%h\n"),
    ("a name in UTF-8", "zoë%u", "zoë%u:%h\n"),
    ("a name in Latin-1", "zo%l%u", "zo%l%u:%h\n"),
    ("a name in Latin-1, sent in UTF-8", "zoë%u", "zo%l%u:%h\n"),
    ("a name with a space in it", "zo %u", "zo %u:%h\n"),
    ("a name with a space at its end", "%u ", "%u :%h\n"),
    ("a name with a space at its start", " %u", " %u:%h\n"),
    ("a name with a tab in it", "zo\t%u", "zo\t%u:%h\n"),
    ("a name in another case", "ZO%u", "zo%u:%h\n"),
    ("a name of 255 bytes", "%L", "%L:%h\n"),
    ("a name of 256 bytes", "%M", "%M:%h\n"),
    ("no name", "", ":%h\n"),
];

/// Shapes of a whole file.
const OF_FILES: &[(&str, LinePosition, &str, &str)] = &[
    ("a BOM", LinePosition::Top, "%u", "\u{feff}%u:%h\n"),
    ("a BOM before a comment", LinePosition::Top, "%u", "\u{feff}# users\n%u:%h\n"),
    ("no line end at the end", LinePosition::End, "%u", "%u:%h"),
    ("a CR at the end", LinePosition::End, "%u", "%u:%h\r"),
    ("CR alone between lines", LinePosition::Top, "%u", "# users\r%u:%h\r\n"),
    ("a line of 5000 bytes before it", LinePosition::Top, "%u", "# %5000\n%u:%h\n"),
    ("a third field of 5000 bytes", LinePosition::Top, "%u", "%u:%h:%5000\n"),
    ("a name that begins at the reader's 2048th byte", LinePosition::Top, "%u", "# %2043\n%u:%h\n"),
    ("a hash that begins at the reader's 2048th byte", LinePosition::Top, "%u", "# %2037\n%u:%h\n"),
];

/// Replaces each `%x` in a template.
fn fill(template: &str, user: &str, hash: &[u8], other: &[u8]) -> Vec<u8> {
    let long = |length: usize| format!("{}{user}", "n".repeat(length - user.len()));
    let mut filled = Vec::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('%') {
        filled.extend(before.as_bytes());
        let mut length = 1;
        match behind.as_bytes()[0] {
            b'u' => filled.extend(user.as_bytes()),
            b'h' => filled.extend(hash),
            b'o' => filled.extend(other),
            b'l' => filled.push(0xeb),
            b'L' => filled.extend(long(255).into_bytes()),
            b'M' => filled.extend(long(256).into_bytes()),
            _ => {
                length = 4;
                filled.extend("-".repeat(behind[..length].parse().expect("a count")).into_bytes());
            }
        }
        rest = &behind[length..];
    }
    filled.extend(rest.as_bytes());
    filled
}

pub(crate) fn cases(makers: &Makers, random: &mut Random) -> Vec<Case> {
    let among = SHAPES.iter().map(|(shape, login, text)| (*shape, LinePosition::Among, *login, *text));
    let shapes: Vec<_> = among.chain(OF_FILES.iter().copied()).collect();
    let mut cases = Vec::new();
    for maker in INTO {
        let (right, wrong) = (random.letters(10).into_bytes(), random.letters(10).into_bytes());
        let (hash, other) = (makers.make(maker, &right), makers.make(maker, &wrong));
        for (shape, place, login, text) in &shapes {
            for (which, password) in [("right", &right), ("another", &wrong)] {
                let user = format!("s{}", cases.len());
                cases.push(Case {
                    what: format!("{shape}, {maker:?}, {which}"),
                    shape,
                    place: *place,
                    text: fill(text, &user, &hash, &other),
                    hash: hash.clone(),
                    user: fill(login, &user, b"", b""),
                    password: password.clone(),
                    made_of: right.clone(),
                    damaged: false,
                });
            }
        }
    }
    cases
}

#[test]
fn line_template_is_filled_with_user_and_hash() {
    assert_eq!(fill("%ux: %h\r\n%o%l", "u", b"H", b"O"), b"ux: H\r\nO\xeb");
    assert_eq!(fill("%L", "u1", b"", b"").len(), 255);
    assert_eq!(fill("# %2043\nu", "", b"", b"").len(), 2047);
}
