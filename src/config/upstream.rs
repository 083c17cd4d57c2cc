//! The `[[upstream]]` tables: with which credentials permitted requests go on.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tables::{Faults, at, deserialize, name};
use super::{Origin, value};
use crate::permissions::glob::Glob;
use crate::permissions::host::HostPattern;
use crate::permissions::read::parse_repository_glob;
use crate::upstream::UPSTREAMS_MAX;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::AwsAccount;

/// The types, for messages.
const TYPES: &str = "the type is \"none\", \"basic\", \"bearer\", \"file\" or \"ecr\"";

/// The longest user name.
const USERNAME_MAX: usize = 255;

/// One table, as it is set.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// At which hosts; none of them means at any.
    pub hosts: Box<[HostPattern]>,
    /// On which repositories; none of them means on any, and on none.
    pub repositories: Box<[Glob]>,
    /// Whether also who has shown no credentials gets these.
    pub anyone: bool,
    /// Which.
    pub kind: Kind,
    /// Where its table begins.
    pub origin: Origin,
}

impl Upstream {
    /// Whether there are any.
    pub fn has_credentials(&self) -> bool {
        !matches!(self.kind, Kind::None)
    }
}

/// Which credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
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

type Text = Spanned<String>;

/// What each type may have, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<Text>,
    hosts: Option<Spanned<Vec<Text>>>,
    repositories: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    anyone: bool,
    username: Option<Text>,
    password_file: Option<Text>,
    token_file: Option<Text>,
    file: Option<Text>,
    region: Option<Text>,
    profile: Option<Text>,
    role_arn: Option<Text>,
    external_id: Option<Text>,
    endpoint: Option<Text>,
}

