//! What a request to a registry would do there: the grammar of the OCI distribution spec (spec.md,
//! "Endpoints"), read as strictly as it is written.
//!
//! The registry decodes, cleans and redirects what it is sent, and reads some parameters from the
//! body too. So nothing is normalised here: what is not canonical is refused, and what is let
//! through is what the registry will do. The path is read from the right, where it is unambiguous: a
//! repository may itself be called `manifests` or `blobs/uploads`.

use super::grammar::{is_digest, is_name, is_tag, is_upload};
use super::query::{self, Pair};
use super::rules::Refused;
use crate::rights::Actions;

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
    /// The repository from which a blob is to be mounted, which takes a pull there.
    pub source: Option<String>,
    /// Parameters that must not reach the registry, whoever asks.
    pub strip: bool,
    path: &'r str,
    pairs: Vec<Pair<'r>>,
}

/// Parameters of a mount (spec.md, "Mounting a blob from another repository"). A mount without a
/// source is from anywhere in some registries (zot's CreateBlobUpload).
const MOUNT: [&str; 2] = ["mount", "from"];
/// What a mirror's clients add to name the registry that they mean: the same path, another content.
const NAMESPACE: &str = "ns";

impl Asked<'_> {
    /// The request's URI without the mount, and without what must never be passed on. A registry
    /// then begins an ordinary upload, which is what the spec has it do with a mount that it can't
    /// make; every client goes on with it.
    pub fn without_mount(&self) -> String {
        let kept = |pair: &&Pair<'_>| pair.key != NAMESPACE && !MOUNT.contains(&&*pair.key);
        query::join(self.path, self.pairs.iter().filter(kept))
    }

    /// The request's URI without what must never be passed on.
    pub fn stripped(&self) -> String {
        let alone = self.source.is_none();
        let kept = |pair: &&Pair<'_>| pair.key != NAMESPACE && !(alone && MOUNT.contains(&&*pair.key));
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
    let endpoint = endpoint(rest).ok_or("the path is none of the registry protocol's")?;
    let (target, actions) = needs(&endpoint, method).ok_or("the method is not one of this endpoint's")?;
    let pairs = query::pairs(query)?;
    check_parameters(&endpoint, method, &pairs)?;
    let starts = matches!(endpoint, Endpoint::Uploads(_));
    if starts || matches!(endpoint, Endpoint::Upload(_)) {
        refuse_form(content_type)?;
    }
    let value = |key: &str| pairs.iter().find(|pair| pair.key == key).map(|pair| &*pair.value);
    let source = match (value("mount"), value("from")) {
        (Some(_), Some(from)) => Some(from.to_owned()),
        _ => None,
    };
    let strip = pairs.iter().any(|pair| pair.key == NAMESPACE)
        || (source.is_none() && pairs.iter().any(|pair| MOUNT.contains(&&*pair.key)));
    Ok(Asked { target, actions, source, strip, path, pairs })
}

enum Endpoint<'r> {
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

fn endpoint(rest: &str) -> Option<Endpoint<'_>> {
    match rest {
        "" => return Some(Endpoint::Ping),
        "_catalog" => return Some(Endpoint::Catalog),
        _ => {}
    }
    let (before, last) = rest.rsplit_once('/')?;
    let (name, kind) = before.rsplit_once('/')?;
    let (name, endpoint): (&str, fn(_) -> _) = match kind {
        "tags" if last == "list" => (name, Endpoint::Tags),
        "manifests" if is_tag(last) || is_digest(last) => (name, Endpoint::Manifest),
        "blobs" if is_digest(last) => (name, Endpoint::Blob),
        "referrers" if is_digest(last) => (name, Endpoint::Referrers),
        "uploads" => {
            let name = name.strip_suffix("/blobs")?;
            match last {
                "" => (name, Endpoint::Uploads),
                id if is_upload(id) => (name, Endpoint::Upload),
                _ => return None,
            }
        }
        _ => return None,
    };
    is_name(name).then(|| endpoint(name))
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

fn check_parameters(endpoint: &Endpoint<'_>, method: &str, pairs: &[Pair<'_>]) -> Result<(), &'static str> {
    let known: &[&str] = match endpoint {
        Endpoint::Ping | Endpoint::Blob(_) => &[],
        Endpoint::Catalog | Endpoint::Tags(_) => &["n", "last"],
        Endpoint::Referrers(_) => &["artifactType", "n", "last"],
        Endpoint::Manifest(_) if method == "PUT" => &["tag"],
        Endpoint::Manifest(_) => &[],
        Endpoint::Uploads(_) => &["mount", "from", "digest", "digest-algorithm"],
        // The registry made this URI itself, and put into it what it liked (spec.md, "Pushing a blob
        // in chunks": clients must use the Location as it is).
        Endpoint::Upload(_) => return check_upload(pairs),
    };
    for (at, pair) in pairs.iter().enumerate() {
        if pair.key == NAMESPACE {
            continue;
        }
        if !known.contains(&&*pair.key) {
            return Err("a parameter is none of this endpoint's");
        }
        // Only manifests take several tags at once. Otherwise one reader takes the first and another the last.
        let repeated = pairs.iter().take(at).any(|other| other.key == pair.key);
        if repeated && pair.key != "tag" {
            return Err("a parameter is there twice");
        }
        let well = match &*pair.key {
            "mount" | "digest" => is_digest(&pair.value),
            "from" => is_name(&pair.value),
            "tag" => is_tag(&pair.value),
            _ => true,
        };
        if !well {
            return Err("the value of a parameter is not what the registry protocol takes there");
        }
    }
    Ok(())
}

fn check_upload(pairs: &[Pair<'_>]) -> Result<(), &'static str> {
    let mounts = pairs.iter().any(|pair| MOUNT.contains(&&*pair.key));
    let digests = pairs.iter().filter(|pair| pair.key == "digest").count();
    if mounts || digests > 1 { Err("a parameter is none of an upload's, or there twice") } else { Ok(()) }
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

/// The URI to ask the backend for instead, if it has to be another; `mount` says whether the source of a mount
/// may be pulled.
pub(super) fn backend_uri(
    asked: &Asked<'_>,
    mount: Result<(), Box<Refused>>,
    rewrites: bool,
) -> Result<Option<String>, Box<Refused>> {
    match (mount.err(), asked.strip, rewrites) {
        (None, false, _) => Ok(None),
        (None, true, true) => Ok(Some(asked.stripped())),
        // The spec has a registry begin an ordinary upload where it can't mount.
        (Some(_), _, true) => Ok(Some(asked.without_mount())),
        (Some(refused), _, false) => Err(refused),
        (None, true, false) => {
            let unreadable = "a parameter must not reach the registry, and the proxy does not take it away";
            Err(Box::new(Refused { unreadable: Some(unreadable), ..Refused::default() }))
        }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
