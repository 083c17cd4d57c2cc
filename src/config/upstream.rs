//! The `[[upstream]]` tables: the credentials that nginx sends to a registry or site with a permitted request.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::array_of_tables::{TableErrors, deserialize, offset, read_name};
use super::{ConfigOrigin, value};
use crate::permissions::glob::Glob;
use crate::permissions::host::HostPattern;
use crate::permissions::parse::parse_repository_glob;
use crate::upstream::UPSTREAMS_MAX;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::aws::AwsAccount;

/// The types, for errors.
const EXPECTED_TYPES: &str = "type must be \"none\", \"basic\", \"bearer\", \"file\" or \"ecr\"";

/// The length limit of a user name.
const USERNAME_BYTES_MAX: usize = 255;

/// One `[[upstream]]` table.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamConfig {
    /// The name in the log and the metrics.
    pub(crate) name: Arc<str>,
    /// The hosts of the requests; none means every host.
    pub(crate) hosts: Box<[HostPattern]>,
    /// The repositories of the requests; none means every request, also one without a repository.
    pub(crate) repositories: Box<[Glob]>,
    /// Whether anonymous requests get the credentials too.
    pub(crate) allow_anonymous: bool,
    /// The settings of the credentials, which depend on the type.
    pub(crate) settings: UpstreamType,
    /// The place of the table.
    pub(crate) origin: ConfigOrigin,
}

impl UpstreamConfig {
    /// Returns whether the upstream has credentials.
    pub(crate) fn has_credentials(&self) -> bool {
        !matches!(self.settings, UpstreamType::None)
    }
}

/// The settings that one type of upstream credentials has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamType {
    /// No credentials.
    None,
    /// A user name, and the file with the password.
    Basic(String, PathBuf),
    /// The file with the Bearer token.
    Bearer(PathBuf),
    /// The file with the whole value of the header.
    File(PathBuf),
    /// A token that ECR issues for this account.
    #[cfg(feature = "ecr")]
    Ecr(AwsAccount),
}

type SpannedText = Spanned<String>;

/// A table as it is written, with the keys of all types.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUpstreamTable {
    name: Option<SpannedText>,
    hosts: Option<Spanned<Vec<SpannedText>>>,
    repositories: Option<Spanned<Vec<SpannedText>>>,
    #[serde(default)]
    allow_anonymous: bool,
    username: Option<SpannedText>,
    password_file: Option<SpannedText>,
    token_file: Option<SpannedText>,
    file: Option<SpannedText>,
    region: Option<SpannedText>,
    profile: Option<SpannedText>,
    role_arn: Option<SpannedText>,
    external_id: Option<SpannedText>,
    endpoint: Option<SpannedText>,
}

impl RawUpstreamTable {
    /// Returns the keys that only some types have, each with its value.
    fn type_specific_keys(&self) -> [(&'static str, Option<&SpannedText>); 9] {
        [
            ("username", self.username.as_ref()),
            ("password_file", self.password_file.as_ref()),
            ("token_file", self.token_file.as_ref()),
            ("file", self.file.as_ref()),
            ("region", self.region.as_ref()),
            ("profile", self.profile.as_ref()),
            ("role_arn", self.role_arn.as_ref()),
            ("external_id", self.external_id.as_ref()),
            ("endpoint", self.endpoint.as_ref()),
        ]
    }
}

/// Reads the value of the key `upstream`. Returns the tables that could be read, and reports all errors.
pub(super) fn read_upstreams(
    value: &DeValue<'_>,
    place: usize,
    origin: &dyn Fn(usize) -> ConfigOrigin,
    errors: &mut TableErrors,
) -> Vec<UpstreamConfig> {
    let DeValue::Array(tables) = value else {
        errors.push((place, "must be a list of tables: [[upstream]]".into()));
        return Vec::new();
    };
    let mut upstreams: Vec<UpstreamConfig> = Vec::new();
    for table in tables {
        let place = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            errors.push((place, "must be a table: [[upstream]]".into()));
            continue;
        };
        let Some(upstream) = read_upstream(fields, place, origin(place), errors) else { continue };
        if upstreams.iter().any(|other| other.name == upstream.name) {
            errors.push((
                place,
                format!("two upstreams have the name {}; give each its own name", upstream.name),
            ));
        }
        if upstreams.iter().any(|other| other.hosts.is_empty() && other.repositories.is_empty()) {
            let what = "this upstream is never used: an earlier one, without hosts and repositories, matches every request";
            errors.push((place, what.into()));
        }
        upstreams.push(upstream);
    }
    if upstreams.len() > UPSTREAMS_MAX {
        errors.push((place, format!("there are more than {UPSTREAMS_MAX} upstreams; remove some")));
    }
    upstreams
}

fn read_upstream(
    fields: &DeTable<'_>,
    place: usize,
    origin: ConfigOrigin,
    errors: &mut TableErrors,
) -> Option<UpstreamConfig> {
    let mut fields = fields.clone();
    let Some(type_value) = fields.remove("type") else {
        errors.push((place, format!("type is missing; {EXPECTED_TYPES}")));
        return None;
    };
    let type_name = type_value.get_ref().as_str().unwrap_or_default().to_owned();
    let type_offset = type_value.span().start;
    let raw: RawUpstreamTable = deserialize(fields, place, errors)?;
    let name = read_name(raw.name.as_ref(), &type_name, errors);
    let hosts = read_list(raw.hosts.as_ref(), HostPattern::parse, errors);
    let repositories = read_list(raw.repositories.as_ref(), parse_repository_pattern, errors);
    let settings = self::read_type(&type_name, &raw, (type_offset, place), errors)?;
    Some(UpstreamConfig { name, hosts, repositories, allow_anonymous: raw.allow_anonymous, settings, origin })
}

