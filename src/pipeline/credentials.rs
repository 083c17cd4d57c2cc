//! From the `Authorization` header to [`Credentials`] (RFC 7617, RFC 7235 section 2.1).

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::challenge::{MalformedCredentials, Refusal};
use crate::authn::Credentials;
use crate::authn::api_key::secret::is_key;
use crate::identity::Username;
use crate::request::header::Header;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An `Authorization` header, split into its scheme and the rest (RFC 9110 section 11.4). Everything that reads
/// such a header begins here: `/auth`, `/token` and the log cannot take it for different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme<'a> {
    /// No header, or a blank one.
    Missing,
    /// More than one header, or one that is too long.
    Unreadable(MalformedCredentials),
    /// `Basic`, and what is behind it.
    Basic(&'a [u8]),
    /// `Bearer`, and what is behind it.
    Bearer(&'a [u8]),
    /// Another scheme.
    Other,
}

fn scheme(authorization: Header<'_>) -> Scheme<'_> {
    let value = match authorization {
        Header::Absent => return Scheme::Missing,
        Header::Repeated => return Scheme::Unreadable(MalformedCredentials::Repeated),
        Header::Unreadable => return Scheme::Unreadable(MalformedCredentials::TooLong),
        Header::Once(value) => value.trim_ascii(),
    };
    let space = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(space).unwrap_or((value, b""));
    if scheme.is_empty() {
        Scheme::Missing
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        Scheme::Basic(rest.trim_ascii_start())
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        Scheme::Bearer(rest.trim_ascii_start())
    } else {
        Scheme::Other
    }
}

/// Returns the bearer token of a request, unless it is one of our API keys.
pub fn bearer_token(authorization: Header<'_>) -> Option<&str> {
    match scheme(authorization) {
        Scheme::Bearer(token) if !token.is_empty() && !is_key(token) => std::str::from_utf8(token).ok(),
        Scheme::Bearer(_) | Scheme::Basic(_) | Scheme::Other | Scheme::Missing | Scheme::Unreadable(_) => {
            None
        }
    }
}

/// Reads what the client presented: credentials whose user name can be one. Their password is checked by
/// [`check_password`], so that the user is known if it is refused. A bearer is taken where there are keys, and if it is
/// one.
pub fn read(authorization: Header<'_>, has_keys: bool) -> Result<Credentials, Refusal> {
    let basic = match scheme(authorization) {
        Scheme::Missing => return Err(Refusal::Missing),
        Scheme::Unreadable(why) => return Err(Refusal::Malformed(why)),
        Scheme::Bearer(token) if has_keys => return bearer(token).ok_or(Refusal::Scheme),
        Scheme::Bearer(_) | Scheme::Other => return Err(Refusal::Scheme),
        Scheme::Basic(basic) => basic,
    };
    let credentials = decode(basic).map_err(Refusal::Malformed)?;
    Username::check(credentials.user()).map_err(|why| Refusal::Malformed(MalformedCredentials::User(why)))?;
    // It would stand in logs, and be shown to others, as a name.
    if has_keys && is_key(credentials.user()) {
        return Err(Refusal::Malformed(MalformedCredentials::KeyAsUser));
    }
    Ok(credentials)
}

/// A key by itself (RFC 6750 section 2.1).
fn bearer(token: &[u8]) -> Option<Credentials> {
    if !is_key(token) || token.contains(&b' ') {
        return None;
    }
    let mut framed = Zeroizing::new(Vec::with_capacity(Credentials::FRAME + 1 + token.len()));
    framed.resize(Credentials::FRAME, 0);
    framed.push(b':');
    framed.extend_from_slice(token);
    Credentials::new(framed)
}

/// Checks that a password can be compared with anything. How long it may be is the concern of what compares it: see
/// [`crate::authn::hash::PASSWORD_MAX`].
///
/// # Errors
/// Why not.
pub fn check_password(password: &[u8]) -> Result<(), MalformedCredentials> {
    if password.is_empty() {
        return Err(MalformedCredentials::Empty);
    }
    if password.contains(&0) { Err(MalformedCredentials::Nul) } else { Ok(()) }
}

fn decode(text: &[u8]) -> Result<Credentials, MalformedCredentials> {
    let room = Credentials::FRAME + base64::decoded_len_estimate(text.len());
    // With room for all of it from the start: growing would leave a copy behind.
    let mut framed = Zeroizing::new(Vec::with_capacity(room));
    framed.resize(Credentials::FRAME, 0);
    BASE64.decode_vec(text, &mut framed).map_err(|_| MalformedCredentials::Encoding)?;
    Credentials::new(framed).ok_or(MalformedCredentials::NoColon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::UsernameFault;

    fn basic(pair: &[u8]) -> String {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
    }

    fn read_text(value: &str) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
        let credentials = read(Header::Once(value.as_bytes()), true)?;
        check_password(credentials.password()).map_err(Refusal::Malformed)?;
        Ok((credentials.user().to_vec(), credentials.password().to_vec()))
    }

    #[test]
    fn a_name_and_a_password_are_read() {
        let alice = Ok((b"alice".to_vec(), b"se:cret".to_vec()));
        assert_eq!(read_text(&basic(b"alice:se:cret")), alice);
        assert_eq!(read_text(&basic(b"alice:se:cret").replace("Basic", "bAsIC")), alice);
        assert_eq!(read_text(&basic(b"alice:se:cret").replace(' ', "   ")), alice);
        assert_eq!(read_text(basic(b"alice:se:cret").trim_end_matches('=')), alice);
        assert!(read_text(&basic("zoë:pässword".as_bytes())).is_ok());
        assert!(read_text(&basic(b"zo\xeb:p\xe4ss")).is_ok());
        // Of any length; the header has a limit.
        assert!(read_text(&basic(&[&b"alice:"[..], &[b'x'; 10_000]].concat())).is_ok());
    }

    #[test]
    fn a_bearer_is_a_key_and_nothing_else_and_only_where_there_are_keys() {
        assert_eq!(read_text("bEARER dwk_abc"), Ok((Vec::new(), b"dwk_abc".to_vec())));
        for other in ["Bearer abc", "Bearer", "Bearer ", "Bearer dwk_a b", "Bearer xdwk_a"] {
            assert_eq!(read_text(other).err(), Some(Refusal::Scheme), "{other}");
        }
        let key_as_user = Some(Refusal::Malformed(MalformedCredentials::KeyAsUser));
        assert_eq!(read_text(&basic(b"dwk_abc:x-oauth-basic")).err(), key_as_user);
        let alone = read(Header::Once(b"Bearer dwk_abc"), false);
        assert_eq!(alone.err(), Some(Refusal::Scheme));
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(read(Header::Absent, true).err(), Some(Refusal::Missing));
        use MalformedCredentials as Bad;
        let malformed = Refusal::Malformed;
        assert_eq!(read(Header::Repeated, true).err(), Some(malformed(Bad::Repeated)));
        assert_eq!(read(Header::Unreadable, true).err(), Some(malformed(Bad::TooLong)));
        let cases: [(String, Refusal); 14] = [
            (String::new(), Refusal::Missing),
            ("Bearer abc".into(), Refusal::Scheme),
            ("Basicx YTpi".into(), Refusal::Scheme),
            ("Basic".into(), malformed(Bad::NoColon)),
            ("Basic ".into(), malformed(Bad::NoColon)),
            ("Basic !!!".into(), malformed(Bad::Encoding)),
            ("Basic YTpi YTpi".into(), malformed(Bad::Encoding)),
            (basic(b"alice"), malformed(Bad::NoColon)),
            (basic(b":secret"), malformed(Bad::User(UsernameFault::Empty))),
            (basic(b"alice:"), malformed(Bad::Empty)),
            (basic(b"alice:a\0b"), malformed(Bad::Nul)),
            (basic(b"al\0ice:secret"), malformed(Bad::User(UsernameFault::Control))),
            (basic(b"al\rice:secret"), malformed(Bad::User(UsernameFault::Control))),
            (basic(&[&[b'x'; 256][..], b":secret"].concat()), malformed(Bad::User(UsernameFault::Long))),
        ];
        for (value, refusal) in cases {
            assert_eq!(read_text(&value).err(), Some(refusal), "{value:.40}");
        }
    }
}
