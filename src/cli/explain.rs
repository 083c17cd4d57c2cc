//! `doorward explain USER METHOD URI`: what `/auth` would say, and the rule that makes it say so.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Serialize;

use super::{complain, say, say_json};
use crate::authn::htpasswd::{self, Htpasswd};
use crate::gate::policy::Policy;
use crate::gate::policy::explain::Explanation;
use crate::gate::policy::reload::{FILE_MAX, File, GroupsKnown};
use crate::gate::policy::rule::Subject;
use crate::gate::policy::rules::{Asking, Judgement, Rules};
use crate::gate::policy::site;
use crate::identity::{Username, check_group, shown};
use crate::rights::scope::Scope;
use crate::settings::Settings;
use crate::settings::authenticator::{Authenticator, Kind};
use crate::watch::Source;

/// How nobody is written.
pub(super) const NOBODY: &str = "-";

/// The subcommand; `with_settings` adds what names the files.
pub(super) fn command(with_settings: impl Fn(Command) -> Command) -> Command {
    let needed = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).value_name(value).required(true).help(help)
    };
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    with_settings(
        Command::new("explain").about("Say what a user may do, and which rule says so: exit 0 if allowed"),
    )
    .args([
        needed("user", "USER", "the user name; - for nobody"),
        needed("method", "METHOD", "the request's method"),
        needed("uri", "URI", "the request's path, and its query if it has one"),
        option("host", "HOST", "the host that is asked").default_value("localhost"),
        option("from", "IP", "the client's address").value_parser(value_parser!(IpAddr)),
        option("group", "NAME", "a group that a service would name, besides those of the group file")
            .action(ArgAction::Append),
        option("key", "KEY", "the id or the name of the key of his that is used"),
        option("content-type", "TYPE", "the request's Content-Type").default_value(""),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("write JSON"),
    ])
}

/// The policy of the settings, read once; every fault is told. `named`: whether somebody else than the
/// settings says who is in a group.
pub(super) fn policy(settings: &Settings, named: bool) -> Result<Policy, Vec<String>> {
    let policy = Policy::default();
    let known = match settings.groups_known() {
        GroupsKnown::No if named => GroupsKnown::Yes,
        known => known,
    };
    let mut faults = Vec::new();
    for (file, path) in [(File::Rules, &settings.policy), (File::Groups, &settings.groups)] {
        let Some(path) = path else { continue };
        let source = Source { path: path.clone(), max_bytes: FILE_MAX };
        let read = source.read().map_err(|fault| vec![fault.to_string()]);
        match read.and_then(|text| file.parse(&source.name(), &text, known)) {
            Ok(content) => policy.replace(content),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(policy) } else { Err(faults) }
}

/// Who asks, as it is written on a command line or in a file of expectations.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// [`NOBODY`] for nobody.
    pub(super) user: String,
    /// Groups that a service would name.
    pub(super) groups: Vec<String>,
    pub(super) from: Option<IpAddr>,
    /// Of the key that is used.
    pub(super) scope: Option<Arc<Scope>>,
}

impl Asker {
    /// That it is nobody, or somebody whom a client could name.
    pub(super) fn check(&self) -> Result<(), String> {
        self.groups.iter().try_for_each(|group| check_group(group.as_bytes()))?;
        if self.user == NOBODY {
            return if self.groups.is_empty() { Ok(()) } else { Err("nobody is in no group".into()) };
        }
        Username::check(self.user.as_bytes())
            .map_err(|fault| format!("{}: {fault}", shown(self.user.as_bytes())))
    }
}

/// What nginx would say: a registry's configuration rewrites, a site's does not. Where the policy does not
/// tell which of them a host is, the path does.
pub(super) fn rewrites(policy: &Policy, host: &str, uri: &str) -> bool {
    let host = site::host(host).unwrap_or_default();
    let said = uri.starts_with("/v2/");
    policy.rules().map_or(said, |rules| rules.is_registry(&host, said))
}

/// What the policy says of a request; `None` where there are no rules.
pub(super) fn explain(policy: &Policy, asker: &Asker, asking: &Asking<'_>) -> Option<Explanation> {
    let open = || asker.scope.as_ref().map(|_| Arc::new(Rules::open()));
    let rules = policy.rules().or_else(open)?;
    with_subject(policy, asker, |subject| Some(rules.explain(subject, asking)))
}

/// Whether a rule about him asks where he is.
pub(super) fn asks_where(policy: &Policy, asker: &Asker) -> bool {
    with_subject(policy, asker, |subject| policy.rules().is_some_and(|rules| rules.asks_where(subject)))
}

