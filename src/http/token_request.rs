//! What a client asks of `/token`, by query (token.md) or by form (oauth.md).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::token::scope::{self, TokenScope};

/// The most parameters of a request.
const PARAMETERS_MAX: usize = 128;

/// By what somebody says who he is.
pub(super) enum GrantType {
    /// By `Authorization`, or not at all.
    AuthorizationHeader,
    /// By a form, of which this is the same as Basic would be.
    Password(Zeroizing<Vec<u8>>),
    /// By a refresh token, of which there are none here.
    RefreshToken,
}

/// A request for a token.
pub(super) struct TokenRequest {
    /// By what he says who he is.
    pub(super) grant_type: GrantType,
    /// Whether it came as a form, which is answered a little otherwise.
    pub(super) is_form: bool,
    service: Option<String>,
    account: Option<String>,
    scopes: Vec<String>,
}

/// Parameters of a form that hold a secret, or that a client sends beside one.
const SECRET_PARAMETERS: [&str; 5] =
    ["username", "password", "refresh_token", "access_token", "client_secret"];

/// Checks that there are no credentials in a query. They would be ignored, and the client would get a token for
/// nobody; and every proxy on the way has them in its log.
///
/// # Errors
/// If there are some.
pub(super) fn check_no_secrets(query: &str) -> Result<(), &'static str> {
    let is_secret =
        |key: &str| SECRET_PARAMETERS.iter().any(|secret| secret.eq_ignore_ascii_case(key.trim()));
    if form_urlencoded::parse(query.as_bytes()).any(|(key, _)| is_secret(&key)) {
        return Err(
            "credentials do not belong into the URL: send them by Authorization, or as a form by POST",
        );
    }
    Ok(())
}

impl TokenRequest {
    /// Reads a query. `client_id` and `offline_token` change nothing: no refresh tokens are given out.
    ///
    /// # Errors
    /// What is wrong with it; here and below.
    pub(super) fn from_query(query: &str) -> Result<Self, &'static str> {
        let (mut service, mut account, mut scopes) = (None, None, Vec::new());
        for (number, (key, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if number >= PARAMETERS_MAX {
                return Err("there are too many parameters");
            }
            match &*key {
                "service" => set_once(&mut service, value.into_owned(), "service is given twice")?,
                "account" => set_once(&mut account, value.into_owned(), "account is given twice")?,
                "scope" => scopes.push(value.into_owned()),
                _ => {}
            }
        }
        Ok(Self { grant_type: GrantType::AuthorizationHeader, is_form: false, service, account, scopes })
    }

    /// Reads a form.
    pub(super) fn from_form(form: &[u8]) -> Result<Self, &'static str> {
        let (mut service, mut kind, mut scopes) = (None, None, Vec::new());
        let (mut username, mut password) = (None, None);
        for (number, (key, value)) in form_urlencoded::parse(form).enumerate() {
            if number >= PARAMETERS_MAX {
                return Err("there are too many parameters");
            }
            match &*key {
                "service" => set_once(&mut service, value.into_owned(), "service is given twice")?,
                "grant_type" => set_once(&mut kind, value.into_owned(), "grant_type is given twice")?,
                "username" => set_once(&mut username, value.into_owned(), "username is given twice")?,
                "password" => {
                    set_once(&mut password, Zeroizing::new(value.into_owned()), "password is given twice")?;
                }
                "scope" => scopes.push(value.into_owned()),
                _ => {}
            }
        }
        let grant = match (kind.as_deref(), username, password) {
            (Some("refresh_token"), ..) => GrantType::RefreshToken,
            (Some("password"), Some(username), Some(password)) => {
                GrantType::Password(encode_basic(&username, &password)?)
            }
            (Some("password"), ..) => return Err("grant_type=password wants username and password"),
            (Some(_), ..) => return Err("grant_type is password"),
            (None, ..) => return Err("grant_type is missing"),
        };
        Ok(Self { grant_type: grant, is_form: true, service, account: None, scopes })
    }

    /// Whether it is meant for the registry that tokens are given out for.
    pub(super) fn check_service(&self, service: &str) -> Result<(), &'static str> {
        match &self.service {
            Some(given) if given != service => {
                Err("service is not the registry that tokens are given out for")
            }
            _ => Ok(()),
        }
    }

    /// Whether the account that it says it is for is the one that it shows credentials of (token.md: `account`).
    /// `user` is empty if the credentials name nobody.
    pub(super) fn check_account(&self, user: &[u8]) -> Result<(), &'static str> {
        match &self.account {
            Some(account) if !user.is_empty() && user != account.as_bytes() => {
                Err("account is another than the credentials' user")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is asked for, as it was written.
    pub(super) fn scopes_as_sent(&self) -> String {
        self.scopes.join(" ")
    }

    /// What is asked for.
    pub(super) fn scopes(&self) -> Result<Vec<TokenScope<'_>>, &'static str> {
        scope::parse_scopes(self.scopes.iter().map(String::as_str))
    }
}

fn set_once<T>(place: &mut Option<T>, value: T, twice: &'static str) -> Result<(), &'static str> {
    if place.replace(value).is_some() { Err(twice) } else { Ok(()) }
}

/// As a header would have it (RFC 7617 section 2).
fn encode_basic(username: &str, password: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    if username.contains(':') {
        return Err("a user name has no colon");
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