fn read_list<T>(
    given: Option<&Spanned<Vec<SpannedText>>>,
    read: fn(&str) -> Result<T, String>,
    errors: &mut TableErrors,
) -> Box<[T]> {
    let Some(given) = given else { return Box::default() };
    if given.get_ref().is_empty() {
        errors.push((
            offset(given),
            "the list is empty and matches nothing; delete the key to match everything".into(),
        ));
    }
    let mut read_item = |text: &SpannedText| {
        read(text.get_ref()).map_err(|message| errors.push((offset(text), message))).ok()
    };
    given.get_ref().iter().filter_map(&mut read_item).collect()
}

/// Parses a pattern of repositories. All users share the credentials, so the pattern cannot depend on the user.
fn parse_repository_pattern(text: &str) -> Result<Glob, String> {
    match parse_repository_glob(text) {
        Ok(_) if text.contains('{') => Err("{user} and {group} are allowed in the policy only".into()),
        read => read,
    }
}

fn read_type(
    type_name: &str,
    raw: &RawUpstreamTable,
    places: (usize, usize),
    errors: &mut TableErrors,
) -> Option<UpstreamType> {
    let (type_offset, place) = places;
    let own_keys: &[&str] = match type_name {
        "none" => &[],
        "basic" => &["username", "password_file"],
        "bearer" => &["token_file"],
        "file" => &["file"],
        "ecr" => &["region", "profile", "role_arn", "external_id", "endpoint"],
        _ => {
            errors.push((type_offset, EXPECTED_TYPES.into()));
            return None;
        }
    };
    for (key, given) in raw.type_specific_keys() {
        if let Some(given) = given.filter(|_| !own_keys.contains(&key)) {
            errors.push((offset(given), format!("{key} is not a key of type {type_name}; delete it")));
        }
    }
    let mut required = |key: &str, given: &Option<SpannedText>| {
        if given.is_none() {
            errors.push((place, format!("type {type_name} requires {key}")));
        }
        given.clone()
    };
    let (username, file) = match type_name {
        "basic" => (required("username", &raw.username), required("password_file", &raw.password_file)),
        "bearer" => (None, required("token_file", &raw.token_file)),
        "file" => (None, required("file", &raw.file)),
        "ecr" => return ecr(raw, type_offset, errors),
        _ => return Some(UpstreamType::None),
    };
    let file = file?;
    let path = value::parse_path(file.get_ref()).map_err(|what| errors.push((offset(&file), what))).ok()?;
    Some(match type_name {
        "basic" => UpstreamType::Basic(self::check_username(&username?, errors)?, path),
        "bearer" => UpstreamType::Bearer(path),
        _ => UpstreamType::File(path),
    })
}

/// Checks a user name of Basic credentials, which must not have a colon (RFC 7617 section 2).
fn check_username(given: &SpannedText, errors: &mut TableErrors) -> Option<String> {
    let text = given.get_ref();
    let is_valid = (1..=USERNAME_BYTES_MAX).contains(&text.len())
        && !text.contains([':'])
        && !text.chars().any(char::is_control);
    if !is_valid {
        let message = "a user name must have 1 to 255 bytes, no colon and no control characters";
        errors.push((offset(given), message.into()));
    }
    is_valid.then(|| text.clone())
}

#[cfg(not(feature = "ecr"))]
fn ecr(_: &RawUpstreamTable, place: usize, errors: &mut TableErrors) -> Option<UpstreamType> {
    let what = "this build has no support for ECR; use the image whose name ends with -ecr, or build with cargo build --release --features ecr";
    errors.push((place, what.into()));
    None
}

#[cfg(feature = "ecr")]
fn ecr(raw: &RawUpstreamTable, _: usize, errors: &mut TableErrors) -> Option<UpstreamType> {
    let before = errors.len();
    let mut read = |given: &Option<SpannedText>, expected: &str, is_valid: fn(&str) -> bool| {
        let given = given.as_ref()?;
        if !is_valid(given.get_ref()) {
            errors.push((offset(given), format!("must be {expected}")));
        }
        Some(given.get_ref().clone())
    };
    let region = read(&raw.region, "a region such as eu-central-1", is_region);
    let role_arn = read(&raw.role_arn, "a role such as arn:aws:iam::123456789012:role/registry", is_role_arn);
    let endpoint =
        read(&raw.endpoint, "a URL such as https://api.ecr.eu-central-1.amazonaws.com", is_endpoint_url);
    let profile = read(&raw.profile, "the name of a profile, in visible ASCII characters", is_visible_ascii);
    let external_id = read(&raw.external_id, "an external ID, in visible ASCII characters", is_visible_ascii);
    if let Some(given) = raw.external_id.as_ref().filter(|_| role_arn.is_none()) {
        errors.push((offset(given), "external_id requires role_arn".into()));
    }
    let account = AwsAccount { region, profile, role_arn, external_id, endpoint };
    (errors.len() == before).then_some(UpstreamType::Ecr(account))
}

#[cfg(feature = "ecr")]
fn is_region(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (3..=32).contains(&text.len()) && text.bytes().all(is_allowed) && text.contains('-')
}

#[cfg(feature = "ecr")]
fn is_role_arn(text: &str) -> bool {
    text.starts_with("arn:aws") && text.contains(":role/") && is_visible_ascii(text)
}

#[cfg(feature = "ecr")]
fn is_endpoint_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    // Plain HTTP is allowed on the loopback interface only, where no other machine can read the token.
    let is_protected = text.starts_with("https://") || matches!(host, "localhost" | "127.0.0.1");
    is_protected
        && rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#']))
        && is_visible_ascii(text)
}

#[cfg(feature = "ecr")]
fn is_visible_ascii(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
