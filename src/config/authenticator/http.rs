//! Reads a table of type `http`: the request that is sent, and the meaning of the response.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use toml::Spanned;
use toml::de::DeTable;

use super::http_table::HttpTable;
use super::remote::{SHARED_KEYS, TIMEOUT_MAX, TIMEOUT_MIN};
use super::value_reader::ValueReader;
use crate::authn::http::HttpSpec;
use crate::authn::http::call::CallLimits;
use crate::authn::http::client::TlsFiles;
use crate::authn::http::json_template::JsonTemplate;
use crate::authn::http::request_template::{BodyTemplate, RequestTemplate, UrlTemplate};
use crate::authn::http::response::{ExpectedValue, JsonCondition, ResponseRules};
use crate::authn::http::template::{EncodingContext, Template};
use crate::authn::remote::kind::RemoteKind;
use crate::config::array_of_tables::{TableErrors, deserialize_part, offset};
use crate::config::value;

/// Reads the keys of a table of type `http`.
pub(super) struct HttpTableReader<'r> {
    pub(super) values: ValueReader<'r>,
}

/// Reads the keys that only a table of type `http` has. `timeout` is the time limit of a call. Returns `None` if there
/// is an error that leaves no usable value.
pub(super) fn read_table(
    fields: DeTable<'_>,
    place: usize,
    timeout: Duration,
    errors: &mut TableErrors,
) -> Option<RemoteKind> {
    let table: HttpTable = deserialize_part(fields, &SHARED_KEYS, place, errors)?;
    let mut reader = HttpTableReader { values: ValueReader::new(errors) };
    let response_rules = reader.read_response_rules(&table);
    let request = reader.read_request_template(&table, &response_rules);
    let call_limits = reader.read_call_limits(&table, timeout);
    let tls = reader.read_tls_files(&table);
    Some(RemoteKind::Http(Box::new(HttpSpec { request: request?, response_rules, call_limits, tls })))
}

