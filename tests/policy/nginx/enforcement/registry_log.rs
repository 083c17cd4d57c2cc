//! Actions of the registry, read from its log: the repository of each request, and the repositories whose files were
//! read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::setup::AGENT;

/// The folder of all repositories. The name is followed by `/_layers` or a similar folder, and no segment of a name
/// begins with an underscore.
const FILES: &str = "/docker/registry/v2/repositories/";

/// The action of the registry for one request.
#[derive(Debug, Default)]
pub(super) struct RegistryAction {
    pub(super) method: String,
    /// The URI of the request that nginx forwarded.
    uri: String,
    /// The status of the response.
    pub(super) status: Option<u16>,
    /// The repositories named in the route.
    pub(super) on: BTreeSet<String>,
    /// The repositories whose files were read, if the log contains them.
    pub(super) touched: BTreeSet<String>,
}

impl RegistryAction {
    /// Returns the mount sources of the request.
    pub(super) fn sources(&self) -> impl Iterator<Item = String> {
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        pairs.filter(|(key, _)| key == "from").map(|(_, value)| value).collect::<Vec<_>>().into_iter()
    }
}

/// Returns the actions by the number of the request.
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
