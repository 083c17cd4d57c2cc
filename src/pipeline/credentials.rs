//! Parses the `Authorization` header into [`Credentials`] (RFC 7617, RFC 7235 section 2.1).

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::challenge::{ChallengeReason, MalformedCredentialsError};
use crate::authn::Credentials;
use crate::authn::api_key::format::has_api_key_prefix;
use crate::identity::Username;
use crate::request::header::RequestHeader;

/// Base64 with optional padding: some clients omit it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An `Authorization` header, split into its scheme and the rest (RFC 9110 section 11.4). This is the only parser
/// of the header of a client, so that `/auth` and `/token` read it in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParsedAuthorization<'a> {
    /// No header, or one that contains only spaces.
    Missing,
    /// More than one header, or one that is too long.
    Invalid(MalformedCredentialsError),
    /// The credentials of the scheme `Basic`.
    Basic(&'a [u8]),
    /// The token of the scheme `Bearer`.
    Bearer(&'a [u8]),
    /// Another scheme.
    Other,
}

impl<'a> ParsedAuthorization<'a> {
    /// Splits the header. Nothing is decoded.
    pub(crate) fn parse(authorization: RequestHeader<'a>) -> Self {
        let value = match authorization {
            RequestHeader::Absent => return Self::Missing,
            RequestHeader::Repeated => return Self::Invalid(MalformedCredentialsError::RepeatedHeader),
            RequestHeader::Invalid => return Self::Invalid(MalformedCredentialsError::HeaderTooLong),
            RequestHeader::Once(value) => value.trim_ascii(),
        };
        let space = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
        let (scheme, rest) = value.split_at_checked(space).unwrap_or((value, b""));
        if scheme.is_empty() {
            Self::Missing
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            Self::Basic(rest.trim_ascii_start())
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            Self::Bearer(rest.trim_ascii_start())
        } else {
            Self::Other
        }
    }

    /// Returns the bearer token, unless it has the prefix of API keys.
    pub(crate) fn bearer_token(&self) -> Option<&'a str> {
        match *self {
            Self::Bearer(token) if !token.is_empty() && !has_api_key_prefix(token) => {
                std::str::from_utf8(token).ok()
            }
            Self::Bearer(_) | Self::Basic(_) | Self::Other | Self::Missing | Self::Invalid(_) => None,
        }
    }

    /// Decodes the credentials and validates the user name. The caller validates the password with
    /// [`check_password`], so that the log has the user name if the password is invalid. A bearer token is accepted
    /// only if it is an API key and `has_api_keys` is true.
    ///
    /// # Errors
    /// The reason for the challenge.
    pub(crate) fn credentials(&self, has_api_keys: bool) -> Result<Credentials, ChallengeReason> {
        let basic = match *self {
            Self::Missing => return Err(ChallengeReason::NoCredentials),
            Self::Invalid(error) => return Err(ChallengeReason::MalformedCredentials(error)),
            Self::Bearer(token) if has_api_keys => {
                return api_key_credentials(token).ok_or(ChallengeReason::UnsupportedScheme);
            }
            Self::Bearer(_) | Self::Other => return Err(ChallengeReason::UnsupportedScheme),
            Self::Basic(basic) => basic,
        };
        let credentials = decode_basic(basic).map_err(ChallengeReason::MalformedCredentials)?;
        Username::check(credentials.user()).map_err(|error| {
            ChallengeReason::MalformedCredentials(MalformedCredentialsError::InvalidUsername(error))
        })?;
        // As a user name, a secret API key would be logged.
        if has_api_keys && has_api_key_prefix(credentials.user()) {
            return Err(ChallengeReason::MalformedCredentials(MalformedCredentialsError::ApiKeyAsUsername));
        }
        Ok(credentials)
    }
}

/// Returns credentials with an empty user name for an API key that was sent as a bearer token (RFC 6750 section 2.1).
fn api_key_credentials(token: &[u8]) -> Option<Credentials> {
    if !has_api_key_prefix(token) || token.contains(&b' ') {
        return None;
    }
    let mut buffer =
        Zeroizing::new(Vec::with_capacity(Credentials::CACHE_KEY_HEADER_LENGTH + 1 + token.len()));
    buffer.resize(Credentials::CACHE_KEY_HEADER_LENGTH, 0);
    buffer.push(b':');
    buffer.extend_from_slice(token);
    Credentials::new(buffer)
}

/// Checks that a password is not empty and contains no NUL. The code that compares passwords limits their length, see
/// [`PASSWORD_LENGTH_MAX`](crate::authn::hash::PASSWORD_LENGTH_MAX).
///
/// # Errors
/// The reason why the password is invalid.
pub(crate) fn check_password(password: &[u8]) -> Result<(), MalformedCredentialsError> {
    if password.is_empty() {
        return Err(MalformedCredentialsError::EmptyPassword);
    }
    if password.contains(&0) { Err(MalformedCredentialsError::NulInPassword) } else { Ok(()) }
}