impl Raw {
    /// The keys that are of one type or another, and whether they are there.
    fn given(&self) -> [(&'static str, Option<&Text>); 9] {
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
pub(super) fn read(
    value: &DeValue<'_>,
    place: usize,
    origin: &dyn Fn(usize) -> Origin,
    faults: &mut Faults,
) -> Vec<Upstream> {
    let DeValue::Array(tables) = value else {
        faults.push((place, "write a list of tables: [[upstream]]".into()));
        return Vec::new();
    };
    let mut upstreams: Vec<Upstream> = Vec::new();
    for table in tables {
        let place = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            faults.push((place, "write a table: [[upstream]]".into()));
            continue;
        };
        let Some(one) = one(fields, place, origin(place), faults) else { continue };
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

fn one(fields: &DeTable<'_>, place: usize, origin: Origin, faults: &mut Faults) -> Option<Upstream> {
    let mut fields = fields.clone();
    let Some(kind) = fields.remove("type") else {
        faults.push((place, format!("type is missing; {TYPES}")));
        return None;
    };
    let known = kind.get_ref().as_str().unwrap_or_default().to_owned();
    let kind_at = kind.span().start;
    let raw: Raw = deserialize(fields, place, faults)?;
    let name = name(raw.name.as_ref(), &known, faults);
    let hosts = each(raw.hosts.as_ref(), HostPattern::parse, faults);
    let repositories = each(raw.repositories.as_ref(), glob, faults);
    let kind = self::kind(&known, &raw, (kind_at, place), faults)?;
    Some(Upstream { name, hosts, repositories, anyone: raw.anyone, kind, origin })
}

fn each<T>(
    given: Option<&Spanned<Vec<Text>>>,
    read: fn(&str) -> Result<T, String>,
    faults: &mut Faults,
) -> Box<[T]> {
    let Some(given) = given else { return Box::default() };
    if given.get_ref().is_empty() {
        faults.push((at(given), "it is empty, and fits nothing; leave it out for all".into()));
    }
    let mut one = |text: &Text| {
        let fault = |what: String| (at(text), what);
        read(text.get_ref()).map_err(|what| faults.push(fault(what))).ok()
    };
    given.get_ref().iter().filter_map(&mut one).collect()
}

/// One set of credentials is for all, so there is nothing that a name could stand for.
fn glob(text: &str) -> Result<Glob, String> {
    match parse_repository_glob(text) {
        Ok(_) if text.contains('{') => Err("{user} and {group} are for the policy".into()),
        read => read,
    }
}

fn kind(known: &str, raw: &Raw, places: (usize, usize), faults: &mut Faults) -> Option<Kind> {
    let (kind_at, place) = places;
    let own: &[&str] = match known {
        "none" => &[],
        "basic" => &["username", "password_file"],
        "bearer" => &["token_file"],
        "file" => &["file"],
        "ecr" => &["region", "profile", "role_arn", "external_id", "endpoint"],
        _ => {
            faults.push((kind_at, TYPES.into()));
            return None;
        }
    };
    for (key, given) in raw.given() {
        if let Some(given) = given.filter(|_| !own.contains(&key)) {
            faults.push((at(given), format!("{key} is no key of type {known}")));
        }
    }
    let mut wanted = |key: &str, given: &Option<Text>| {
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
        _ => return Some(Kind::None),
    };
    let file = file?;
    let path = value::path(file.get_ref()).map_err(|what| faults.push((at(&file), what))).ok()?;
    Some(match known {
        "basic" => Kind::Basic(self::username(&username?, faults)?, path),
        "bearer" => Kind::Bearer(path),
        _ => Kind::File(path),
    })
}

/// RFC 7617 section 2: no colon.
fn username(given: &Text, faults: &mut Faults) -> Option<String> {
    let text = given.get_ref();
    let well = (1..=USERNAME_MAX).contains(&text.len())
        && !text.contains([':'])
        && !text.chars().any(char::is_control);
    if !well {
        faults.push((at(given), "a user name has 1 to 255 characters, and no colon".into()));
    }
    well.then(|| text.clone())
}

#[cfg(not(feature = "ecr"))]
fn ecr(_: &Raw, place: usize, faults: &mut Faults) -> Option<Kind> {
    let what = "this doorward is built without ECR: take the image whose name ends with -ecr, or build with cargo build --release --features ecr";
    faults.push((place, what.into()));
    None
}

#[cfg(feature = "ecr")]
fn ecr(raw: &Raw, _: usize, faults: &mut Faults) -> Option<Kind> {
    let before = faults.len();
    let mut text = |given: &Option<Text>, what: &str, well: fn(&str) -> bool| {
        let given = given.as_ref()?;
        if !well(given.get_ref()) {
            faults.push((at(given), format!("it is not {what}")));
        }
        Some(given.get_ref().clone())
    };
    let region = text(&raw.region, "a region, like eu-central-1", is_region);
    let role_arn = text(&raw.role_arn, "a role, like arn:aws:iam::123456789012:role/registry", is_role);
    let endpoint = text(&raw.endpoint, "an URL, like https://api.ecr.eu-central-1.amazonaws.com", is_url);
    let profile = text(&raw.profile, "a profile's name", is_word);
    let external_id = text(&raw.external_id, "an external id", is_word);
    if let Some(given) = raw.external_id.as_ref().filter(|_| role_arn.is_none()) {
        faults.push((at(given), "external_id is for a role; set role_arn too".into()));
    }
    let account = AwsAccount { region, profile, role_arn, external_id, endpoint };
    (faults.len() == before).then_some(Kind::Ecr(account))
}

#[cfg(feature = "ecr")]
fn is_region(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (3..=32).contains(&text.len()) && text.bytes().all(known) && text.contains('-')
}

#[cfg(feature = "ecr")]
fn is_role(text: &str) -> bool {
    text.starts_with("arn:aws") && text.contains(":role/") && is_word(text)
}

#[cfg(feature = "ecr")]
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    // A token is not sent where others can read it.
    let well = text.starts_with("https://") || matches!(host, "localhost" | "127.0.0.1");
    well && rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#'])) && is_word(text)
}

#[cfg(feature = "ecr")]
fn is_word(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
