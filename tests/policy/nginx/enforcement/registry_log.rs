//! What the registry's log tells of each request: which repository it was about, and which
//! repositories' files the registry looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::setup::AGENT;

/// Where the registry keeps a repository's files; behind the name comes `/_layers` or the like, and no
/// segment of a name begins with an underscore.
const FILES: &str = "/docker/registry/v2/repositories/";

/// What it did for one request.
#[derive(Debug, Default)]
pub(super) struct RegistryAction {
    pub(super) method: String,
    /// What it was asked, after nginx.
    uri: String,
    /// Its answer's.
    pub(super) status: Option<u16>,
    /// The repositories by the route that it took.
    pub(super) on: BTreeSet<String>,
    /// Those whose files it looked at, where the log says so.
    pub(super) touched: BTreeSet<String>,
}

impl RegistryAction {
    /// What it was asked to mount from.
    pub(super) fn sources(&self) -> impl Iterator<Item = String> {
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        pairs.filter(|(key, _)| key == "from").map(|(_, value)| value).collect::<Vec<_>>().into_iter()
    }
}

/// By the number of the request.
pub(super) fn actions_of(log: &str) -> BTreeMap<usize, RegistryAction> {
    let mut actions_of = BTreeMap::<usize, RegistryAction>::new();
    for line in log.lines().filter(|line| line.contains(AGENT)) {
        let fields: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let agent = text("http.request.useragent");
        let Some(Ok(number)) = agent.strip_prefix(AGENT).map(str::parse) else { continue };
        let action = actions_of.entry(number).or_default();
        (action.method, action.uri) = (text("http.request.method"), text("http.request.uri"));
        action.on.extend(Some(text("vars.name")).filter(|name| !name.is_empty()));
        let status = fields.get("http.response.status").and_then(Value::as_u64);
        action.status = status.and_then(|status| u16::try_from(status).ok()).or(action.status);
        for behind in text("msg").split(FILES).skip(1) {
            let name = behind.split(['"', ')']).next().unwrap_or_default();
            action.touched.insert(name.split("/_").next().unwrap_or_default().to_owned());
        }
    }
    actions_of
}