fn decode_basic(text: &[u8]) -> Result<Credentials, MalformedCredentialsError> {
    let capacity = Credentials::CACHE_KEY_HEADER_LENGTH + base64::decoded_len_estimate(text.len());
    // The full capacity is allocated at once. A reallocation would leave a copy of the password in memory.
    let mut buffer = Zeroizing::new(Vec::with_capacity(capacity));
    buffer.resize(Credentials::CACHE_KEY_HEADER_LENGTH, 0);
    BASE64.decode_vec(text, &mut buffer).map_err(|_| MalformedCredentialsError::InvalidBase64)?;
    Credentials::new(buffer).ok_or(MalformedCredentialsError::NoColon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::UsernameError;

    fn basic_header(pair: &[u8]) -> String {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
    }

    fn parse_header(header: RequestHeader<'_>, has_api_keys: bool) -> Result<Credentials, ChallengeReason> {
        ParsedAuthorization::parse(header).credentials(has_api_keys)
    }

    fn parse_text(value: &str) -> Result<(Vec<u8>, Vec<u8>), ChallengeReason> {
        let credentials = parse_header(RequestHeader::Once(value.as_bytes()), true)?;
        check_password(credentials.password()).map_err(ChallengeReason::MalformedCredentials)?;
        Ok((credentials.user().to_vec(), credentials.password().to_vec()))
    }

    #[test]
    fn valid_basic_header_yields_user_and_password() {
        let alice = Ok((b"alice".to_vec(), b"se:cret".to_vec()));
        assert_eq!(parse_text(&basic_header(b"alice:se:cret")), alice);
        assert_eq!(parse_text(&basic_header(b"alice:se:cret").replace("Basic", "bAsIC")), alice);
        assert_eq!(parse_text(&basic_header(b"alice:se:cret").replace(' ', "   ")), alice);
        assert_eq!(parse_text(basic_header(b"alice:se:cret").trim_end_matches('=')), alice);
        assert!(parse_text(&basic_header("zoë:pässword".as_bytes())).is_ok());
        assert!(parse_text(&basic_header(b"zo\xeb:p\xe4ss")).is_ok());
        // The parser does not limit the length of a password.
        assert!(parse_text(&basic_header(&[&b"alice:"[..], &[b'x'; 10_000]].concat())).is_ok());
    }

    #[test]
    fn bearer_is_accepted_only_for_api_keys_and_only_if_api_keys_are_enabled() {
        assert_eq!(parse_text("bEARER dwk_abc"), Ok((Vec::new(), b"dwk_abc".to_vec())));
        for other in ["Bearer abc", "Bearer", "Bearer ", "Bearer dwk_a b", "Bearer xdwk_a"] {
            assert_eq!(parse_text(other).err(), Some(ChallengeReason::UnsupportedScheme), "{other}");
        }
        let key_as_user =
            Some(ChallengeReason::MalformedCredentials(MalformedCredentialsError::ApiKeyAsUsername));
        assert_eq!(parse_text(&basic_header(b"dwk_abc:x-oauth-basic")).err(), key_as_user);
        let disabled = parse_header(RequestHeader::Once(b"Bearer dwk_abc"), false);
        assert_eq!(disabled.err(), Some(ChallengeReason::UnsupportedScheme));
    }

    #[test]
    fn missing_or_malformed_authorization_is_challenged() {
        assert_eq!(parse_header(RequestHeader::Absent, true).err(), Some(ChallengeReason::NoCredentials));
        use MalformedCredentialsError as Bad;
        let malformed = ChallengeReason::MalformedCredentials;
        assert_eq!(parse_header(RequestHeader::Repeated, true).err(), Some(malformed(Bad::RepeatedHeader)));
        assert_eq!(parse_header(RequestHeader::Invalid, true).err(), Some(malformed(Bad::HeaderTooLong)));
        let cases: [(String, ChallengeReason); 14] = [
            (String::new(), ChallengeReason::NoCredentials),
            ("Bearer abc".into(), ChallengeReason::UnsupportedScheme),
            ("Basicx YTpi".into(), ChallengeReason::UnsupportedScheme),
            ("Basic".into(), malformed(Bad::NoColon)),
            ("Basic ".into(), malformed(Bad::NoColon)),
            ("Basic !!!".into(), malformed(Bad::InvalidBase64)),
            ("Basic YTpi YTpi".into(), malformed(Bad::InvalidBase64)),
            (basic_header(b"alice"), malformed(Bad::NoColon)),
            (basic_header(b":secret"), malformed(Bad::InvalidUsername(UsernameError::Empty))),
            (basic_header(b"alice:"), malformed(Bad::EmptyPassword)),
            (basic_header(b"alice:a\0b"), malformed(Bad::NulInPassword)),
            (
                basic_header(b"al\0ice:secret"),
                malformed(Bad::InvalidUsername(UsernameError::ControlCharacter)),
            ),
            (
                basic_header(b"al\rice:secret"),
                malformed(Bad::InvalidUsername(UsernameError::ControlCharacter)),
            ),
            (
                basic_header(&[&[b'x'; 256][..], b":secret"].concat()),
                malformed(Bad::InvalidUsername(UsernameError::TooLong)),
            ),
        ];
        for (value, reason) in cases {
            assert_eq!(parse_text(&value).err(), Some(reason), "{value:.40}");
        }
    }
}
