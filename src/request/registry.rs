//! What a request to a registry would do there: the grammar of the OCI distribution spec (spec.md,
//! "Endpoints"), read as strictly as it is written.
//!
//! The registry decodes, cleans and redirects what it is sent, and reads some parameters from the
//! body too. So nothing is normalised here: what is not canonical is refused, and what is let
//! through is what the registry will do. The path is read from the right, where it is unambiguous: a
//! repository may itself be called `manifests` or `blobs/uploads`.

use super::grammar::{is_digest, is_name, is_tag, is_upload};
use super::malformed::Malformed;
use super::parameters::{self, MountSource, is_namespace, is_of_mount};
use super::query::{self, Pair};
use crate::permissions::Actions;

/// The scope of the list of all repositories, as the registry token protocol writes it.
pub const CATALOG_SCOPE: &str = "registry:catalog:*";

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'r> {
    /// `/v2/`, by which clients find out whether their credentials are good.
    Ping,
    /// The list of all repositories.
    Catalog,
    /// One repository.
    Repository(&'r str),
}

/// What a request would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'r> {
    /// What it is about.
    pub target: Target<'r>,
    /// All that it takes there.
    pub actions: Actions,
    /// From where a blob is to be mounted, which takes a pull there.
    pub source: Option<MountSource>,
    /// Parameters that must not reach the registry, whoever asks.
    pub strip: bool,
    /// A reference that no registry can have. Such a request is never passed on.
    pub malformed: Option<Malformed>,
    path: &'r str,
    pairs: Vec<Pair<'r>>,
}

impl Asked<'_> {
    /// The request's URI without the mount, and without what must never be passed on. A registry
    /// then begins an ordinary upload, which is what the spec has it do with a mount that it can't
    /// make; every client goes on with it.
    pub fn without_mount(&self) -> String {
        let kept = |pair: &&Pair<'_>| !is_namespace(pair) && !is_of_mount(pair);
        query::join(self.path, self.pairs.iter().filter(kept))
    }

    /// The request's URI without what must never be passed on.
    pub fn stripped(&self) -> String {
        if self.source.is_none() {
            return self.without_mount();
        }
        let kept = |pair: &&Pair<'_>| !is_namespace(pair);
        query::join(self.path, self.pairs.iter().filter(kept))
    }
}

/// Reads one request. `content_type` matters where the registry would read parameters from a form.
///
/// # Errors
/// What is wrong with it, for the log and for `explain`.
pub fn read<'r>(method: &str, uri: &'r str, content_type: &str) -> Result<Asked<'r>, &'static str> {
    let (path, query) = query::split(uri)?;
    if path.contains('%') {
        return Err("the path is encoded; names, tags and digests need no encoding");
    }
    let rest = path.strip_prefix("/v2/").ok_or("the path does not begin with /v2/")?;
    let reads = matches!(method, "GET" | "HEAD");
    let (endpoint, reference) = endpoint(rest, reads).ok_or("the path is none of the registry protocol's")?;
    // No well-formed reference has such a segment.
    if reference.is_some() && has_empty_or_dot_segment(rest) {
        return Err("the path has an empty segment, or one of dots");
    }
    let (target, actions) = needs(&endpoint, method).ok_or("the method is not one of this endpoint's")?;
    let pairs = query::pairs(query)?;
    let parameter = parameters::check(&endpoint, method, &pairs)?;
    if matches!(endpoint, Endpoint::Uploads(_) | Endpoint::Upload(_)) {
        refuse_form(content_type)?;
    }
    let malformed = reference.or(parameter);
    let source = parameters::source(&endpoint, &pairs).filter(|_| malformed.is_none());
    let alone = source.is_none() && matches!(endpoint, Endpoint::Uploads(_));
    let strip = pairs.iter().any(|pair| is_namespace(pair) || (alone && is_of_mount(pair)));
    Ok(Asked { target, actions, source, strip, malformed, path, pairs })
}

/// Whether a path could be resolved to another one. The last segment may be empty: there is no reference then.
fn has_empty_or_dot_segment(rest: &str) -> bool {
    let (before, last) = rest.rsplit_once('/').map_or((None, rest), |(before, last)| (Some(before), last));
    let is_dots = |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b == b'.');
    is_dots(last) || before.is_some_and(|path| path.split('/').any(|one| one.is_empty() || is_dots(one)))
}