fn with_subject<T>(policy: &Policy, asker: &Asker, with: impl FnOnce(&Subject<'_>) -> T) -> T {
    let user = (asker.user != NOBODY).then_some(asker.user.as_bytes());
    let groups = policy.groups();
    let of: Vec<&[u8]> = match user {
        Some(user) => {
            let of_file = groups.of(user).groups().iter().map(|group| &**group);
            of_file.chain(asker.groups.iter().map(String::as_bytes)).collect()
        }
        None => Vec::new(),
    };
    with(&Subject { user, groups: &of, client: asker.from, scope: asker.scope.as_deref() })
}

/// Explains, and exits with 0 if the request is allowed.
pub(super) fn run(settings: &Settings, matches: &ArgMatches) -> ExitCode {
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let policy = match policy(settings, matches.contains_id("group")) {
        Ok(policy) => policy,
        Err(faults) => {
            faults.iter().for_each(|fault| complain(fault));
            return ExitCode::FAILURE;
        }
    };
    let asker = Asker {
        user: text("user").to_owned(),
        groups: matches.get_many::<String>("group").unwrap_or_default().cloned().collect(),
        from: matches.get_one::<IpAddr>("from").copied(),
        scope: None,
    };
    let key = matches.get_one::<String>("key").map(|key| super::key::scope(settings, &asker.user, key));
    let (scope, no_key) = match key {
        None => (None, None),
        Some(Ok(scope)) => (scope, None),
        Some(Err(fault)) => (None, Some(fault)),
    };
    let asker = Asker { scope, ..asker };
    if let Err(fault) = asker.check() {
        complain(&fault);
        return ExitCode::FAILURE;
    }
    let (uri, host) = (text("uri"), text("host"));
    let rewrites = rewrites(&policy, host, uri);
    let asking = Asking { method: text("method"), uri, host, content_type: text("content-type"), rewrites };
    let explanation = explain(&policy, &asker, &asking);
    let mut told = Told::of(explanation.as_ref(), &asker, settings.policy.as_deref());
    told.note = note(settings, &asker);
    if told.verdict == "allow" {
        told.upstream = super::upstreams::explain(settings, &asking, asker.user != NOBODY);
    }
    if let Some(fault) = no_key {
        (told.verdict, told.why, told.note) = ("challenge", fault, None);
        told.upstream = None;
        told.rules.clear();
    }
    if !matches.get_flag("json") {
        told.lines().iter().for_each(|line| say(line));
    } else if let Err(error) = say_json(&told) {
        complain(&error);
    }
    if told.verdict == "allow" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is told.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// The verdict's stable name, see `gate::verdict`.
    pub(super) verdict: &'static str,
    pub(super) needs: Option<String>,
    /// `file:line` of each rule that decided.
    pub(super) rules: Vec<String>,
    /// What else there is to say of it.
    pub(super) why: String,
    /// What the backend is asked for instead.
    pub(super) upstream_uri: Option<String>,
    /// With which credentials it would go on.
    pub(super) upstream: Option<String>,
    /// That he could not log in to begin with.
    pub(super) note: Option<String>,
}

/// That the htpasswd file, where it is the only one to be asked, does not let him in, whatever he may do.
fn note(settings: &Settings, asker: &Asker) -> Option<String> {
    let alone = |one: &Authenticator| matches!(one.kind, Kind::Htpasswd | Kind::Keys);
    if asker.user == NOBODY || !settings.authenticators.iter().all(alone) {
        return None;
    }
    let path = settings.htpasswd.clone()?;
    let source = Source { path, max_bytes: settings.htpasswd_max_bytes };
    let name = source.name();
    let rules = htpasswd::file::Rules { allowed: settings.htpasswd_allow, ..Default::default() };
    let text = match source.read() {
        Ok(text) => text,
        Err(fault) => return Some(fault.to_string()),
    };
    let users = Htpasswd::new(htpasswd::file::parse(text, &rules).users);
    let found = users.look_up(asker.user.as_bytes());
    match (found.has_line(), found.is_usable()) {
        (_, true) => None,
        (true, false) => Some(format!("{}'s line in {name} can't be used, so he can't log in", asker.user)),
        (false, false) => Some(format!("{} has no line in {name}, so he can't log in", asker.user)),
    }
}

impl Told {
    /// `path` is the file's whose rules were asked.
    pub(super) fn of(explanation: Option<&Explanation>, asker: &Asker, path: Option<&Path>) -> Self {
        let nobody = asker.user == NOBODY;
        let refusal = if nobody { "challenge" } else { "forbid" };
        let Some(explanation) = explanation else {
            let verdict = if nobody { refusal } else { "allow" };
            let why = "there is no policy: every user may do everything, and nobody else anything".to_owned();
            return Self {
                verdict,
                needs: None,
                rules: Vec::new(),
                why,
                upstream_uri: None,
                upstream: None,
                note: None,
            };
        };
        let file = path.map(|path| path.display().to_string()).unwrap_or_default();
        let place = |line: usize| format!("{file}:{line}");
        let mut told = Self {
            verdict: refusal,
            needs: Some(explanation.needs.clone()),
            rules: explanation.lines.iter().copied().filter(|line| *line > 0).map(place).collect(),
            why: String::new(),
            upstream_uri: None,
            upstream: None,
            note: None,
        };
        match &explanation.judgement {
            Judgement::Allowed { uri } => {
                told.verdict = "allow";
                told.why = match explanation.lines.len() {
                    0 => "every user may ask this",
                    1 => "this grant permits it",
                    _ => "these grants permit it",
                }
                .to_owned();
                told.upstream_uri.clone_from(uri);
            }
            Judgement::Refused(refused) => {
                told.why = match (refused.unreadable, refused.denied_by, &explanation.nearest) {
                    (Some(why), ..) => why.to_owned(),
                    _ if refused.for_want_of_scope => format!(
                        "he may, and his key may not: its scope lacks {}",
                        refused.actions.names().collect::<Vec<_>>().join(" and ")
                    ),
                    (None, Some(_), _) => "this rule denies it".to_owned(),
                    (None, None, Some((line, lacks))) => {
                        format!("no grant permits it; the nearest is {}: {}", place(*line), lacks.join("; "))
                    }
                    (None, None, None) => "no grant permits it".to_owned(),
                };
            }
        }
        told
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.verdict.to_owned()];
        let mut line = |name: &str, value: &Option<String>| {
            lines.extend(value.as_ref().map(|value| format!("  {name} {value}")));
        };
        line("needs:", &self.needs);
        line("rule: ", &Some(self.rules.join(", ")).filter(|rules| !rules.is_empty()));
        line("why:  ", &Some(self.why.clone()));
        line("asked of the backend:", &self.upstream_uri);
        line("goes on with:", &self.upstream);
        line("note: ", &self.note);
        lines
    }
}
