//! `doorward proxy-config nginx`: writes the configuration of nginx.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Command, ValueHint};

use crate::atomic_write::AtomicFileWriter;
use crate::cli::arguments::{error_message, exit_code, option, option_value, switch};
use crate::cli::config_flags::{config_path, print_config_errors, read_flags, setting_flag};
use crate::cli::output::{print_error, write_text};
use crate::config::ConfigError;
use crate::config::layers::ConfigLayers;
use crate::proxy_config::explain::explain_blocks;
use crate::proxy_config::files::find_files;
use crate::proxy_config::machine::{Machine, NginxBuild, NginxModule, installed_nginx};
use crate::proxy_config::nginx::{
    ConfigurationPart, NginxView, build, render_http_part, render_server_part, render_whole,
};
use crate::proxy_config::options::{OptionError, ProxyOptions};
use crate::proxy_config::read::{OPTIONS, OptionLayers, OptionsWithOrigins};
use crate::proxy_config::secret::read_proxy_secret;
use crate::proxy_config::value::{ClientScheme, ServiceKind, TokenMode};
use crate::proxy_config::version::NginxVersion;
use crate::reload::displayable_path;

/// The whole configuration.
const WHOLE_FILE: &str = "doorward.conf";
/// The part for `http`, if the rest is in a server of the administrator.
const HTTP_PART_FILE: &str = "doorward-http.conf";
/// The part for a `server` of the administrator. nginx does not include it by itself.
const SERVER_PART_FILE: &str = "doorward-server.inc";
/// The proxy secret.
const SECRET_FILE: &str = "doorward.secret";

/// Characters that nginx does not read as themselves in the path of an include: those of patterns and variables, and
/// quotes.
const PATH_CHARACTERS_OF_NGINX: &str = "*?[$\"\\";

/// The mode of a configuration, which any user can read.
const CONFIG_MODE: u32 = 0o644;

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    Command::new("nginx")
        .about("Write the configuration of nginx, to be included in http{}")
        .arg(
            option("config", "FILE", "the settings file with a table [proxy_config] [env: DOORWARD_CONFIG]")
                .short('c')
                .value_hint(ValueHint::FilePath),
        )
        .args([
            option("output", "DIR", "write doorward.conf into this folder, instead of standard output")
                .value_hint(ValueHint::DirPath),
            switch("include-only", "write doorward-http.conf and doorward-server.inc, for your server{}"),
            switch("explain", "print what each block protects against, instead of the configuration"),
        ])
        .args(OPTIONS.all().map(|option| setting_flag(option, OPTIONS.variable_prefix)))
}

/// Runs the command.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let mut with_origins = match read_options(matches) {
        Ok(options) => options,
        Err(errors) => return print_config_errors(&errors),
    };
    let target = OutputTarget {
        folder: option_value(matches, "output").map(PathBuf::from),
        is_include_only: matches.get_flag("include-only"),
        is_explanation: matches.get_flag("explain"),
    };
    if let Err(error) = target.check_folder() {
        print_error(&error);
        return ExitCode::FAILURE;
    }
    match target.prepare(&mut with_origins.options) {
        Ok(prepared) => {
            for warning in warnings(&with_origins.options) {
                print_error(&format!("warning: {warning}"));
            }
            exit_code(target.write(&prepared))
        }
        Err(errors) => {
            let errors: Vec<ConfigError> = errors.iter().map(|error| with_origins.locate(error)).collect();
            print_config_errors(&errors)
        }
    }
}

/// Reads the options of flags, environment and file.
fn read_options(matches: &ArgMatches) -> Result<OptionsWithOrigins, Vec<ConfigError>> {
    let mut layers = OptionLayers { flags: read_flags(OPTIONS, matches), ..OptionLayers::default() };
    if let Some(path) = config_path(matches) {
        // Settings of the service in the same file are not used here, but a file with errors is refused.
        let file = ConfigLayers::default().with_file(&path);
        layers.errors = file.errors;
        layers.file = file.proxy_config;
    }
    layers.with_environment(std::env::vars_os()).into_options()
}