/// One endpoint of the protocol, and the repository name in its path.
pub(super) enum Endpoint<'r> {
    Ping,
    Catalog,
    /// Manifests, blobs, tags, referrers: what is read under a name.
    Manifest(&'r str),
    Blob(&'r str),
    Tags(&'r str),
    Referrers(&'r str),
    /// Where an upload begins.
    Uploads(&'r str),
    /// One upload.
    Upload(&'r str),
}

/// The endpoint of a path, and the malformed reference in it, if there is one.
fn endpoint(rest: &str, reads: bool) -> Option<(Endpoint<'_>, Option<Malformed>)> {
    match rest {
        "" => return Some((Endpoint::Ping, None)),
        "_catalog" => return Some((Endpoint::Catalog, None)),
        _ => {}
    }
    let (before, last) = rest.rsplit_once('/')?;
    let (name, kind) = before.rsplit_once('/')?;
    let fault = |is_well: bool, malformed: Malformed| (!is_well).then_some(malformed);
    let (name, endpoint, malformed): (&str, fn(_) -> _, _) = match kind {
        "tags" if last == "list" => (name, Endpoint::Tags, None),
        "manifests" => {
            let is_well = is_tag(last) || is_digest(last);
            (name, Endpoint::Manifest, fault(is_well, Malformed::manifest(last, reads)))
        }
        "blobs" => (name, Endpoint::Blob, fault(is_digest(last), Malformed::blob(reads))),
        "referrers" => (name, Endpoint::Referrers, fault(is_digest(last), Malformed::digest())),
        "uploads" => {
            let name = name.strip_suffix("/blobs")?;
            match last {
                "" => (name, Endpoint::Uploads, None),
                id => (name, Endpoint::Upload, fault(is_upload(id), Malformed::upload(reads))),
            }
        }
        _ => return None,
    };
    Some((endpoint(name), fault(is_name(name), Malformed::name(reads)).or(malformed)))
}

/// What an endpoint's method takes, as the reference implementation has it (its `appendAccessRecords`).
/// A method that is not here has no meaning there, and what has no meaning is not let through.
fn needs<'r>(endpoint: &Endpoint<'r>, method: &str) -> Option<(Target<'r>, Actions)> {
    const WRITE: Actions = Actions::PULL.and(Actions::PUSH);
    let read = matches!(method, "GET" | "HEAD");
    match *endpoint {
        Endpoint::Ping => read.then_some((Target::Ping, Actions::default())),
        Endpoint::Catalog => read.then_some((Target::Catalog, Actions::CATALOG)),
        Endpoint::Manifest(name) | Endpoint::Blob(name) => match method {
            "GET" | "HEAD" => Some((Target::Repository(name), Actions::PULL)),
            "DELETE" => Some((Target::Repository(name), Actions::DELETE)),
            "PUT" if matches!(endpoint, Endpoint::Manifest(_)) => Some((Target::Repository(name), WRITE)),
            _ => None,
        },
        Endpoint::Tags(name) | Endpoint::Referrers(name) => {
            read.then_some((Target::Repository(name), Actions::PULL))
        }
        Endpoint::Uploads(name) => (method == "POST").then_some((Target::Repository(name), WRITE)),
        // To cancel an upload deletes nothing that was there.
        Endpoint::Upload(name) => {
            let known = read || matches!(method, "PATCH" | "PUT" | "DELETE");
            known.then_some((Target::Repository(name), WRITE))
        }
    }
}

/// A form's fields count as parameters for the reference implementation (Go's `FormValue`), before
/// those of the URI, and no service behind nginx sees the body.
fn refuse_form(content_type: &str) -> Result<(), &'static str> {
    if !content_type.is_ascii() {
        return Err("the content type is not ASCII, and so can't be told from a form's");
    }
    let lower = content_type.to_ascii_lowercase();
    if lower.contains("form-urlencoded") || lower.contains("multipart") {
        return Err("the body is a form, in which a mount could be hidden");
    }
    Ok(())
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