impl HttpTableReader<'_> {
    fn read_request_template(&mut self, table: &HttpTable, rules: &ResponseRules) -> Option<RequestTemplate> {
        let is_json_expected = rules.is_json_required();
        let is_username = |condition: &JsonCondition| matches!(condition.expected, ExpectedValue::Username);
        let is_name_in_response =
            rules.username_pointer.is_some() || rules.conditions.iter().any(is_username);
        let before = self.values.error_count();
        let place = offset(&table.url);
        let url = self.values.ok_or_add_error(place, UrlTemplate::parse(table.url.get_ref()));
        let body = match (&table.json, &table.form) {
            (Some(json), Some(_)) => {
                self.values.add_error(
                    offset(json),
                    "both json and form are set; a request has one body, so remove one",
                );
                BodyTemplate::None
            }
            (Some(json), None) => self
                .values
                .ok_or_add_error(offset(json), parse_json_template(json.get_ref()))
                .map_or(BodyTemplate::None, BodyTemplate::Json),
            (None, Some(form)) => BodyTemplate::Form(self.read_form(form.get_ref())),
            (None, None) => BodyTemplate::None,
        };
        let headers = self.read_headers(table);
        let method = self.read_method(table, !matches!(body, BodyTemplate::None), is_json_expected);
        let contains = |is: fn(&Template) -> bool| {
            headers.iter().any(|(_, template)| is(template)) || body.has_template(is)
        };
        let has_password = contains(Template::has_password);
        let has_username =
            contains(Template::has_username) || url.as_ref().is_some_and(UrlTemplate::has_username);
        if !has_password && self.values.error_count() == before {
            self.values.add_error(
                place,
                "the request contains neither {password} nor {basic}, so every password would be accepted; add one of them",
            );
        }
        if !has_username && !is_name_in_response && self.values.error_count() == before {
            self.values.add_error(place, "the user name is neither sent nor compared with the response, so a user could log in under any name; send {username}, or set username_pointer or accepted_if = { \"/email\" = \"{username}\" }");
        }
        Some(RequestTemplate { method, url: url?, headers: headers.into(), body, is_json_expected })
    }

    fn read_method(&mut self, table: &HttpTable, has_body: bool, is_json_expected: bool) -> Method {
        let Some(text) = &table.method else { return if has_body { Method::POST } else { Method::GET } };
        let method = match &**text.get_ref() {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => {
                self.values.add_error(offset(text), "unknown method; use GET, HEAD, POST or PUT");
                return Method::POST;
            }
        };
        if has_body && matches!(method, Method::GET | Method::HEAD) {
            self.values.add_error(offset(text), "a request with a body needs the method POST or PUT");
        }
        if is_json_expected && method == Method::HEAD {
            self.values.add_error(
                offset(text),
                "the response to HEAD has no body to read values from; use another method",
            );
        }
        method
    }

    pub(super) fn read_header_name(&mut self, name: &Spanned<String>) -> Option<HeaderName> {
        let parsed = HeaderName::from_bytes(name.get_ref().as_bytes());
        let header = self
            .values
            .ok_or_add_error(offset(name), parsed.map_err(|_| "invalid header name".to_owned()))?;
        if [HOST, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING].contains(&header) {
            self.values
                .add_error(offset(name), format!("{header} is set from the URL and the body; remove it"));
        }
        Some(header)
    }

    fn read_headers(&mut self, table: &HttpTable) -> Vec<(HeaderName, Template)> {
        let mut headers = Vec::new();
        for (name, text) in &table.headers {
            let template = self
                .values
                .ok_or_add_error(offset(text), Template::parse(text.get_ref(), EncodingContext::Header));
            if let (Some(name), Some(template)) = (self.read_header_name(name), template) {
                headers.push((name, template));
            }
        }
        headers
    }

    fn read_form(&mut self, fields: &BTreeMap<String, Spanned<String>>) -> Box<[(String, Template)]> {
        let field = |(name, text): (&String, &Spanned<String>)| {
            let template = self
                .values
                .ok_or_add_error(offset(text), Template::parse(text.get_ref(), EncodingContext::Body))?;
            Some((name.clone(), template))
        };
        fields.iter().filter_map(field).collect()
    }

    fn read_call_limits(&mut self, table: &HttpTable, timeout: Duration) -> CallLimits {
        let default = timeout.min(Duration::from_secs(1));
        let connect_timeout =
            self.values.read_duration(table.connect_timeout.as_ref(), default, TIMEOUT_MIN, TIMEOUT_MAX);
        if let Some(text) = table.connect_timeout.as_ref().filter(|_| connect_timeout > timeout) {
            self.values
                .add_error(offset(text), "connect_timeout is longer than timeout; set it to at most timeout");
        }
        let body_size_max = table.max_response_bytes.as_ref().and_then(|text| {
            self.values.ok_or_add_error(offset(text), value::parse_bytes(text.get_ref(), 1 << 10, 1 << 24))
        });
        CallLimits { connect_timeout, body_size_max: body_size_max.unwrap_or(64 << 10) }
    }

    fn read_tls_files(&mut self, table: &HttpTable) -> TlsFiles {
        let path = |text: &Spanned<String>| value::parse_path(text.get_ref());
        let client_cert = match (&table.client_cert_file, &table.client_key_file) {
            (Some(certificate), Some(key)) => self
                .values
                .ok_or_add_error(offset(certificate), path(certificate))
                .zip(self.values.ok_or_add_error(offset(key), path(key))),
            (None, None) => None,
            (Some(path), None) | (None, Some(path)) => {
                self.values
                    .add_error(offset(path), "client_cert_file and client_key_file must be set together");
                None
            }
        };
        let ca_file: Option<PathBuf> =
            table.ca_file.as_ref().and_then(|text| self.values.ok_or_add_error(offset(text), path(text)));
        TlsFiles { ca_file, client_cert }
    }
}

/// Returns the template of a JSON body.
fn parse_json_template(value: &toml::Value) -> Result<JsonTemplate, String> {
    Ok(match value {
        toml::Value::String(text) => JsonTemplate::Text(Template::parse(text, EncodingContext::Body)?),
        toml::Value::Integer(number) => JsonTemplate::Fixed((*number).into()),
        toml::Value::Float(number) => JsonTemplate::Fixed((*number).into()),
        toml::Value::Boolean(switch) => JsonTemplate::Fixed((*switch).into()),
        toml::Value::Datetime(_) => return Err("JSON has no dates; write the value in quotes".into()),
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
