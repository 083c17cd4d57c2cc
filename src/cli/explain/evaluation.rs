//! Evaluation of a request that `doorward explain` or `doorward check --expect` describes. The request is converted to
//! the headers that nginx sends, and then parsed and decided by the code of `/auth`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::table::ConfigValues;
use crate::http::subrequest::NginxHeaders;
use crate::identity::{Username, check_group_name};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::permissions::host::normalize_host;
use crate::policy::Policy;
use crate::policy::denial::Denied;
use crate::policy::explain::Explanation;
use crate::policy::reload::{FILE_BYTES_MAX, GroupSource, PolicyFileKind};
use crate::policy::rule::Subject;
use crate::reload::SourceFile;
use crate::request::subrequest::Subrequest;

/// The user name that stands for an anonymous client.
pub(in crate::cli) const ANONYMOUS: &str = "-";

/// Loads the policy and the groups of the settings. Returns all errors of both files.
///
/// `has_other_groups` states that groups can come from a source that is not in the settings.
pub(in crate::cli) fn load_policy(
    config: &ConfigValues,
    has_other_groups: bool,
) -> Result<Policy, Vec<String>> {
    let policy = Policy::default();
    let group_source = match config.group_source() {
        GroupSource::Absent if has_other_groups => GroupSource::Present,
        source => source,
    };
    let mut errors = Vec::new();
    for (kind, path) in
        [(PolicyFileKind::Rules, &config.policy.file), (PolicyFileKind::Groups, &config.groups.file)]
    {
        let Some(path) = path else { continue };
        let source = SourceFile { path: path.clone(), max_bytes: FILE_BYTES_MAX };
        let text = source.read().map_err(|error| vec![error.to_string()]);
        match text.and_then(|text| kind.parse(&source.display_path(), &text, group_source)) {
            Ok(content) => policy.replace(content),
            Err(file_errors) => errors.extend(file_errors),
        }
    }
    if errors.is_empty() { Ok(policy) } else { Err(errors) }
}

/// The client that sends the request, as given on the command line or in a file of expectations.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ExplainSubject {
    /// The user name, or [`ANONYMOUS`].
    pub(in crate::cli) user: String,
    /// Groups that an auth backend would return.
    pub(in crate::cli) groups: Vec<String>,
    pub(in crate::cli) client_address: Option<IpAddr>,
    /// The scope of the API key that the client presents.
    pub(in crate::cli) api_key_scope: Option<Arc<ApiKeyScope>>,
}

impl ExplainSubject {
    /// Checks that the user name and the groups are valid.
    pub(in crate::cli) fn validate(&self) -> Result<(), String> {
        self.groups.iter().try_for_each(|group| check_group_name(group.as_bytes()))?;
        if self.user == ANONYMOUS {
            let error = "an anonymous client has no groups".to_owned();
            return if self.groups.is_empty() { Ok(()) } else { Err(error) };
        }
        // The error does not contain the name, which can be any word of an invalid line.
        Username::check(self.user.as_bytes()).map_err(|error| error.to_string())
    }
}

/// Returns the `X-Auth-Rewrite` header of the shipped nginx configuration: `yes` for a registry, none for a site. If
/// the policy does not state which hosts are registries, the path decides.
pub(in crate::cli) fn default_rewrite_header(policy: &Policy, host: &str, uri: &str) -> Option<&'static str> {
    let host = normalize_host(host).unwrap_or_default();
    let is_registry_path = uri.starts_with("/v2/");
    let is_registry =
        policy.rules().map_or(is_registry_path, |rules| rules.is_registry(&host, is_registry_path));
    is_registry.then_some("yes")
}

/// A request as the client sends it to nginx.
pub(in crate::cli) struct ExplainRequest<'q> {
    pub(in crate::cli) method: &'q str,
    pub(in crate::cli) uri: &'q str,
    pub(in crate::cli) host: &'q str,
    pub(in crate::cli) content_type: &'q str,
    /// The `X-Auth-Rewrite` header, which nginx adds.
    pub(in crate::cli) rewrite_header: Option<&'q str>,
}

impl ExplainRequest<'_> {
    /// Returns the headers of the subrequest that nginx sends for this request.
    fn subrequest_headers(&self, client_address: Option<IpAddr>) -> Vec<(&'static str, String)> {
        // Equal to the maps of doorward-maps.conf.
        let replace_control =
            |text: &str| if text.contains(|c: char| c.is_ascii_control()) { "?" } else { text }.to_owned();
        let mut headers = vec![
            ("x-original-method", self.method.to_owned()),
            ("x-original-uri", replace_control(self.uri)),
            ("x-original-host", self.host.to_owned()),
            ("x-original-content-type", format!("ct:{}", replace_control(self.content_type))),
        ];
        headers.extend(self.rewrite_header.map(|value| ("x-auth-rewrite", value.to_owned())));
        headers.extend(client_address.map(|address| ("x-real-ip", address.to_string())));
        headers
    }
}

/// Evaluates the subrequest that nginx would send, and passes the result and the parsed subrequest to `convert`.
pub(in crate::cli) fn explain<T>(
    policy: &Policy,
    subject: &ExplainSubject,
    request: &ExplainRequest<'_>,
    convert: impl FnOnce(Result<Explanation, Denied>, Option<&Subrequest<'_>>) -> T,
) -> T {
    let headers = request.subrequest_headers(subject.client_address);
    let pairs = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    match NginxHeaders::parse(pairs, usize::MAX).into_subrequest() {
        Ok(subrequest) => {
            let explained =
                with_policy_subject(policy, subject, |subject| policy.explain(subject, &subrequest));
            convert(explained, Some(&subrequest))
        }
        Err(error) => convert(Err(Denied::InvalidProxyHeaders(error)), None),
    }
}

/// Returns true if a rule that matches the user depends on the client address.
pub(in crate::cli) fn depends_on_client_address(policy: &Policy, subject: &ExplainSubject) -> bool {
    with_policy_subject(policy, subject, |subject| {
        policy.rules().is_some_and(|rules| rules.has_network_rule_for(subject))
    })
}

fn with_policy_subject<T>(
    policy: &Policy,
    subject: &ExplainSubject,
    evaluate: impl FnOnce(&Subject<'_>) -> T,
) -> T {
    let user = (subject.user != ANONYMOUS).then_some(subject.user.as_bytes());
    let memberships = policy.groups();
    let groups: Vec<&[u8]> = match user {
        Some(user) => {
            let from_file = memberships.of_user(user).groups().iter().map(|group| &**group);
            from_file.chain(subject.groups.iter().map(String::as_bytes)).collect()
        }
        None => Vec::new(),
    };
    evaluate(&Subject {
        user,
        groups: &groups,
        client_address: subject.client_address,
        api_key_scope: subject.api_key_scope.as_deref(),
    })
}
