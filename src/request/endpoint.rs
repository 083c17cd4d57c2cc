//! The endpoints of the registry protocol, and what their methods take.

use super::grammar::{is_digest, is_repository_name, is_tag, is_upload_id};
use super::malformed::MalformedReference;
use crate::permissions::Actions;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryTarget<'r> {
    /// `/v2/`, by which clients find out whether their credentials are good.
    Ping,
    /// The list of all repositories.
    Catalog,
    /// One repository.
    Repository(&'r str),
}

/// One endpoint of the protocol, and the repository name in its path.
pub(super) enum RegistryEndpoint<'r> {
    Ping,
    Catalog,
    /// Manifests, blobs, tags, referrers: what is read under a name.
    Manifest(&'r str),
    Blob(&'r str),
    Tags(&'r str),
    Referrers(&'r str),
    /// Where an upload begins.
    StartUpload(&'r str),
    /// One upload.
    Upload(&'r str),
}

/// The endpoint of a path, and the malformed reference in it, if there is one.
pub(super) fn parse_endpoint(
    rest: &str,
    reads: bool,
) -> Option<(RegistryEndpoint<'_>, Option<MalformedReference>)> {
    match rest {
        "" => return Some((RegistryEndpoint::Ping, None)),
        "_catalog" => return Some((RegistryEndpoint::Catalog, None)),
        _ => {}
    }
    let (before, last) = rest.rsplit_once('/')?;
    let (name, kind) = before.rsplit_once('/')?;
    let fault = |is_well: bool, malformed: MalformedReference| (!is_well).then_some(malformed);
    let (name, endpoint, malformed): (&str, fn(_) -> _, _) = match kind {
        "tags" if last == "list" => (name, RegistryEndpoint::Tags, None),
        "manifests" => {
            let is_well = is_tag(last) || is_digest(last);
            (
                name,
                RegistryEndpoint::Manifest,
                fault(is_well, MalformedReference::manifest_reference(last, reads)),
            )
        }
        "blobs" => {
            (name, RegistryEndpoint::Blob, fault(is_digest(last), MalformedReference::blob_digest(reads)))
        }
        "referrers" => {
            (name, RegistryEndpoint::Referrers, fault(is_digest(last), MalformedReference::digest()))
        }
        "uploads" => {
            let name = name.strip_suffix("/blobs")?;
            match last {
                "" => (name, RegistryEndpoint::StartUpload, None),
                id => (
                    name,
                    RegistryEndpoint::Upload,
                    fault(is_upload_id(id), MalformedReference::upload_id(reads)),
                ),
            }
        }
        _ => return None,
    };
    Some((
        endpoint(name),
        fault(is_repository_name(name), MalformedReference::repository_name(reads)).or(malformed),
    ))
}

/// What an endpoint's method takes, as the reference implementation has it (its `appendAccessRecords`).
/// A method that is not here has no meaning there, and what has no meaning is not let through.
pub(super) fn required_actions<'r>(
    endpoint: &RegistryEndpoint<'r>,
    method: &str,
) -> Option<(RegistryTarget<'r>, Actions)> {
    const WRITE: Actions = Actions::PULL.union(Actions::PUSH);
    let read = matches!(method, "GET" | "HEAD");
    match *endpoint {
        RegistryEndpoint::Ping => read.then_some((RegistryTarget::Ping, Actions::default())),
        RegistryEndpoint::Catalog => read.then_some((RegistryTarget::Catalog, Actions::CATALOG)),
        RegistryEndpoint::Manifest(name) | RegistryEndpoint::Blob(name) => match method {
            "GET" | "HEAD" => Some((RegistryTarget::Repository(name), Actions::PULL)),
            "DELETE" => Some((RegistryTarget::Repository(name), Actions::DELETE)),
            "PUT" if matches!(endpoint, RegistryEndpoint::Manifest(_)) => {
                Some((RegistryTarget::Repository(name), WRITE))
            }
            _ => None,
        },
        RegistryEndpoint::Tags(name) | RegistryEndpoint::Referrers(name) => {
            read.then_some((RegistryTarget::Repository(name), Actions::PULL))
        }
        RegistryEndpoint::StartUpload(name) => {
            (method == "POST").then_some((RegistryTarget::Repository(name), WRITE))
        }
        // To cancel an upload deletes nothing that was there.
        RegistryEndpoint::Upload(name) => {
            let known = read || matches!(method, "PATCH" | "PUT" | "DELETE");
            known.then_some((RegistryTarget::Repository(name), WRITE))
        }
    }
}
