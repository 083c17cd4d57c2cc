//! The template of the request that is sent to a service.

use std::net::IpAddr;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::json_template::JsonTemplate;
use super::template::{EncodingContext, SecretReader, Template};
use crate::authn::Credentials;
use crate::authn::remote::client::UnencodableValue;

/// The template of the body.
#[derive(Clone, Debug, Default)]
pub(crate) enum BodyTemplate {
    /// No body.
    #[default]
    None,
    /// A form, `application/x-www-form-urlencoded`.
    Form(Box<[(String, Template)]>),
    /// JSON, `application/json`.
    Json(JsonTemplate),
}

impl BodyTemplate {
    /// Returns whether `is` holds for one of the texts.
    pub(crate) fn has_template(&self, is: fn(&Template) -> bool) -> bool {
        match self {
            Self::None => false,
            Self::Form(fields) => fields.iter().any(|(_, template)| is(template)),
            Self::Json(json) => json.has_template(is),
        }
    }
}

/// A URL with placeholders in its path and its query.
#[derive(Clone, Debug)]
pub(crate) struct UrlTemplate {
    template: Template,
    /// The URL with a sample user name, for the scheme, host and port.
    base_url: Url,
    /// Whether the user name is in the path.
    is_username_in_path: bool,
}

impl UrlTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// What is wrong, and how to correct it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text, EncodingContext::Url)?;
        let authority = template.literal_prefix().split_once("://").map(|(_, rest)| rest);
        if !authority.is_some_and(|rest| template.as_literal().is_some() || rest.contains('/')) {
            return Err("not a URL with a fixed host; write http:// or https://, the host, and a path".into());
        }
        let plain = text.replace("{username}", "x");
        // The error does not quote the URL, which may contain a password.
        let base = Url::parse(&plain).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("unknown scheme; write http:// or https://".into());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(
                "a password in a URL would be written to logs; send it in headers, as {file:/path}".into()
            );
        }
        let path = raw_path(&plain);
        if base.fragment().is_some() || !matches!(path, "" | "/") && path != base.path() {
            return Err(
                "the path must be percent-encoded, without dot segments and without a fragment".into()
            );
        }
        let in_path = text.split('?').next().is_some_and(|path| path.contains("{username}"));
        Ok(Self { template, base_url: base, is_username_in_path: in_path })
    }

    /// Returns whether the URL contains the user name.
    pub(crate) fn has_username(&self) -> bool {
        self.template.has_username()
    }

    /// Returns whether TLS is used.
    pub(crate) fn is_https(&self) -> bool {
        self.base_url.scheme() == "https"
    }

    /// Returns the host as it is in the URL.
    pub(crate) fn host(&self) -> &str {
        self.base_url.host_str().unwrap_or_default()
    }

    /// Returns whether the host is this machine: a loopback address or `localhost`.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(self.host() == "localhost", |address| address.is_loopback())
    }

    fn render(&self, credentials: &Credentials) -> Result<Url, UnencodableValue> {
        let text = self.template.render(credentials, EncodingContext::Url)?;
        let text = std::str::from_utf8(&text).map_err(|_| UnencodableValue)?;
        let url = Url::parse(text).map_err(|_| UnencodableValue)?;
        let path = raw_path(text);
        // A dot segment would be removed.
        let is_same_path = path == url.path() || matches!(path, "" | "/");
        // Many servers treat an encoded slash like a slash.
        let has_slash =
            self.is_username_in_path && credentials.user().iter().any(|byte| matches!(byte, b'/' | b'\\'));
        let is_valid = is_same_path && !has_slash && url.origin() == self.base_url.origin();
        if is_valid { Ok(url) } else { Err(UnencodableValue) }
    }
}

/// Returns the path of a URL as it is written.
fn raw_path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').and_then(|start| rest.get(start..)).unwrap_or_default()
}

/// The template of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestTemplate {
    /// The method.
    pub(crate) method: Method,
    /// The URL.
    pub(crate) url: UrlTemplate,
    /// The headers.
    pub(crate) headers: Box<[(HeaderName, Template)]>,
    /// The body.
    pub(crate) body: BodyTemplate,
    /// Whether the response must be JSON.
    pub(crate) is_json_expected: bool,
}

impl RequestTemplate {
    /// Returns the template with the contents of the files that it names.
    ///
    /// # Errors
    /// The first error of `read`.
    pub(crate) fn resolve_secrets<E>(&self, read: &mut SecretReader<'_, E>) -> Result<Self, E> {
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

    /// Returns the request for `credentials`.
    ///
    /// # Errors
    /// If a value cannot be encoded safely.
    pub(crate) fn render(&self, credentials: &Credentials) -> Result<Request, UnencodableValue> {
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
        // No intermediary may store the response to a request with a secret (RFC 9111 section 5.2.1.5).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, template) in &self.headers {
            headers.insert(name.clone(), render_header(template, credentials)?);
        }
        // The body is cleared when the request is dropped.
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

/// Returns a buffer that never grows, because a reallocation would leave a copy of the password in memory. JSON encodes
/// a control character as six bytes.
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
