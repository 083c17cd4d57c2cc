//! The `[[upstream]]` tables: with which credentials permitted requests go on.

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

/// The types, for messages.
const EXPECTED_TYPES: &str = "the type is \"none\", \"basic\", \"bearer\", \"file\" or \"ecr\"";

/// The longest user name.
const USERNAME_BYTES_MAX: usize = 255;

/// One table, as it is set.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: Arc<str>,
    /// At which hosts; none of them means at any.
    pub hosts: Box<[HostPattern]>,
    /// On which repositories; none of them means on any, and on none.
    pub repositories: Box<[Glob]>,
    /// Whether also who has shown no credentials gets these.
    pub allow_anonymous: bool,
    /// Which.
    pub kind: UpstreamType,
    /// Where its table begins.
    pub origin: ConfigOrigin,
}

impl UpstreamConfig {
    /// Whether there are any.
    pub fn has_credentials(&self) -> bool {
        !matches!(self.kind, UpstreamType::None)
    }
}

/// Which credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamType {
    /// None.
    None,
    /// Of a user, whose password is in the file.
    Basic(String, PathBuf),
    /// The token that is in the file.
    Bearer(PathBuf),
    /// The whole value, which is in the file.
    File(PathBuf),
    /// ECR's token.
    #[cfg(feature = "ecr")]
    Ecr(AwsAccount),
}

type SpannedText = Spanned<String>;

/// What each type may have, as it is written.
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
    /// The keys that are of one type or another, and whether they are there.
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

/// Reads the value of the key `upstream`.
pub(super) fn read_upstreams(
    value: &DeValue<'_>,
    place: usize,
    origin: &dyn Fn(usize) -> ConfigOrigin,
    faults: &mut TableErrors,
) -> Vec<UpstreamConfig> {
    let DeValue::Array(tables) = value else {
        faults.push((place, "write a list of tables: [[upstream]]".into()));
        return Vec::new();
    };
    let mut upstreams: Vec<UpstreamConfig> = Vec::new();
    for table in tables {
        let place = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            faults.push((place, "write a table: [[upstream]]".into()));
            continue;
        };
        let Some(one) = read_upstream(fields, place, origin(place), faults) else { continue };
        if upstreams.iter().any(|other| other.name == one.name) {
            faults.push((place, format!("there are two upstreams called {}; give each a name", one.name)));
        }
        if upstreams.iter().any(|other| other.hosts.is_empty() && other.repositories.is_empty()) {
            let what =
                "no request comes to this one: an earlier one, without hosts and repositories, fits all";
            faults.push((place, what.into()));
        }
        upstreams.push(one);
    }
    if upstreams.len() > UPSTREAMS_MAX {
        faults.push((place, format!("there are more than {UPSTREAMS_MAX} upstreams")));
    }
    upstreams
}

fn read_upstream(
    fields: &DeTable<'_>,
    place: usize,
    origin: ConfigOrigin,
    faults: &mut TableErrors,
) -> Option<UpstreamConfig> {
    let mut fields = fields.clone();
    let Some(kind) = fields.remove("type") else {
        faults.push((place, format!("type is missing; {EXPECTED_TYPES}")));
        return None;
    };
    let known = kind.get_ref().as_str().unwrap_or_default().to_owned();
    let kind_at = kind.span().start;
    let raw: RawUpstreamTable = deserialize(fields, place, faults)?;
    let name = read_name(raw.name.as_ref(), &known, faults);
    let hosts = read_list(raw.hosts.as_ref(), HostPattern::parse, faults);
    let repositories = read_list(raw.repositories.as_ref(), parse_repository_pattern, faults);
    let kind = self::read_type(&known, &raw, (kind_at, place), faults)?;
    Some(UpstreamConfig { name, hosts, repositories, allow_anonymous: raw.allow_anonymous, kind, origin })
}

fn read_list<T>(
    given: Option<&Spanned<Vec<SpannedText>>>,
    read: fn(&str) -> Result<T, String>,
    faults: &mut TableErrors,
) -> Box<[T]> {
    let Some(given) = given else { return Box::default() };
    if given.get_ref().is_empty() {
        faults.push((offset(given), "it is empty, and fits nothing; leave it out for all".into()));
    }
    let mut one = |text: &SpannedText| {
        let fault = |what: String| (offset(text), what);
        read(text.get_ref()).map_err(|what| faults.push(fault(what))).ok()
    };
    given.get_ref().iter().filter_map(&mut one).collect()
}

/// One set of credentials is for all, so there is nothing that a name could stand for.
fn parse_repository_pattern(text: &str) -> Result<Glob, String> {
    match parse_repository_glob(text) {
        Ok(_) if text.contains('{') => Err("{user} and {group} are for the policy".into()),
        read => read,
    }
}

