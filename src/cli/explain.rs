//! `doorward explain USER METHOD URI`: the verdict of `/auth` for a request, and the rules that decide it.

mod api_key;
pub(super) mod evaluation;
mod login;
pub(super) mod report;
mod upstream;

use std::net::IpAddr;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use self::evaluation::{
    ANONYMOUS, ExplainRequest, ExplainSubject, default_rewrite_header, explain, load_policy,
};
use self::login::login_error;
use self::report::ExplainReport;
use self::upstream::select_upstream;
use super::arguments::{json_switch, option, option_value};
use super::config_flags::with_policy_settings;
use super::output::{print_error, print_json, print_line};
use crate::config::Config;
use crate::policy::Policy;

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    let positional = |name: &'static str, value_name: &'static str, help: &'static str| {
        Arg::new(name).value_name(value_name).required(true).help(help)
    };
    with_policy_settings(Command::new("explain").about(
        "Show what /auth answers to a request and which rule decides: exit 0 if the request is allowed, 1 if not",
    ))
    .args([
        positional("user", "USER", "the user name, or - for an anonymous client"),
        positional("method", "METHOD", "the method of the request"),
        positional("uri", "URI", "the path of the request, with its query"),
        option("host", "HOST", "the host of the request").default_value("localhost"),
        option("from", "IP", "the client address").value_parser(value_parser!(IpAddr)),
        option("group", "NAME", "a group that an auth backend would return, added to those of the group file; can be repeated")
            .action(ArgAction::Append),
        option("api-key", "KEY", "the id or the name of the API key that the user presents"),
        option("content-type", "TYPE", "the Content-Type of the request").default_value("").hide_default_value(true),
        option(
            "auth-rewrite",
            "VALUE",
            "the X-Auth-Rewrite header of the proxy: yes, no, or - for none [default: as in the shipped nginx configuration]",
        ),
        json_switch(),
    ])
}

/// Runs the command.
pub(super) fn run(config: &Config, matches: &ArgMatches) -> ExitCode {
    let policy = match load_policy(config, matches.contains_id("group")) {
        Ok(policy) => policy,
        Err(errors) => {
            errors.iter().for_each(|error| print_error(error));
            return ExitCode::FAILURE;
        }
    };
    let mut subject = ExplainSubject {
        user: option_value(matches, "user").unwrap_or_default().to_owned(),
        groups: matches.get_many::<String>("group").unwrap_or_default().cloned().collect(),
        client_address: matches.get_one::<IpAddr>("from").copied(),
        api_key_scope: None,
    };
    let api_key_error = match option_value(matches, "api-key") {
        None => None,
        Some(id_or_name) => match api_key::find_scope(config, &subject.user, id_or_name) {
            Ok(scope) => {
                subject.api_key_scope = scope;
                None
            }
            Err(error) => Some(error),
        },
    };
    if let Err(error) = subject.validate() {
        print_error(&error);
        return ExitCode::FAILURE;
    }
    let mut report = report_of_request(config, &policy, &subject, matches);
    if let Some(error) = login_error(config, &subject) {
        // The result of the policy is still printed, since rules are often written before the user is added.
        report.note = Some(format!("for a user who can log in: {}: {}", report.verdict, report.explanation));
        (report.verdict, report.explanation, report.upstream_credentials) = ("challenge", error, None);
    }
    if let Some(error) = api_key_error {
        (report.verdict, report.explanation, report.note) = ("challenge", error, None);
        report.upstream_credentials = None;
        report.deciding_rules.clear();
    }
    if !matches.get_flag("json") {
        report.to_lines().iter().for_each(|line| print_line(line));
    } else if let Err(error) = print_json(&report) {
        print_error(&error);
    }
    if report.verdict == "allow" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Evaluates the request of the command line.
fn report_of_request(
    config: &Config,
    policy: &Policy,
    subject: &ExplainSubject,
    matches: &ArgMatches,
) -> ExplainReport {
    let text = |name: &str| option_value(matches, name).unwrap_or_default();
    let (uri, host) = (text("uri"), text("host"));
    let rewrite_header = match text("auth-rewrite") {
        "" => default_rewrite_header(policy, host, uri),
        "-" => None,
        value => Some(value),
    };
    let request = ExplainRequest {
        method: text("method"),
        uri,
        host,
        content_type: text("content-type"),
        rewrite_header,
    };
    explain(policy, subject, &request, |explained, subrequest| {
        let has_policy = policy.rules().is_some();
        let path = config.policy.file.as_deref();
        let mut report = ExplainReport::from_explanation(&explained, has_policy, subject, path);
        let original = subrequest
            .filter(|_| report.verdict == "allow")
            .and_then(|subrequest| subrequest.original_request().ok());
        let selection =
            original.and_then(|original| select_upstream(config, original, subject.user != ANONYMOUS));
        if let Some(selection) = selection {
            report.verdict = selection.verdict.unwrap_or(report.verdict);
            report.upstream_credentials = Some(selection.explanation);
            report.upstream_uri = selection.uri.or(report.upstream_uri);
        }
        report
    })
}
