//! Parses an `Authorization` header. The first letter of the input selects the meaning of the rest: the value of the
//! header (v), or `user:password`, which is encoded here with padding (p) or without (n).

use crate::authn::Credentials;
use crate::identity::Username;
use crate::pipeline::credentials::{ParsedAuthorization, check_password};
use crate::request::header::RequestHeader;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

fn header(pair: &[u8], padded: bool) -> String {
    let engine = if padded { &BASE64_STANDARD } else { &BASE64_STANDARD_NO_PAD };
    format!("Basic {}", engine.encode(pair))
}

/// Returns true if the README allows this user name and password.
fn is_fit(user: &[u8], password: &[u8]) -> bool {
    let password_fits = !password.is_empty() && !password.contains(&0);
    Username::check(user).is_ok() && password_fits
}

fn is_read(header: &[u8]) -> Option<Credentials> {
    ParsedAuthorization::parse(RequestHeader::Once(header))
        .credentials(false)
        .ok()
        .filter(|read| check_password(read.password()).is_ok())
}

fn check(credentials: &Credentials) {
    let (user, password) = (credentials.user(), credentials.password());
    assert!(is_fit(user, password));
    assert!(!user.contains(&b':'));
    // If the pair is encoded again, the credentials are the same.
    let anew = header(&[user, b":", password].concat(), true);
    let Some(anew) = is_read(anew.as_bytes()) else { panic!("what was read is not read again") };
    assert_eq!((anew.user(), anew.password()), (user, password));
    // What is shown of them is the same whatever the password.
    let other = header(&[user, b":another"].concat(), true);
    let Some(other) = is_read(other.as_bytes()) else { panic!("the user name is a good one") };
    assert_eq!(format!("{credentials:?}"), format!("{other:?}"));
}

/// Runs the check with one input of the fuzzer.
pub fn run(input: &[u8]) {
    let Some((letter, rest)) = input.split_first() else { return };
    let padded = match letter {
        b'v' => {
            if let Some(credentials) = is_read(rest) {
                check(&credentials);
            }
            return;
        }
        b'p' => true,
        b'n' => false,
        _ => return,
    };
    let value = header(rest, padded);
    let colon = rest.iter().position(|byte| *byte == b':');
    let (user, password) = colon.map_or((rest, &b""[..]), |colon| (&rest[..colon], &rest[colon + 1..]));
    match is_read(value.as_bytes()) {
        Some(credentials) => {
            assert_eq!((credentials.user(), credentials.password()), (user, password));
            check(&credentials);
        }
        None => assert!(colon.is_none() || !is_fit(user, password)),
    }
}
