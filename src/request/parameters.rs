//! Checks of the query parameters of a request to a registry.
//!
//! With GET and HEAD, only the namespace parameter of mirrors changes the repository. All other parameters are
//! accepted, because registries add their own to the `Link` of the next page. With other methods a registry acts on
//! parameters. There, only those of the specification are accepted, and `origin`.

use super::endpoint::RegistryEndpoint;
use super::grammar::{is_digest, is_repository_name, is_tag};
use super::malformed::MalformedReference;
use super::query::QueryParameter;
use crate::permissions::host::normalize_host;

/// The parameters of a mount (spec.md, "Mounting a blob from another repository"). If a mount has no source, some
/// registries take the blob from any repository (zot, `CreateBlobUpload`).
const MOUNT_PARAMETERS: [&str; 2] = ["mount", "from"];
/// The parameter for the registry of the mount source (go-containerregistry, since 0.11.0).
const ORIGIN_PARAMETER: &str = "origin";
/// The parameter by which clients of a mirror name the original registry. It selects other content for the same path.
const NAMESPACE_PARAMETER: &str = "ns";

/// Returns true if any server could read the key as this parameter. Some ignore case, and some read `ns[]` as `ns`.
fn has_name(pair: &QueryParameter<'_>, name: &str) -> bool {
    pair.key.split('[').next().is_some_and(|base| base.eq_ignore_ascii_case(name))
}

/// Returns true for the namespace parameter of mirrors, which must never reach the registry.
pub(super) fn is_namespace_parameter(pair: &QueryParameter<'_>) -> bool {
    has_name(pair, NAMESPACE_PARAMETER)
}

/// Returns true for a parameter of a mount. Without a mount, none of them must reach the registry.
pub(super) fn is_mount_or_origin_parameter(pair: &QueryParameter<'_>) -> bool {
    is_mount_parameter(pair) || has_name(pair, ORIGIN_PARAMETER)
}

fn is_mount_parameter(pair: &QueryParameter<'_>) -> bool {
    MOUNT_PARAMETERS.iter().any(|name| has_name(pair, name))
}

/// The repository from which a blob is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountSource {
    /// The name of the repository.
    pub(crate) repository: String,
    /// The host of its registry; `None` for the registry that receives the request.
    pub(crate) origin: Option<String>,
}

/// Returns the source of a mount, if the parameters request a mount with a source. [`check_parameters`] must accept
/// them first.
pub(super) fn mount_source(
    endpoint: &RegistryEndpoint<'_>,
    pairs: &[QueryParameter<'_>],
) -> Option<MountSource> {
    let value = |key: &str| pairs.iter().find(|pair| pair.key == key).map(|pair| &*pair.value);
    match (endpoint, value("mount"), value("from")) {
        (RegistryEndpoint::StartUpload(_), Some(_), Some(from)) => Some(MountSource {
            repository: from.to_owned(),
            origin: value(ORIGIN_PARAMETER)
                .and_then(|origin| normalize_host(origin).ok())
                .map(std::borrow::Cow::into_owned),
        }),
        _ => None,
    }
}

/// Checks the parameters of a request.
///
/// # Errors
/// Returns an error if a parameter is not accepted. A malformed reference is not an error: it is returned as a value.
pub(super) fn check_parameters(
    endpoint: &RegistryEndpoint<'_>,
    method: &str,
    pairs: &[QueryParameter<'_>],
) -> Result<Option<MalformedReference>, &'static str> {
    if matches!(method, "GET" | "HEAD") {
        return check_read_parameters(pairs).map(|()| None);
    }
    let known: &[&str] = match endpoint {
        RegistryEndpoint::Ping
        | RegistryEndpoint::Blob(_)
        | RegistryEndpoint::Catalog
        | RegistryEndpoint::Tags(_)
        | RegistryEndpoint::Referrers(_) => &[],
        RegistryEndpoint::Manifest(_) if method == "PUT" => &["tag"],
        RegistryEndpoint::Manifest(_) => &[],
        RegistryEndpoint::StartUpload(_) => {
            &["mount", "from", "digest", "digest-algorithm", ORIGIN_PARAMETER]
        }
        // The registry created this URI, and can add parameters of its own. Clients must use the Location unchanged
        // (spec.md, "Pushing a blob in chunks").
        RegistryEndpoint::Upload(_) => return check_upload_parameters(pairs).map(|()| None),
    };
    let mut malformed = None;
    for (at, pair) in pairs.iter().enumerate() {
        if pair.key == NAMESPACE_PARAMETER {
            continue;
        }
        if !known.contains(&&*pair.key) {
            return Err("a query parameter is not defined for this endpoint");
        }
        // Only manifests have several tags in one request. For other parameters, servers differ in whether they use
        // the first or the last value.
        let repeated = pairs.iter().take(at).any(|other| other.key == pair.key);
        if repeated && pair.key != "tag" {
            return Err("a query parameter is repeated");
        }
        let reference = match &*pair.key {
            "mount" | "digest" if !is_digest(&pair.value) => MalformedReference::digest(),
            "from" if !is_repository_name(&pair.value) => MalformedReference::mount_source(),
            "tag" if !is_tag(&pair.value) => MalformedReference::tag(),
            ORIGIN_PARAMETER if !is_authority(&pair.value) => {
                return Err("the origin of a mount is not a host");
            }
            _ => continue,
        };
        malformed.get_or_insert(reference);
    }
    Ok(malformed)
}

/// Returns true for a host with an optional port, if all characters have only one meaning in every URL parser.
fn is_authority(text: &str) -> bool {
    let is_unambiguous =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    text.bytes().all(is_unambiguous) && normalize_host(text).is_ok()
}

fn check_read_parameters(pairs: &[QueryParameter<'_>]) -> Result<(), &'static str> {
    if pairs.iter().any(is_mount_parameter) {
        return Err("a mount parameter is not defined for this endpoint");
    }
    // Some servers drop spaces at the start of a name, or compare names by Unicode rules.
    if !pairs.iter().all(|pair| pair.key.bytes().all(|b| b.is_ascii_graphic())) {
        return Err("the name of a query parameter has a space or a character outside visible ASCII");
    }
    Ok(())
}

fn check_upload_parameters(pairs: &[QueryParameter<'_>]) -> Result<(), &'static str> {
    check_read_parameters(pairs)?;
    let digests = pairs.iter().filter(|pair| has_name(pair, "digest")).count();
    if digests > 1 { Err("the digest parameter of an upload is repeated") } else { Ok(()) }
}
