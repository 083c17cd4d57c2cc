//! Query parameters of a request to a registry: which ones are passed on.
//!
//! On GET and HEAD no parameter changes the repository or the action, except a mirror's namespace, and registries
//! put parameters of their own into the next page's `Link`. So all others pass. On other methods a registry acts
//! on parameters, and only those that the specification names pass, and `origin`.

use super::endpoint::RegistryEndpoint;
use super::grammar::{is_digest, is_repository_name, is_tag};
use super::malformed::MalformedReference;
use super::query::QueryParameter;
use crate::permissions::host::normalize_host;

/// Parameters of a mount (spec.md, "Mounting a blob from another repository"). A mount without a
/// source is from anywhere in some registries (zot's CreateBlobUpload).
const MOUNT_PARAMETERS: [&str; 2] = ["mount", "from"];
/// The registry of a mount's source (go-containerregistry, from 0.11.0 on).
const ORIGIN_PARAMETER: &str = "origin";
/// What a mirror's clients add to name the registry that they mean: the same path, another content.
const NAMESPACE_PARAMETER: &str = "ns";

/// Whether a key is this parameter for any reader: some ignore case, and some read `ns[]` as `ns`.
fn has_name(pair: &QueryParameter<'_>, name: &str) -> bool {
    pair.key.split('[').next().is_some_and(|base| base.eq_ignore_ascii_case(name))
}

/// Whether this is a mirror's namespace, which never reaches the registry.
pub(super) fn is_namespace_parameter(pair: &QueryParameter<'_>) -> bool {
    has_name(pair, NAMESPACE_PARAMETER)
}

/// Whether this belongs to a mount. Without a mount none of them reaches the registry.
pub(super) fn is_mount_or_origin_parameter(pair: &QueryParameter<'_>) -> bool {
    is_mount_parameter(pair) || has_name(pair, ORIGIN_PARAMETER)
}

fn is_mount_parameter(pair: &QueryParameter<'_>) -> bool {
    MOUNT_PARAMETERS.iter().any(|name| has_name(pair, name))
}

/// From where a blob is to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSource {
    /// The repository.
    pub repository: String,
    /// The host of the registry that has it; `None` if it is the one that is asked.
    pub origin: Option<String>,
}

/// The source of a mount, if the parameters ask for one. They were [checked](check).
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
/// If one must not be passed on. A malformed reference in one is no error, and is returned.
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
        // The registry made this URI itself, and put into it what it liked (spec.md, "Pushing a blob
        // in chunks": clients must use the Location as it is).
        RegistryEndpoint::Upload(_) => return check_upload_parameters(pairs).map(|()| None),
    };
    let mut malformed = None;
    for (at, pair) in pairs.iter().enumerate() {
        if pair.key == NAMESPACE_PARAMETER {
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
        let fault = match &*pair.key {
            "mount" | "digest" if !is_digest(&pair.value) => MalformedReference::digest(),
            "from" if !is_repository_name(&pair.value) => MalformedReference::mount_source(),
            "tag" if !is_tag(&pair.value) => MalformedReference::tag(),
            ORIGIN_PARAMETER if !is_authority(&pair.value) => {
                return Err("the origin of a mount is not a host");
            }
            _ => continue,
        };
        malformed.get_or_insert(fault);
    }
    Ok(malformed)
}

/// A host and perhaps a port, in the characters of which every reader makes the same.
fn is_authority(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    text.bytes().all(plain) && normalize_host(text).is_ok()
}

fn check_read_parameters(pairs: &[QueryParameter<'_>]) -> Result<(), &'static str> {
    if pairs.iter().any(is_mount_parameter) {
        return Err("a mount's parameter is none of this endpoint's");
    }
    // Some readers drop spaces at the beginning of a name, or compare names by Unicode's rules.
    if !pairs.iter().all(|pair| pair.key.bytes().all(|b| b.is_ascii_graphic())) {
        return Err("the name of a parameter is not in visible ASCII characters");
    }
    Ok(())
}

fn check_upload_parameters(pairs: &[QueryParameter<'_>]) -> Result<(), &'static str> {
    check_read_parameters(pairs)?;
    let digests = pairs.iter().filter(|pair| has_name(pair, "digest")).count();
    if digests > 1 { Err("the digest of an upload is there twice") } else { Ok(()) }
}
