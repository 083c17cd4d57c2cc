//! The request that asks a service whether a user name and a password are right.

use std::net::IpAddr;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::json_template::JsonTemplate;
use super::template::{EncodingContext, SecretReader, Template};
use crate::authn::Credentials;
use crate::authn::remote::client::UnencodableValue;

/// What is sent besides the head.
#[derive(Clone, Debug, Default)]
pub enum BodyTemplate {
    /// Nothing.
    #[default]
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Box<[(String, Template)]>),
    /// `application/json`.
    Json(JsonTemplate),
}

impl BodyTemplate {
    /// Whether one of its texts is so.
    pub fn has_template(&self, is: fn(&Template) -> bool) -> bool {
        match self {
            Self::None => false,
            Self::Form(fields) => fields.iter().any(|(_, template)| is(template)),
            Self::Json(json) => json.has_template(is),
        }
    }
}

/// A URL with places for values in its path and its query.
#[derive(Clone, Debug)]
pub struct UrlTemplate {
    template: Template,
    /// With no value in it; for its scheme, host and port.
    base_url: Url,
    /// Whether the user name stands in the path.
    is_username_in_path: bool,
}

impl UrlTemplate {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what would do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text, EncodingContext::Url)?;
        let authority = template.literal_prefix().split_once("://").map(|(_, rest)| rest);
        if !authority.is_some_and(|rest| template.as_literal().is_some() || rest.contains('/')) {
            return Err("write http:// or https://, a host that is always the same, and a path".into());
        }
        let plain = text.replace("{username}", "x");
        // Not quoted: there may be a password in it.
        let base = Url::parse(&plain).map_err(|error| format!("it is not a URL: {error}"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("write http:// or https://".into());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err("a URL with a password in it ends up in logs; use headers or header_files".into());
        }
        let path = raw_path(&plain);
        if base.fragment().is_some() || !matches!(path, "" | "/") && path != base.path() {
            return Err(
                "write the path as it is sent: percent-encoded, without dot segments and a fragment".into()
            );
        }
        let in_path = text.split('?').next().is_some_and(|path| path.contains("{username}"));
        Ok(Self { template, base_url: base, is_username_in_path: in_path })
    }

    /// Whether the user name is in it.
    pub fn has_username(&self) -> bool {
        self.template.has_username()
    }

    /// Whether it is asked over TLS.
    pub fn is_https(&self) -> bool {
        self.base_url.scheme() == "https"
    }

    /// The host, as in the URL.
    pub fn host(&self) -> &str {
        self.base_url.host_str().unwrap_or_default()
    }

    /// Whether the host is this machine, by its address or by the name that always means it.
    pub fn is_loopback(&self) -> bool {
        let address = self.host().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(self.host() == "localhost", |address| address.is_loopback())
    }

    fn render(&self, credentials: &Credentials) -> Result<Url, UnencodableValue> {
        let text = self.template.render(credentials, EncodingContext::Url)?;
        let text = std::str::from_utf8(&text).map_err(|_| UnencodableValue)?;
        let url = Url::parse(text).map_err(|_| UnencodableValue)?;
        let path = raw_path(text);
        // A dot segment would be taken away, and many a server takes an encoded slash for a slash.
        let same = path == url.path() || matches!(path, "" | "/");
        let slash =
            self.is_username_in_path && credentials.user().iter().any(|byte| matches!(byte, b'/' | b'\\'));
        if same && !slash && url.origin() == self.base_url.origin() { Ok(url) } else { Err(UnencodableValue) }
    }
}

/// The path of a URL as it is written.
fn raw_path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// All that makes a request.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// How it is asked.
    pub method: Method,
    /// Where.
    pub url: UrlTemplate,
    /// With which headers.
    pub headers: Box<[(HeaderName, Template)]>,
    /// With which body.
    pub body: BodyTemplate,
    /// Whether the answer has to be JSON.
    pub is_json_expected: bool,
}

impl RequestTemplate {
    /// The same with the contents of files in their places.
    ///
    /// # Errors
    /// What `read` says.
    pub fn resolve_secrets<E>(&self, read: &mut SecretReader<'_, E>) -> Result<Self, E> {
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            headers.push((name.clone(), template.resolve_secrets(read)?));
        }
        let body = match &self.body {
            BodyTemplate::None => BodyTemplate::None,
            BodyTemplate::Json(json) => BodyTemplate::Json(json.resolve_secrets(read)?),
            BodyTemplate::Form(fields) => {
                let mut resolved = Vec::new();
                for (name, template) in fields {
                    resolved.push((name.clone(), template.resolve_secrets(read)?));
                }
                BodyTemplate::Form(resolved.into())
            }
        };
        Ok(Self { headers: headers.into(), body, ..self.clone() })
    }

    /// The request about these credentials.
    pub fn render(&self, credentials: &Credentials) -> Result<Request, UnencodableValue> {
        let mut request = Request::new(self.method.clone(), self.url.render(credentials)?);
        let headers = request.headers_mut();
        if self.is_json_expected {
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        let body = match &self.body {
            BodyTemplate::None => None,
            BodyTemplate::Form(fields) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                Some(render_form(fields, credentials)?)
            }
            BodyTemplate::Json(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let mut out = buffer_for(credentials, json.length_hint());
                json.render(&mut out, credentials)?;
                Some(out)
            }
        };
        // Of what is asked with a secret nobody on the way keeps the answer (RFC 9111 section 5.2.1.5).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, template) in &self.headers {
            headers.insert(name.clone(), render_header(template, credentials)?);
        }
        // Cleared when the request is gone.
        *request.body_mut() = body.map(|body| Bytes::from_owner(body).into());
        Ok(request)
    }
}

fn render_header(template: &Template, credentials: &Credentials) -> Result<HeaderValue, UnencodableValue> {
    let bytes = Bytes::from_owner(template.render(credentials, EncodingContext::Header)?);
    let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| UnencodableValue)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Room for all that is written, so that no copy of a password is left behind by growing: JSON makes
/// six bytes of a control character.
fn buffer_for(credentials: &Credentials, fixed: usize) -> Zeroizing<Vec<u8>> {
    let values = 6 * (credentials.user().len() + credentials.password().len());
    Zeroizing::new(Vec::with_capacity(fixed + 4 * values))
}

fn render_form(
    fields: &[(String, Template)],
    credentials: &Credentials,
) -> Result<Zeroizing<Vec<u8>>, UnencodableValue> {
    let fixed =
        fields.iter().map(|(name, template)| 3 * (name.len() + template.literal_prefix().len()) + 2).sum();
    let mut out = buffer_for(credentials, fixed);
    for (name, template) in fields {
        if !out.is_empty() {
            out.push(b'&');
        }
        form_urlencoded::byte_serialize(name.as_bytes())
            .for_each(|part| out.extend_from_slice(part.as_bytes()));
        out.push(b'=');
        let value = template.render(credentials, EncodingContext::Body)?;
        form_urlencoded::byte_serialize(&value).for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
    Ok(out)
}

#[cfg(test)]
#[path = "request_template_tests.rs"]
mod tests;
