//! The endpoints of the registry protocol, and the actions that each method requires.

use super::grammar::{is_digest, is_repository_name, is_tag, is_upload_id};
use super::malformed::MalformedReference;
use crate::permissions::actions::Actions;

/// The target of a request to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegistryTarget<'r> {
    /// The endpoint `/v2/`, where a client learns whether its credentials are valid.
    Ping,
    /// The list of all repositories.
    Catalog,
    /// A repository, by its name.
    Repository(&'r str),
}

/// An endpoint of the protocol, with the repository name in its path.
pub(super) enum RegistryEndpoint<'r> {
    Ping,
    Catalog,
    Manifest(&'r str),
    Blob(&'r str),
    Tags(&'r str),
    Referrers(&'r str),
    /// The endpoint that starts an upload.
    StartUpload(&'r str),
    /// An upload that was started.
    Upload(&'r str),
}

/// Parses the part of a path after `/v2/`. Returns the endpoint, and the malformed reference in the path if there is
/// one. `is_read` is true for GET and HEAD.
pub(super) fn parse_endpoint(
    rest: &str,
    is_read: bool,
) -> Option<(RegistryEndpoint<'_>, Option<MalformedReference>)> {
    match rest {
        "" => return Some((RegistryEndpoint::Ping, None)),
        "_catalog" => return Some((RegistryEndpoint::Catalog, None)),
        _ => {}
    }
    let (before, last) = rest.rsplit_once('/')?;
    let (name, kind) = before.rsplit_once('/')?;
    let unless = |is_valid: bool, malformed: MalformedReference| (!is_valid).then_some(malformed);
    let (name, endpoint, malformed): (&str, fn(_) -> _, _) = match kind {
        "tags" if last == "list" => (name, RegistryEndpoint::Tags, None),
        "manifests" => {
            let is_valid = is_tag(last) || is_digest(last);
            let malformed = MalformedReference::manifest_reference(last, is_read);
            (name, RegistryEndpoint::Manifest, unless(is_valid, malformed))
        }
        "blobs" => {
            (name, RegistryEndpoint::Blob, unless(is_digest(last), MalformedReference::blob_digest(is_read)))
        }
        "referrers" => {
            (name, RegistryEndpoint::Referrers, unless(is_digest(last), MalformedReference::digest()))
        }
        "uploads" => {
            let name = name.strip_suffix("/blobs")?;
            match last {
                "" => (name, RegistryEndpoint::StartUpload, None),
                id => {
                    let malformed = MalformedReference::upload_id(is_read);
                    (name, RegistryEndpoint::Upload, unless(is_upload_id(id), malformed))
                }
            }
        }
        _ => return None,
    };
    let malformed_name = unless(is_repository_name(name), MalformedReference::repository_name(is_read));
    Some((endpoint(name), malformed_name.or(malformed)))
}

/// Returns the target and the actions that a method requires at an endpoint, as in `appendAccessRecords` of the
/// reference implementation. Returns `None` for a method that the protocol does not define there; such a request is
/// denied.
pub(super) fn required_actions<'r>(
    endpoint: &RegistryEndpoint<'r>,
    method: &str,
) -> Option<(RegistryTarget<'r>, Actions)> {
    const WRITE: Actions = Actions::PULL.union(Actions::PUSH);
    let is_read = matches!(method, "GET" | "HEAD");
    match *endpoint {
        RegistryEndpoint::Ping => is_read.then_some((RegistryTarget::Ping, Actions::default())),
        RegistryEndpoint::Catalog => is_read.then_some((RegistryTarget::Catalog, Actions::CATALOG)),
        RegistryEndpoint::Manifest(name) | RegistryEndpoint::Blob(name) => match method {
            "GET" | "HEAD" => Some((RegistryTarget::Repository(name), Actions::PULL)),
            "DELETE" => Some((RegistryTarget::Repository(name), Actions::DELETE)),
            "PUT" if matches!(endpoint, RegistryEndpoint::Manifest(_)) => {
                Some((RegistryTarget::Repository(name), WRITE))
            }
            _ => None,
        },
        RegistryEndpoint::Tags(name) | RegistryEndpoint::Referrers(name) => {
            is_read.then_some((RegistryTarget::Repository(name), Actions::PULL))
        }
        RegistryEndpoint::StartUpload(name) => {
            (method == "POST").then_some((RegistryTarget::Repository(name), WRITE))
        }
        // DELETE cancels the upload. It deletes no stored blob, so it does not require the delete action.
        RegistryEndpoint::Upload(name) => {
            let is_defined = is_read || matches!(method, "PATCH" | "PUT" | "DELETE");
            is_defined.then_some((RegistryTarget::Repository(name), WRITE))
        }
    }
}
