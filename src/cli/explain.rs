//! `doorward explain USER METHOD URI`: what `/auth` would say, and the rule that makes it say so.

mod report;

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

pub(super) use self::report::ExplainReport;
use super::{print_error, print_json, print_line};
use crate::authn::htpasswd::{self, Htpasswd};
use crate::config::Config;
use crate::config::authenticator::{AuthenticatorConfig, AuthenticatorType};
use crate::config::table::ConfigValues;
use crate::http::subrequest::NginxHeaders;
use crate::identity::{Username, check_group_name, sanitize_for_display};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::policy::Policy;
use crate::policy::denial::Denied;
use crate::policy::explain::Explanation;
use crate::policy::reload::{FILE_BYTES_MAX, GroupSource, PolicyFileKind};
use crate::policy::rule::Subject;
use crate::reload::SourceFile;
use crate::request::site;
use crate::request::subrequest::Subrequest;

/// How nobody is written.
pub(super) const ANONYMOUS: &str = "-";

/// The subcommand; `with_settings` adds what names the files.
pub(super) fn command(with_settings: impl Fn(Command) -> Command) -> Command {
    let needed = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).value_name(value).required(true).help(help)
    };
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    with_settings(
        Command::new("explain").about(
            "Say what a user may do, and which rule says so: exit 0 if /auth would allow it, 1 if not, also for a user who can't log in",
        ),
    )
    .args([
        needed("user", "USER", "the user name; - for nobody"),
        needed("method", "METHOD", "the request's method"),
        needed("uri", "URI", "the request's path, and its query if it has one"),
        option("host", "HOST", "the host that is asked").default_value("localhost"),
        option("from", "IP", "the client's address").value_parser(value_parser!(IpAddr)),
        option("group", "NAME", "a group that a service would name, besides those of the group file")
            .action(ArgAction::Append),
        option("api-key", "KEY", "the id or the name of the key of his that is used"),
        option("content-type", "TYPE", "the request's Content-Type").default_value(""),
        option(
            "auth-rewrite",
            "VALUE",
            "what the proxy sends as X-Auth-Rewrite: yes or no, - for nothing; by default as our snippets do",
        ),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("write JSON"),
    ])
}

/// The policy of the settings, read once; every fault is told. `named`: whether somebody else than the
/// settings says who is in a group.
pub(super) fn load_policy(settings: &ConfigValues, named: bool) -> Result<Policy, Vec<String>> {
    let policy = Policy::default();
    let known = match settings.group_source() {
        GroupSource::Absent if named => GroupSource::Present,
        known => known,
    };
    let mut faults = Vec::new();
    for (file, path) in
        [(PolicyFileKind::Rules, &settings.policy.file), (PolicyFileKind::Groups, &settings.groups.file)]
    {
        let Some(path) = path else { continue };
        let source = SourceFile { path: path.clone(), max_bytes: FILE_BYTES_MAX };
        let read = source.read().map_err(|fault| vec![fault.to_string()]);
        match read.and_then(|text| file.parse(&source.display_path(), &text, known)) {
            Ok(content) => policy.replace(content),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(policy) } else { Err(faults) }
}

/// Who asks, as it is written on a command line or in a file of expectations.
#[derive(Clone, Debug)]
pub(super) struct ExplainSubject {
    /// [`NOBODY`] for nobody.
    pub(super) user: String,
    /// Groups that a service would name.
    pub(super) groups: Vec<String>,
    pub(super) client_address: Option<IpAddr>,
    /// Of the key that is used.
    pub(super) api_key_scope: Option<Arc<ApiKeyScope>>,
}

impl ExplainSubject {
    /// That it is nobody, or somebody whom a client could name.
    pub(super) fn validate(&self) -> Result<(), String> {
        self.groups.iter().try_for_each(|group| check_group_name(group.as_bytes()))?;
        if self.user == ANONYMOUS {
            return if self.groups.is_empty() { Ok(()) } else { Err("nobody is in no group".into()) };
        }
        // The name is not quoted: it can be a word of a line that was not understood.
        Username::check(self.user.as_bytes()).map_err(|fault| fault.to_string())
    }
}

/// What our nginx configuration sends as `X-Auth-Rewrite`: `yes` for a registry, nothing for a site. Where the policy
/// does not tell which of them a host is, the path does.
pub(super) fn default_rewrite_header(policy: &Policy, host: &str, uri: &str) -> Option<&'static str> {
    let host = site::normalize_host(host).unwrap_or_default();
    let said = uri.starts_with("/v2/");
    policy.rules().map_or(said, |rules| rules.is_registry(&host, said)).then_some("yes")
}

