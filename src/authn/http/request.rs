//! The request that asks a service whether a user name and a password are right.

use std::net::IpAddr;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::json::Json;
use super::template::{Place, ReadSecret, Template, Unplaceable};
use crate::authn::Credentials;

/// What is sent besides the head.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Box<[(String, Template)]>),
    /// `application/json`.
    Json(Json),
}

impl Body {
    /// Whether one of its texts is so.
    pub fn any(&self, is: fn(&Template) -> bool) -> bool {
        match self {
            Self::None => false,
            Self::Form(fields) => fields.iter().any(|(_, template)| is(template)),
            Self::Json(json) => json.any(is),
        }
    }
}

/// A URL with places for values in its path and its query.
#[derive(Clone, Debug)]
pub struct Target {
    template: Template,
    /// With no value in it; for its scheme, host and port.
    base: Url,
    /// Whether the user name stands in the path.
    in_path: bool,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what would do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text, Place::Url)?;
        let authority = template.beginning().split_once("://").map(|(_, rest)| rest);
        if !authority.is_some_and(|rest| template.fixed().is_some() || rest.contains('/')) {
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
        let path = path_of(&plain);
        if base.fragment().is_some() || !matches!(path, "" | "/") && path != base.path() {
            return Err(
                "write the path as it is sent: percent-encoded, without dot segments and a fragment".into()
            );
        }
        let in_path = text.split('?').next().is_some_and(|path| path.contains("{username}"));
        Ok(Self { template, base, in_path })
    }

    /// Whether the user name is in it.
    pub fn has_username(&self) -> bool {
        self.template.has_username()
    }

    /// Whether it is asked over TLS.
    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The host, as in the URL.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Whether the host is this machine, by its address or by the name that always means it.
    pub fn is_loopback(&self) -> bool {
        let address = self.host().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(self.host() == "localhost", |address| address.is_loopback())
    }

    fn render(&self, credentials: &Credentials) -> Result<Url, Unplaceable> {
        let text = self.template.render(credentials, Place::Url)?;
        let text = std::str::from_utf8(&text).map_err(|_| Unplaceable)?;
        let url = Url::parse(text).map_err(|_| Unplaceable)?;
        let path = path_of(text);
        // A dot segment would be taken away, and many a server takes an encoded slash for a slash.
        let same = path == url.path() || matches!(path, "" | "/");
        let slash = self.in_path && credentials.user().iter().any(|byte| matches!(byte, b'/' | b'\\'));
        if same && !slash && url.origin() == self.base.origin() { Ok(url) } else { Err(Unplaceable) }
    }
}

/// The path of a URL as it is written.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// All that makes a request.
#[derive(Clone, Debug)]
pub struct Question {
    /// How it is asked.
    pub method: Method,
    /// Where.
    pub target: Target,
    /// With which headers.
    pub headers: Box<[(HeaderName, Template)]>,
    /// With which body.
    pub body: Body,
    /// Whether the answer has to be JSON.
    pub wants_json: bool,
}

impl Question {
    /// The same with the contents of files in their places.
    ///
    /// # Errors
    /// What `read` says.
    pub fn resolve<E>(&self, read: &mut ReadSecret<'_, E>) -> Result<Self, E> {
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            headers.push((name.clone(), template.resolve(read)?));
        }
        let body = match &self.body {
            Body::None => Body::None,
            Body::Json(json) => Body::Json(json.resolve(read)?),
            Body::Form(fields) => {
                let mut resolved = Vec::new();
                for (name, template) in fields {
                    resolved.push((name.clone(), template.resolve(read)?));
                }
                Body::Form(resolved.into())
            }
        };
        Ok(Self { headers: headers.into(), body, ..self.clone() })
    }

    /// The request about these credentials.
    pub fn render(&self, credentials: &Credentials) -> Result<Request, Unplaceable> {
        let mut request = Request::new(self.method.clone(), self.target.render(credentials)?);
        let headers = request.headers_mut();
        if self.wants_json {
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        let body = match &self.body {
            Body::None => None,
            Body::Form(fields) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                Some(form(fields, credentials)?)
            }
            Body::Json(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let mut out = room(credentials, json.length());
                json.write(&mut out, credentials)?;
                Some(out)
            }
        };
        // Of what is asked with a secret nobody on the way keeps the answer (RFC 9111 section 5.2.1.5).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, template) in &self.headers {
            headers.insert(name.clone(), header(template, credentials)?);
        }
        // Cleared when the request is gone.
        *request.body_mut() = body.map(|body| Bytes::from_owner(body).into());
        Ok(request)
    }
}

fn header(template: &Template, credentials: &Credentials) -> Result<HeaderValue, Unplaceable> {
    let bytes = Bytes::from_owner(template.render(credentials, Place::Header)?);
    let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| Unplaceable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Room for all that is written, so that no copy of a password is left behind by growing: JSON makes
/// six bytes of a control character.
fn room(credentials: &Credentials, fixed: usize) -> Zeroizing<Vec<u8>> {
    let values = 6 * (credentials.user().len() + credentials.password().len());
    Zeroizing::new(Vec::with_capacity(fixed + 4 * values))
}

fn form(fields: &[(String, Template)], credentials: &Credentials) -> Result<Zeroizing<Vec<u8>>, Unplaceable> {
    let fixed = fields.iter().map(|(name, template)| 3 * (name.len() + template.beginning().len()) + 2).sum();
    let mut out = room(credentials, fixed);
    for (name, template) in fields {
        if !out.is_empty() {
            out.push(b'&');
        }
        form_urlencoded::byte_serialize(name.as_bytes())
            .for_each(|part| out.extend_from_slice(part.as_bytes()));
        out.push(b'=');
        let value = template.render(credentials, Place::Body)?;
        form_urlencoded::byte_serialize(&value).for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
    Ok(out)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
