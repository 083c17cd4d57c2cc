//! From a table of type `http` to what is asked and how the answer is read; every fault with its place
//! and its remedy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use toml::Spanned;

use super::raw::RawHttpTable;
use crate::authn::AnswerLifetime;
use crate::authn::http::AuthBackendSpec;
use crate::authn::http::call::CallLimits;
use crate::authn::http::client::TlsFiles;
use crate::authn::http::json_template::JsonTemplate;
use crate::authn::http::request_template::{BodyTemplate, RequestTemplate, UrlTemplate};
use crate::authn::http::response::{ExpectedValue, JsonCondition, ResponseRules};
use crate::authn::http::template::{EncodingContext, Template};
use crate::authn::queue::job::QueueLimits;
use crate::config::array_of_tables::{TableErrors, offset};
use crate::config::value;

/// The longest that an answer may be trusted, or given while nobody can be asked.
const ANSWER_LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

const MINUTE: Duration = Duration::from_secs(60);

/// Reads one table, and notes what is wrong with it.
pub(super) struct HttpTableReader<'r> {
    errors: &'r mut TableErrors,
}

/// What the table says; `None` where it can't be told.
pub(super) fn read_http_table(
    raw: &RawHttpTable,
    name: Arc<str>,
    faults: &mut TableErrors,
) -> Option<AuthBackendSpec> {
    let before = faults.len();
    let mut reader = HttpTableReader { errors: faults };
    let reading = reader.read_response_rules(raw);
    let question = reader.read_request_template(raw, &reading);
    let bounds = reader.read_call_limits(raw);
    let trust = reader.read_answer_lifetime(raw);
    let (connections, limits) = reader.read_queue_limits(raw);
    let trusted = reader.read_tls_files(raw);
    let well = reader.errors.len() == before;
    let question = question.filter(|_| well)?;
    Some(AuthBackendSpec {
        name,
        request: question,
        response_rules: reading,
        call_limits: bounds,
        tls: trusted,
        connections_max: connections,
        queue_limits: limits,
        lifetime: trust,
    })
}