/// A request, as a client sends it to nginx.
pub(super) struct ExplainRequest<'q> {
    pub(super) method: &'q str,
    pub(super) uri: &'q str,
    pub(super) host: &'q str,
    pub(super) content_type: &'q str,
    /// What nginx adds as `X-Auth-Rewrite`.
    pub(super) rewrite_header: Option<&'q str>,
}

impl ExplainRequest<'_> {
    /// The headers that nginx sends of it, for a client at this address.
    fn subrequest_headers(&self, from: Option<IpAddr>) -> Vec<(&'static str, String)> {
        // As the maps of doorward-maps.conf have it.
        let plain =
            |text: &str| if text.contains(|c: char| c.is_ascii_control()) { "?" } else { text }.to_owned();
        let mut headers = vec![
            ("x-original-method", self.method.to_owned()),
            ("x-original-uri", plain(self.uri)),
            ("x-original-host", self.host.to_owned()),
            ("x-original-content-type", format!("ct:{}", plain(self.content_type))),
        ];
        headers.extend(self.rewrite_header.map(|value| ("x-auth-rewrite", value.to_owned())));
        headers.extend(from.map(|address| ("x-real-ip", address.to_string())));
        headers
    }
}

/// Has the subrequest evaluated that nginx would send: read by the code of `/auth`, and judged by it.
pub(super) fn explain<T>(
    policy: &Policy,
    asker: &ExplainSubject,
    question: &ExplainRequest<'_>,
    with: impl FnOnce(Result<Explanation, Denied>, Option<&Subrequest<'_>>) -> T,
) -> T {
    let headers = question.subrequest_headers(asker.client_address);
    let pairs = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    match NginxHeaders::parse(pairs, usize::MAX).into_subrequest() {
        Ok(request) => {
            let explained = with_subject(policy, asker, |subject| policy.explain(subject, &request));
            with(explained, Some(&request))
        }
        Err(fault) => with(Err(Denied::InvalidProxyHeaders(fault)), None),
    }
}

/// Whether a rule about him asks where he is.
pub(super) fn depends_on_client_address(policy: &Policy, asker: &ExplainSubject) -> bool {
    with_subject(policy, asker, |subject| {
        policy.rules().is_some_and(|rules| rules.has_network_rule_for(subject))
    })
}

fn with_subject<T>(policy: &Policy, asker: &ExplainSubject, with: impl FnOnce(&Subject<'_>) -> T) -> T {
    let user = (asker.user != ANONYMOUS).then_some(asker.user.as_bytes());
    let groups = policy.groups();
    let of: Vec<&[u8]> = match user {
        Some(user) => {
            let of_file = groups.of_user(user).groups().iter().map(|group| &**group);
            of_file.chain(asker.groups.iter().map(String::as_bytes)).collect()
        }
        None => Vec::new(),
    };
    with(&Subject {
        user,
        groups: &of,
        client_address: asker.client_address,
        api_key_scope: asker.api_key_scope.as_deref(),
    })
}

/// Explains, and exits with 0 if the request is allowed.
pub(super) fn run(settings: &Config, matches: &ArgMatches) -> ExitCode {
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let policy = match load_policy(settings, matches.contains_id("group")) {
        Ok(policy) => policy,
        Err(faults) => {
            faults.iter().for_each(|fault| print_error(fault));
            return ExitCode::FAILURE;
        }
    };
    let asker = ExplainSubject {
        user: text("user").to_owned(),
        groups: matches.get_many::<String>("group").unwrap_or_default().cloned().collect(),
        client_address: matches.get_one::<IpAddr>("from").copied(),
        api_key_scope: None,
    };
    let key = matches
        .get_one::<String>("api-key")
        .map(|key| crate::cli::api_key::find_scope(settings, &asker.user, key));
    let (scope, no_key) = match key {
        None => (None, None),
        Some(Ok(scope)) => (scope, None),
        Some(Err(fault)) => (None, Some(fault)),
    };
    let asker = ExplainSubject { api_key_scope: scope, ..asker };
    if let Err(fault) = asker.validate() {
        print_error(&fault);
        return ExitCode::FAILURE;
    }
    let (uri, host) = (text("uri"), text("host"));
    let rewrite = match text("auth-rewrite") {
        "" => default_rewrite_header(&policy, host, uri),
        "-" => None,
        value => Some(value),
    };
    let question = ExplainRequest {
        method: text("method"),
        uri,
        host,
        content_type: text("content-type"),
        rewrite_header: rewrite,
    };
    let mut told = explain(&policy, &asker, &question, |explained, request| {
        let mut told = ExplainReport::from_explanation(
            &explained,
            policy.rules().is_some(),
            &asker,
            settings.policy.file.as_deref(),
        );
        let original =
            request.filter(|_| told.verdict == "allow").and_then(|one| one.original_request().ok());
        let onward = original.and_then(|one| {
            crate::cli::check_upstreams::explain_upstream(settings, one, asker.user != ANONYMOUS)
        });
        if let Some(onward) = onward {
            told.verdict = onward.verdict.unwrap_or(told.verdict);
            told.upstream = Some(onward.explanation);
            told.upstream_uri = onward.uri.or(told.upstream_uri);
        }
        told
    });
    if let Some(why) = login_error(settings, &asker) {
        // The rules are told all the same, since users are often added after them.
        told.note = Some(format!("for a user who can log in: {}: {}", told.verdict, told.explanation));
        (told.verdict, told.explanation, told.upstream) = ("challenge", why, None);
    }
    if let Some(fault) = no_key {
        (told.verdict, told.explanation, told.note) = ("challenge", fault, None);
        told.upstream = None;
        told.deciding_rules.clear();
    }
    if !matches.get_flag("json") {
        told.to_lines().iter().for_each(|line| print_line(line));
    } else if let Err(error) = print_json(&told) {
        print_error(&error);
    }
    if told.verdict == "allow" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why the htpasswd file, if no other authenticator is asked, does not let the user log in, whatever the policy says.
fn login_error(settings: &Config, asker: &ExplainSubject) -> Option<String> {
    let alone = |one: &AuthenticatorConfig| {
        matches!(one.kind, AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys)
    };
    if asker.user == ANONYMOUS || !settings.authenticators.iter().all(alone) {
        return None;
    }
    let path = settings.htpasswd.file.clone()?;
    let source = SourceFile { path, max_bytes: settings.htpasswd.max_bytes };
    let name = source.display_path();
    let rules = htpasswd::file::HtpasswdParseOptions {
        allowed_formats: settings.htpasswd.allowed_formats(),
        ..Default::default()
    };
    let text = match source.read() {
        Ok(text) => text,
        Err(fault) => return Some(fault.to_string()),
    };
    let users = match htpasswd::validate::parse_and_validate(&source, text, &rules) {
        Ok(parsed) => Htpasswd::new(parsed.users),
        Err(fault) => return Some(fault.to_string()),
    };
    let found = users.look_up(asker.user.as_bytes());
    let user = sanitize_for_display(asker.user.as_bytes());
    match (found.line_number(), found.line_error()) {
        (Some(line), Some(fault)) => Some(format!("{name}:{line}: {user} can't log in: {fault}")),
        (Some(_), None) => None,
        (None, _) => Some(format!("{user} has no line in {name}, so nobody can log in with this name")),
    }
}
