//! The parameters of `/token`, in a query (token.md) or a form (oauth.md).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::token::scope::{self, TokenScope};

/// Maximum number of parameters of a request.
const PARAMETERS_MAX: usize = 128;

/// The source of the client's credentials.
pub(super) enum GrantType {
    /// The `Authorization` header; it can be missing.
    AuthorizationHeader,
    /// A user name and a password in a form, converted to Basic credentials.
    Password(Zeroizing<Vec<u8>>),
    /// A refresh token, which doorward never issues.
    RefreshToken,
}

/// A request for a token.
pub(super) struct TokenRequest {
    /// The source of the credentials.
    pub(super) grant_type: GrantType,
    /// True if the request is a form; the response then contains the granted scope.
    pub(super) is_form: bool,
    service: Option<String>,
    account: Option<String>,
    scopes: Vec<String>,
}

/// Form parameters that contain a secret, or that are sent with one.
const SECRET_PARAMETERS: [&str; 5] =
    ["username", "password", "refresh_token", "access_token", "client_secret"];

/// Checks that a query contains no credentials. They would be ignored, so the client would get an anonymous token,
/// and every proxy on the path would log them.
///
/// # Errors
/// Returns the message for the client if there are credentials.
pub(super) fn check_no_secrets(query: &str) -> Result<(), &'static str> {
    let is_secret =
        |key: &str| SECRET_PARAMETERS.iter().any(|secret| secret.eq_ignore_ascii_case(key.trim()));
    if form_urlencoded::parse(query.as_bytes()).any(|(key, _)| is_secret(&key)) {
        return Err("credentials do not belong in the URL: send them in Authorization, or in a form by POST");
    }
    Ok(())
}

impl TokenRequest {
    /// Parses a query. `client_id` and `offline_token` have no effect, because no refresh tokens are issued.
    ///
    /// # Errors
    /// Returns the message for the client. The other functions do the same.
    pub(super) fn from_query(query: &str) -> Result<Self, &'static str> {
        let (mut service, mut account, mut scopes) = (None, None, Vec::new());
        for (number, (key, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if number >= PARAMETERS_MAX {
                return Err("there are more than 128 parameters");
            }
            match &*key {
                "service" => set_once(&mut service, value.into_owned(), "service is repeated")?,
                "account" => set_once(&mut account, value.into_owned(), "account is repeated")?,
                "scope" => scopes.push(value.into_owned()),
                _ => {}
            }
        }
        Ok(Self { grant_type: GrantType::AuthorizationHeader, is_form: false, service, account, scopes })
    }

    /// Parses a form.
    pub(super) fn from_form(form: &[u8]) -> Result<Self, &'static str> {
        let (mut service, mut grant_type, mut scopes) = (None, None, Vec::new());
        let (mut username, mut password) = (None, None);
        for (number, (key, value)) in form_urlencoded::parse(form).enumerate() {
            if number >= PARAMETERS_MAX {
                return Err("there are more than 128 parameters");
            }
            match &*key {
                "service" => set_once(&mut service, value.into_owned(), "service is repeated")?,
                "grant_type" => set_once(&mut grant_type, value.into_owned(), "grant_type is repeated")?,
                "username" => set_once(&mut username, value.into_owned(), "username is repeated")?,
                "password" => {
                    set_once(&mut password, Zeroizing::new(value.into_owned()), "password is repeated")?;
                }
                "scope" => scopes.push(value.into_owned()),
                _ => {}
            }
        }
        let grant = match (grant_type.as_deref(), username, password) {
            (Some("refresh_token"), ..) => GrantType::RefreshToken,
            (Some("password"), Some(username), Some(password)) => {
                GrantType::Password(encode_basic(&username, &password)?)
            }
            (Some("password"), ..) => return Err("grant_type=password requires username and password"),
            (Some(_), ..) => return Err("grant_type must be password"),
            (None, ..) => return Err("grant_type is missing"),
        };
        Ok(Self { grant_type: grant, is_form: true, service, account: None, scopes })
    }

    /// Checks that the token is requested for this service.
    pub(super) fn check_service(&self, service: &str) -> Result<(), &'static str> {
        match &self.service {
            Some(requested) if requested != service => {
                Err("service is not the registry that tokens are issued for")
            }
            _ => Ok(()),
        }
    }

    /// Checks that the `account` parameter is the user of the credentials (token.md: `account`). `user` is empty if
    /// the credentials contain no user name.
    pub(super) fn check_account(&self, user: &[u8]) -> Result<(), &'static str> {
        match &self.account {
            Some(account) if !user.is_empty() && user != account.as_bytes() => {
                Err("account differs from the user of the credentials")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the requested scopes as they were sent, separated by spaces.
    pub(super) fn scopes_as_sent(&self) -> String {
        self.scopes.join(" ")
    }

    /// Parses the requested scopes.
    pub(super) fn scopes(&self) -> Result<Vec<TokenScope<'_>>, &'static str> {
        scope::parse_scopes(self.scopes.iter().map(String::as_str))
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, error: &'static str) -> Result<(), &'static str> {
    if slot.replace(value).is_some() { Err(error) } else { Ok(()) }
}

/// Encodes Basic credentials as a header value (RFC 7617 section 2).
fn encode_basic(username: &str, password: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    if username.contains(':') {
        return Err("the user name contains a colon");
    }
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let mut value = Zeroizing::new(b"Basic ".to_vec());
    let start = value.len();
    value.resize(start + pair.len().div_ceil(3) * 4, 0);
    let text = value.get_mut(start..).unwrap_or_default();
    BASE64_STANDARD.encode_slice(pair.as_bytes(), text).map_err(|_| "the password is too long")?;
    Ok(value)
}

#[cfg(test)]
#[path = "token_request_tests.rs"]
mod tests;