/// The output of the command.
struct OutputTarget {
    folder: Option<PathBuf>,
    is_include_only: bool,
    is_explanation: bool,
}

/// A configuration that is ready to be written.
struct Prepared {
    view: NginxView,
    secret: Option<zeroize::Zeroizing<String>>,
}

impl OutputTarget {
    /// Checks everything that the configuration depends on.
    fn prepare(&self, options: &mut ProxyOptions) -> Result<Prepared, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut report = |option: &'static str, message: String| {
            errors.push(OptionError { option, server: None, message });
        };
        let oldest = NginxBuild::with_version(NginxVersion::OLDEST);
        let nginx = match options.common.nginx_version {
            Some(version) => NginxBuild::with_version(version),
            None => match installed_nginx(&required_modules(options)) {
                Ok(found) => found.unwrap_or(oldest),
                Err(error) => {
                    report("nginx_version", error);
                    oldest
                }
            },
        };
        let mut secret = None;
        let mut secret_include = None;
        if let Some(path) = &options.common.proxy_secret_file {
            match read_proxy_secret(path) {
                Ok(text) => secret = Some(text),
                Err(error) => report("proxy_secret_file", error),
            }
            match self.secret_path() {
                Ok(path) => secret_include = Some(path),
                Err(error) => report("proxy_secret_file", error),
            }
        }
        if self.is_include_only && options.servers.len() > 1 {
            let message = "include-only writes one server, and nginx can read one such output only; write all servers without --include-only, and add your locations with the option include";
            report("kind", message.into());
        }
        if self.is_include_only && self.folder.is_none() && !self.is_explanation {
            report("kind", "include-only writes two files; set --output DIR".into());
        }
        errors.extend(find_files(options, !self.is_include_only));
        let part = match self.is_include_only {
            true => ConfigurationPart::IncludeOnly,
            false => ConfigurationPart::Whole,
        };
        match build(options, part, &Machine::read(), nginx, secret_include) {
            Ok(view) if errors.is_empty() => Ok(Prepared { view, secret }),
            Ok(_) => Err(errors),
            Err(more) => Err(errors.into_iter().chain(more).collect()),
        }
    }

    /// Returns the path of the file with the proxy secret, which nginx includes.
    fn secret_path(&self) -> Result<String, String> {
        let folder = match &self.folder {
            Some(folder) => std::fs::canonicalize(folder)
                .map_err(|error| format!("the folder of --output cannot be used: {error}"))?,
            None if self.is_explanation => PathBuf::from("/etc/nginx/conf.d"),
            None => {
                return Err("the secret is not written to standard output; set --output DIR".into());
            }
        };
        let path = folder.join(SECRET_FILE);
        let text = path.to_str().ok_or("the folder of --output has a name that is not UTF-8")?;
        Ok(text.to_owned())
    }

    /// Returns an error if the folder is missing, or has a file of the other kind of output. nginx would read both.
    fn check_folder(&self) -> Result<(), String> {
        let Some(folder) = self.folder.as_ref().filter(|_| !self.is_explanation) else { return Ok(()) };
        let at = displayable_path(folder);
        match std::fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(format!("--output: {at}: it is not a folder")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!("--output: {at}: there is no such folder; create it with mkdir -p"));
            }
            Err(error) => return Err(format!("--output: {at}: the folder cannot be used: {error}")),
        }
        check_path_characters(folder)?;
        let other = folder.join(if self.is_include_only { WHOLE_FILE } else { HTTP_PART_FILE });
        match other.symlink_metadata() {
            Ok(_) => Err(format!(
                "{} is left from an earlier run, {} --include-only, and nginx would read it too; remove it, or write to another folder",
                displayable_path(&other),
                if self.is_include_only { "without" } else { "with" },
            )),
            Err(_) => Ok(()),
        }
    }

    fn write(&self, prepared: &Prepared) -> Result<(), String> {
        let view = &prepared.view;
        let rendered = match self.is_include_only {
            false => vec![(WHOLE_FILE, render_whole(view))],
            true => {
                vec![(SERVER_PART_FILE, render_server_part(view)), (HTTP_PART_FILE, render_http_part(view))]
            }
        };
        let mut files = Vec::new();
        for (name, text) in rendered {
            files.push((
                name,
                text.map_err(|_| "an option has a value that cannot be written safely".to_owned())?,
            ));
        }
        if self.is_explanation {
            let all: String = files.iter().map(|(_, text)| text.as_str()).collect();
            return write_text(&explain_blocks(&all));
        }
        match &self.folder {
            None => files.iter().try_for_each(|(_, text)| write_text(text))?,
            Some(folder) => write_files(folder, &files, prepared.secret.as_ref().map(|text| text.as_str()))?,
        }
        Ok(())
    }
}