fn read_type(
    known: &str,
    raw: &RawUpstreamTable,
    places: (usize, usize),
    faults: &mut TableErrors,
) -> Option<UpstreamType> {
    let (kind_at, place) = places;
    let own: &[&str] = match known {
        "none" => &[],
        "basic" => &["username", "password_file"],
        "bearer" => &["token_file"],
        "file" => &["file"],
        "ecr" => &["region", "profile", "role_arn", "external_id", "endpoint"],
        _ => {
            faults.push((kind_at, EXPECTED_TYPES.into()));
            return None;
        }
    };
    for (key, given) in raw.type_specific_keys() {
        if let Some(given) = given.filter(|_| !own.contains(&key)) {
            faults.push((offset(given), format!("{key} is no key of type {known}")));
        }
    }
    let mut wanted = |key: &str, given: &Option<SpannedText>| {
        if given.is_none() {
            faults.push((place, format!("type {known} needs {key}")));
        }
        given.clone()
    };
    let (username, file) = match known {
        "basic" => (wanted("username", &raw.username), wanted("password_file", &raw.password_file)),
        "bearer" => (None, wanted("token_file", &raw.token_file)),
        "file" => (None, wanted("file", &raw.file)),
        "ecr" => return ecr(raw, kind_at, faults),
        _ => return Some(UpstreamType::None),
    };
    let file = file?;
    let path = value::parse_path(file.get_ref()).map_err(|what| faults.push((offset(&file), what))).ok()?;
    Some(match known {
        "basic" => UpstreamType::Basic(self::check_username(&username?, faults)?, path),
        "bearer" => UpstreamType::Bearer(path),
        _ => UpstreamType::File(path),
    })
}

/// RFC 7617 section 2: no colon.
fn check_username(given: &SpannedText, faults: &mut TableErrors) -> Option<String> {
    let text = given.get_ref();
    let well = (1..=USERNAME_BYTES_MAX).contains(&text.len())
        && !text.contains([':'])
        && !text.chars().any(char::is_control);
    if !well {
        faults.push((offset(given), "a user name has 1 to 255 characters, and no colon".into()));
    }
    well.then(|| text.clone())
}

#[cfg(not(feature = "ecr"))]
fn ecr(_: &RawUpstreamTable, place: usize, faults: &mut TableErrors) -> Option<UpstreamType> {
    let what = "this doorward is built without ECR: take the image whose name ends with -ecr, or build with cargo build --release --features ecr";
    faults.push((place, what.into()));
    None
}

#[cfg(feature = "ecr")]
fn ecr(raw: &RawUpstreamTable, _: usize, faults: &mut TableErrors) -> Option<UpstreamType> {
    let before = faults.len();
    let mut text = |given: &Option<SpannedText>, what: &str, well: fn(&str) -> bool| {
        let given = given.as_ref()?;
        if !well(given.get_ref()) {
            faults.push((offset(given), format!("it is not {what}")));
        }
        Some(given.get_ref().clone())
    };
    let region = text(&raw.region, "a region, like eu-central-1", is_region);
    let role_arn = text(&raw.role_arn, "a role, like arn:aws:iam::123456789012:role/registry", is_role_arn);
    let endpoint =
        text(&raw.endpoint, "an URL, like https://api.ecr.eu-central-1.amazonaws.com", is_endpoint_url);
    let profile = text(&raw.profile, "a profile's name", is_visible_ascii);
    let external_id = text(&raw.external_id, "an external id", is_visible_ascii);
    if let Some(given) = raw.external_id.as_ref().filter(|_| role_arn.is_none()) {
        faults.push((offset(given), "external_id is for a role; set role_arn too".into()));
    }
    let account = AwsAccount { region, profile, role_arn, external_id, endpoint };
    (faults.len() == before).then_some(UpstreamType::Ecr(account))
}

#[cfg(feature = "ecr")]
fn is_region(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (3..=32).contains(&text.len()) && text.bytes().all(known) && text.contains('-')
}

#[cfg(feature = "ecr")]
fn is_role_arn(text: &str) -> bool {
    text.starts_with("arn:aws") && text.contains(":role/") && is_visible_ascii(text)
}

#[cfg(feature = "ecr")]
fn is_endpoint_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    // A token is not sent where others can read it.
    let well = text.starts_with("https://") || matches!(host, "localhost" | "127.0.0.1");
    well && rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#']))
        && is_visible_ascii(text)
}

#[cfg(feature = "ecr")]
fn is_visible_ascii(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
