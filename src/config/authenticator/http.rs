//! From a table of type `http` to what is asked and how the answer is read; every fault with its place
//! and its remedy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use toml::Spanned;

use super::raw::Http;
use crate::authn::Trust;
use crate::authn::http::Spec;
use crate::authn::http::answer::{Condition, Reading, Wanted};
use crate::authn::http::call::Bounds;
use crate::authn::http::client::Trusted;
use crate::authn::http::json::Json;
use crate::authn::http::request::{Body, Question, Target};
use crate::authn::http::template::{Place, Template};
use crate::authn::queue::Limits;
use crate::config::tables::{Faults, at};
use crate::config::value;

/// The longest that an answer may be trusted, or given while nobody can be asked.
const TRUST_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

const MINUTE: Duration = Duration::from_secs(60);

/// Reads one table, and notes what is wrong with it.
pub(super) struct Reader<'r> {
    faults: &'r mut Faults,
}

/// What the table says; `None` where it can't be told.
pub(super) fn spec(raw: &Http, name: Arc<str>, faults: &mut Faults) -> Option<Spec> {
    let before = faults.len();
    let mut reader = Reader { faults };
    let reading = reader.reading(raw);
    let question = reader.question(raw, &reading);
    let bounds = reader.bounds(raw);
    let trust = reader.trust(raw);
    let (connections, limits) = reader.limits(raw);
    let trusted = reader.trusted(raw);
    let well = reader.faults.len() == before;
    let question = question.filter(|_| well)?;
    Some(Spec { name, question, reading, bounds, trusted, connections, limits, trust })
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, place: usize, what: impl Into<String>) {
        self.faults.push((place, what.into()));
    }

    /// The value, or a fault and nothing.
    pub(super) fn take<T>(&mut self, place: usize, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.fault(place, what)).ok()
    }

    fn question(&mut self, raw: &Http, reading: &Reading) -> Option<Question> {
        let wants_json = reading.needs_json();
        let compared = |condition: &Condition| matches!(condition.wanted, Wanted::Username);
        let names = reading.username.is_some() || reading.conditions.iter().any(compared);
        let before = self.faults.len();
        let target = self.take(at(&raw.url), Target::parse(raw.url.get_ref()));
        let body = match (&raw.json, &raw.form) {
            (Some(json), Some(_)) => {
                self.fault(at(json), "json and form are both given; a request has one body");
                Body::None
            }
            (Some(json), None) => {
                let place = at(json);
                self.take(place, self::json(json.get_ref())).map_or(Body::None, Body::Json)
            }
            (None, Some(form)) => Body::Form(self.form(form.get_ref())),
            (None, None) => Body::None,
        };
        let headers = self.headers(raw);
        let method = self.method(raw, !matches!(body, Body::None), wants_json);
        let anywhere =
            |is: fn(&Template) -> bool| headers.iter().any(|(_, template)| is(template)) || body.any(is);
        let shown = anywhere(Template::has_password);
        let named = anywhere(Template::has_username) || target.as_ref().is_some_and(Target::has_username);
        if !shown && self.faults.len() == before {
            self.fault(
                at(&raw.url),
                "nothing in the request holds {password} or {basic}, so any password would do",
            );
        }
        if !named && !names && self.faults.len() == before {
            self.fault(at(&raw.url), "the service is not told the user name, and nothing compares it: whoever has a password of his own could take any name. Add accepted_if = { \"/email\" = \"{username}\" }, or username, or send {username}");
        }
        Some(Question { method, target: target?, headers: headers.into(), body, wants_json })
    }

    fn method(&mut self, raw: &Http, has_body: bool, wants_json: bool) -> Method {
        let Some(given) = &raw.method else { return if has_body { Method::POST } else { Method::GET } };
        let method = match &**given.get_ref() {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => {
                self.fault(at(given), "it is not one of GET, HEAD, POST and PUT");
                return Method::POST;
            }
        };
        if has_body && matches!(method, Method::GET | Method::HEAD) {
            self.fault(at(given), "a request with a body is a POST or a PUT");
        }
        if wants_json && method == Method::HEAD {
            self.fault(at(given), "the answer to HEAD has no body to look into");
        }
        method
    }

    pub(super) fn header_name(&mut self, name: &Spanned<String>) -> Option<HeaderName> {
        let parsed = HeaderName::from_bytes(name.get_ref().as_bytes());
        let header = self.take(at(name), parsed.map_err(|_| "it is no name of a header".to_owned()))?;
        let own = [HOST, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];
        if own.contains(&header) {
            self.fault(at(name), format!("{header} follows from the URL and the body; leave it out"));
        }
        Some(header)
    }

    fn headers(&mut self, raw: &Http) -> Vec<(HeaderName, Template)> {
        let mut headers = Vec::new();
        for (name, text) in &raw.headers {
            let template = self.take(at(text), Template::parse(text.get_ref(), Place::Header));
            if let (Some(name), Some(template)) = (self.header_name(name), template) {
                headers.push((name, template));
            }
        }
        headers
    }

    fn form(&mut self, fields: &BTreeMap<String, Spanned<String>>) -> Box<[(String, Template)]> {
        let field = |(name, text): (&String, &Spanned<String>)| {
            let template = self.take(at(text), Template::parse(text.get_ref(), Place::Body))?;
            Some((name.clone(), template))
        };
        fields.iter().filter_map(field).collect()
    }

    fn span(
        &mut self,
        given: Option<&Spanned<String>>,
        default: Duration,
        low: Duration,
        high: Duration,
    ) -> Duration {
        given.and_then(|text| self.take(at(text), value::span(text.get_ref(), low, high))).unwrap_or(default)
    }

    fn bounds(&mut self, raw: &Http) -> Bounds {
        let least = Duration::from_millis(50);
        let timeout = self.span(raw.timeout.as_ref(), Duration::from_secs(4), least, MINUTE);
        let default = timeout.min(Duration::from_secs(1));
        let connect_timeout = self.span(raw.connect_timeout.as_ref(), default, least, MINUTE);
        if let Some(given) = raw.connect_timeout.as_ref().filter(|_| connect_timeout > timeout) {
            self.fault(at(given), "connect_timeout is longer than timeout, of which it is a part");
        }
        let max_body = raw
            .max_body
            .as_ref()
            .and_then(|text| self.take(at(text), value::bytes(text.get_ref(), 1 << 10, 1 << 24)));
        Bounds { connect_timeout, timeout, max_body: max_body.unwrap_or(64 << 10) }
    }

    fn trust(&mut self, raw: &Http) -> Trust {
        let fresh = self.span(raw.trusted_for.as_ref(), 5 * MINUTE, Duration::ZERO, TRUST_MAX);
        let stale = self.span(raw.stale_if_unavailable.as_ref(), Duration::ZERO, Duration::ZERO, TRUST_MAX);
        if let Some(given) = raw.stale_if_unavailable.as_ref().filter(|_| !stale.is_zero() && stale <= fresh)
        {
            self.fault(
                at(given),
                "it counts from when the answer was given, so it has to be longer than trusted_for",
            );
        }
        Trust { fresh: Some(fresh), stale: Some(stale) }
    }

    fn number(&mut self, key: &str, given: Option<&Spanned<usize>>, default: usize, high: usize) -> usize {
        let Some(given) = given else { return default };
        if !(1..=high).contains(given.get_ref()) {
            self.fault(
                at(given),
                format!("{key}: {} is not a whole number from 1 to {high}", given.get_ref()),
            );
        }
        *given.get_ref()
    }

    fn limits(&mut self, raw: &Http) -> (usize, Limits) {
        let queue = self.number("queue", raw.queue.as_ref(), 512, 100_000);
        let network_share = self.number("network_share", raw.network_share.as_ref(), queue.min(256), queue);
        let user_share =
            self.number("user_share", raw.user_share.as_ref(), network_share.min(4), network_share);
        let connections = self.number("connections", raw.connections.as_ref(), 16, 1024);
        (connections, Limits { queue, network_share, user_share })
    }

    fn trusted(&mut self, raw: &Http) -> Trusted {
        let path = |text: &Spanned<String>| value::path(text.get_ref());
        let client_cert = match (&raw.client_cert_file, &raw.client_key_file) {
            (Some(certificate), Some(key)) => {
                self.take(at(certificate), path(certificate)).zip(self.take(at(key), path(key)))
            }
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                self.fault(at(one), "client_cert_file and client_key_file go together");
                None
            }
        };
        let ca_file: Option<PathBuf> = raw.ca_file.as_ref().and_then(|text| self.take(at(text), path(text)));
        Trusted { ca_file, client_cert }
    }
}

/// The template of a JSON body.
fn json(value: &toml::Value) -> Result<Json, String> {
    Ok(match value {
        toml::Value::String(text) => Json::Text(Template::parse(text, Place::Body)?),
        toml::Value::Integer(number) => Json::Fixed((*number).into()),
        toml::Value::Float(number) => Json::Fixed((*number).into()),
        toml::Value::Boolean(switch) => Json::Fixed((*switch).into()),
        toml::Value::Datetime(_) => return Err("JSON has no dates; write it in quotes".into()),
        toml::Value::Array(items) => Json::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        toml::Value::Table(fields) => {
            let field =
                |(name, value): (&String, &toml::Value)| Ok::<_, String>((name.clone(), json(value)?));
            Json::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}