/// Returns an error if nginx would read the path of the folder as a pattern or a variable, or cannot read it.
fn check_path_characters(folder: &Path) -> Result<(), String> {
    let at = displayable_path(folder);
    let path = std::fs::canonicalize(folder)
        .map_err(|error| format!("--output: {at}: the folder cannot be used: {error}"))?;
    let is_allowed = |c: char| !c.is_control() && !PATH_CHARACTERS_OF_NGINX.contains(c);
    match path.to_str() {
        None => Err(format!("--output: {at}: the path is not UTF-8; write to another folder")),
        Some(text) if !text.chars().all(is_allowed) => Err(format!(
            "--output: {at}: nginx cannot include a path with control characters or one of {PATH_CHARACTERS_OF_NGINX}; write to another folder"
        )),
        Some(_) => Ok(()),
    }
}

/// Returns what the administrator must know about valid options.
fn warnings(options: &ProxyOptions) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    let is_https = options.common.scheme == Some(ClientScheme::Https);
    if !is_https && options.servers.iter().any(|server| server.plain_http) {
        warnings.push(
            "plain HTTP: passwords are sent without encryption; behind a load balancer with TLS, set scheme = https",
        );
    }
    if options.servers.iter().any(|server| server.tokens == TokenMode::Registry) {
        warnings.push(
            "the registry must verify tokens itself: it needs `auth: token` from doorward signing-key init",
        );
    }
    warnings
}

/// Returns the modules that nginx must have.
fn required_modules(options: &ProxyOptions) -> Vec<NginxModule> {
    let module = |name| NginxModule { name, is_default: false };
    let has_tls = options.servers.iter().any(|server| !server.plain_http || server.kind == ServiceKind::Ecr);
    let mut modules = vec![module("auth_request")];
    if has_tls {
        modules.push(module("ssl"));
    }
    if !options.common.real_ip_from.is_empty() {
        modules.push(module("realip"));
    }
    if options.servers.iter().any(|server| server.tokens != TokenMode::Off) {
        modules.push(NginxModule { name: "limit_req", is_default: true });
    }
    modules
}

/// Writes all files under one lock. The last one is the file that nginx includes by itself, so it never names a file that
/// is missing.
fn write_files(folder: &Path, files: &[(&str, String)], secret: Option<&str>) -> Result<(), String> {
    let Some(((last, text), others)) = files.split_last() else { return Ok(()) };
    let writer =
        AtomicFileWriter::open(&folder.join(last), true).map_err(error_message)?.with_new_mode(CONFIG_MODE);
    if let Some(secret) = secret {
        writer.write_secret_sibling(SECRET_FILE, secret.as_bytes()).map_err(error_message)?;
    }
    for (name, text) in others {
        writer.write_sibling(name, text.as_bytes(), CONFIG_MODE).map_err(error_message)?;
    }
    writer.replace(text.as_bytes()).map_err(error_message)?;
    if secret.is_none() {
        // Left from an earlier run. The configuration does not name it any more.
        let path = folder.join(SECRET_FILE);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            print_error(&format!("{} is not used any more, and cannot be removed: {error}", path.display()));
        }
    }
    Ok(())
}