impl HttpTableReader<'_> {
    pub(super) fn add_error(&mut self, place: usize, what: impl Into<String>) {
        self.errors.push((place, what.into()));
    }

    /// The value, or a fault and nothing.
    pub(super) fn ok_or_add_error<T>(&mut self, place: usize, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.add_error(place, what)).ok()
    }

    fn read_request_template(
        &mut self,
        raw: &RawHttpTable,
        reading: &ResponseRules,
    ) -> Option<RequestTemplate> {
        let wants_json = reading.is_json_required();
        let compared = |condition: &JsonCondition| matches!(condition.expected, ExpectedValue::Username);
        let names = reading.username_pointer.is_some() || reading.conditions.iter().any(compared);
        let before = self.errors.len();
        let target = self.ok_or_add_error(offset(&raw.url), UrlTemplate::parse(raw.url.get_ref()));
        let body = match (&raw.json, &raw.form) {
            (Some(json), Some(_)) => {
                self.add_error(offset(json), "json and form are both given; a request has one body");
                BodyTemplate::None
            }
            (Some(json), None) => {
                let place = offset(json);
                self.ok_or_add_error(place, self::parse_json_template(json.get_ref()))
                    .map_or(BodyTemplate::None, BodyTemplate::Json)
            }
            (None, Some(form)) => BodyTemplate::Form(self.read_form(form.get_ref())),
            (None, None) => BodyTemplate::None,
        };
        let headers = self.read_headers(raw);
        let method = self.read_method(raw, !matches!(body, BodyTemplate::None), wants_json);
        let anywhere = |is: fn(&Template) -> bool| {
            headers.iter().any(|(_, template)| is(template)) || body.has_template(is)
        };
        let shown = anywhere(Template::has_password);
        let named =
            anywhere(Template::has_username) || target.as_ref().is_some_and(UrlTemplate::has_username);
        if !shown && self.errors.len() == before {
            self.add_error(
                offset(&raw.url),
                "nothing in the request holds {password} or {basic}, so any password would do",
            );
        }
        if !named && !names && self.errors.len() == before {
            self.add_error(offset(&raw.url), "the service is not told the user name, and nothing compares it: whoever has a password of his own could take any name. Add accepted_if = { \"/email\" = \"{username}\" }, or username, or send {username}");
        }
        Some(RequestTemplate {
            method,
            url: target?,
            headers: headers.into(),
            body,
            is_json_expected: wants_json,
        })
    }

    fn read_method(&mut self, raw: &RawHttpTable, has_body: bool, wants_json: bool) -> Method {
        let Some(given) = &raw.method else { return if has_body { Method::POST } else { Method::GET } };
        let method = match &**given.get_ref() {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => {
                self.add_error(offset(given), "it is not one of GET, HEAD, POST and PUT");
                return Method::POST;
            }
        };
        if has_body && matches!(method, Method::GET | Method::HEAD) {
            self.add_error(offset(given), "a request with a body is a POST or a PUT");
        }
        if wants_json && method == Method::HEAD {
            self.add_error(offset(given), "the answer to HEAD has no body to look into");
        }
        method
    }

    pub(super) fn read_header_name(&mut self, name: &Spanned<String>) -> Option<HeaderName> {
        let parsed = HeaderName::from_bytes(name.get_ref().as_bytes());
        let header =
            self.ok_or_add_error(offset(name), parsed.map_err(|_| "it is no name of a header".to_owned()))?;
        let own = [HOST, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];
        if own.contains(&header) {
            self.add_error(offset(name), format!("{header} follows from the URL and the body; leave it out"));
        }
        Some(header)
    }

    fn read_headers(&mut self, raw: &RawHttpTable) -> Vec<(HeaderName, Template)> {
        let mut headers = Vec::new();
        for (name, text) in &raw.headers {
            let template =
                self.ok_or_add_error(offset(text), Template::parse(text.get_ref(), EncodingContext::Header));
            if let (Some(name), Some(template)) = (self.read_header_name(name), template) {
                headers.push((name, template));
            }
        }
        headers
    }

    fn read_form(&mut self, fields: &BTreeMap<String, Spanned<String>>) -> Box<[(String, Template)]> {
        let field = |(name, text): (&String, &Spanned<String>)| {
            let template =
                self.ok_or_add_error(offset(text), Template::parse(text.get_ref(), EncodingContext::Body))?;
            Some((name.clone(), template))
        };
        fields.iter().filter_map(field).collect()
    }

    fn read_duration(
        &mut self,
        given: Option<&Spanned<String>>,
        default: Duration,
        low: Duration,
        high: Duration,
    ) -> Duration {
        given
            .and_then(|text| {
                self.ok_or_add_error(offset(text), value::parse_duration(text.get_ref(), low, high))
            })
            .unwrap_or(default)
    }

    fn read_call_limits(&mut self, raw: &RawHttpTable) -> CallLimits {
        let least = Duration::from_millis(50);
        let timeout = self.read_duration(raw.timeout.as_ref(), Duration::from_secs(4), least, MINUTE);
        let default = timeout.min(Duration::from_secs(1));
        let connect_timeout = self.read_duration(raw.connect_timeout.as_ref(), default, least, MINUTE);
        if let Some(given) = raw.connect_timeout.as_ref().filter(|_| connect_timeout > timeout) {
            self.add_error(offset(given), "connect_timeout is longer than timeout, of which it is a part");
        }
        let max_body = raw.max_response_bytes.as_ref().and_then(|text| {
            self.ok_or_add_error(offset(text), value::parse_bytes(text.get_ref(), 1 << 10, 1 << 24))
        });
        CallLimits { connect_timeout, timeout, body_size_max: max_body.unwrap_or(64 << 10) }
    }

    fn read_answer_lifetime(&mut self, raw: &RawHttpTable) -> AnswerLifetime {
        let fresh =
            self.read_duration(raw.cache_ttl.as_ref(), 5 * MINUTE, Duration::ZERO, ANSWER_LIFETIME_MAX);
        let stale = self.read_duration(
            raw.stale_if_unavailable.as_ref(),
            Duration::ZERO,
            Duration::ZERO,
            ANSWER_LIFETIME_MAX,
        );
        if let Some(given) = raw.stale_if_unavailable.as_ref().filter(|_| !stale.is_zero() && stale <= fresh)
        {
            self.add_error(
                offset(given),
                "it counts from when the answer was given, so it has to be longer than trusted_for",
            );
        }
        AnswerLifetime { cache_ttl: Some(fresh), stale_ttl: Some(stale) }
    }

    fn read_count(
        &mut self,
        key: &str,
        given: Option<&Spanned<usize>>,
        default: usize,
        high: usize,
    ) -> usize {
        let Some(given) = given else { return default };
        if !(1..=high).contains(given.get_ref()) {
            self.add_error(
                offset(given),
                format!("{key}: {} is not a whole number from 1 to {high}", given.get_ref()),
            );
        }
        *given.get_ref()
    }

    fn read_queue_limits(&mut self, raw: &RawHttpTable) -> (usize, QueueLimits) {
        let queue = self.read_count("queue", raw.queue_limit.as_ref(), 512, 100_000);
        let network_share =
            self.read_count("network_share", raw.per_network_limit.as_ref(), queue.min(256), queue);
        let user_share =
            self.read_count("user_share", raw.per_user_limit.as_ref(), network_share.min(4), network_share);
        let connections = self.read_count("connections", raw.max_connections.as_ref(), 16, 1024);
        (connections, QueueLimits { total: queue, network_share, user_share })
    }

    fn read_tls_files(&mut self, raw: &RawHttpTable) -> TlsFiles {
        let path = |text: &Spanned<String>| value::parse_path(text.get_ref());
        let client_cert = match (&raw.client_cert_file, &raw.client_key_file) {
            (Some(certificate), Some(key)) => self
                .ok_or_add_error(offset(certificate), path(certificate))
                .zip(self.ok_or_add_error(offset(key), path(key))),
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                self.add_error(offset(one), "client_cert_file and client_key_file go together");
                None
            }
        };
        let ca_file: Option<PathBuf> =
            raw.ca_file.as_ref().and_then(|text| self.ok_or_add_error(offset(text), path(text)));
        TlsFiles { ca_file, client_cert }
    }
}

/// The template of a JSON body.
fn parse_json_template(value: &toml::Value) -> Result<JsonTemplate, String> {
    Ok(match value {
        toml::Value::String(text) => JsonTemplate::Text(Template::parse(text, EncodingContext::Body)?),
        toml::Value::Integer(number) => JsonTemplate::Fixed((*number).into()),
        toml::Value::Float(number) => JsonTemplate::Fixed((*number).into()),
        toml::Value::Boolean(switch) => JsonTemplate::Fixed((*switch).into()),
        toml::Value::Datetime(_) => return Err("JSON has no dates; write it in quotes".into()),
        toml::Value::Array(items) => {
            JsonTemplate::Array(items.iter().map(parse_json_template).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(fields) => {
            let field = |(name, value): (&String, &toml::Value)| {
                Ok::<_, String>((name.clone(), parse_json_template(value)?))
            };
            JsonTemplate::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}
