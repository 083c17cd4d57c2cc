//! The strict parser for requests to a registry (OCI distribution spec, spec.md, "Endpoints").
//!
//! A registry decodes, cleans and redirects the URIs that it receives, and reads some parameters from the body.
//! Therefore this parser normalizes nothing. It rejects a URI that is not canonical, so that the registry can read an
//! accepted URI in only one way. The path is parsed from the right, where it is unambiguous: a repository can be named
//! `manifests` or `blobs/uploads`.

use super::endpoint::{RegistryEndpoint, RegistryTarget, parse_endpoint, required_actions};
use super::malformed::MalformedReference;
use super::parameters::{self, MountSource, is_mount_or_origin_parameter, is_namespace_parameter};
use super::query::{self, QueryParameter};
use crate::permissions::actions::Actions;

/// The scope for the list of all repositories in the registry token protocol.
pub(crate) const CATALOG_SCOPE: &str = "registry:catalog:*";

/// A request that follows the registry protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryRequest<'r> {
    /// The target of the request.
    pub(crate) target: RegistryTarget<'r>,
    /// The actions on the target that the request requires.
    pub(crate) required_actions: Actions,
    /// The repository that a blob is mounted from. The request requires pull on it.
    pub(crate) mount_source: Option<MountSource>,
    /// Whether there are query parameters that must not reach the registry, whatever the client is allowed to do.
    pub(crate) has_parameters_to_strip: bool,
    /// A reference that cannot exist in a registry. A request with one is never allowed.
    pub(crate) malformed_reference: Option<MalformedReference>,
    path: &'r str,
    parameters: Vec<QueryParameter<'r>>,
}

impl RegistryRequest<'_> {
    /// Returns the URI of the request without mount parameters, and without those that must never reach the registry.
    /// The registry then starts an ordinary upload. The specification requires this of a registry that cannot mount the
    /// blob, and every client continues with the upload.
    pub(crate) fn uri_without_mount(&self) -> String {
        let kept =
            |pair: &&QueryParameter<'_>| !is_namespace_parameter(pair) && !is_mount_or_origin_parameter(pair);
        query::join_path_and_parameters(self.path, self.parameters.iter().filter(kept))
    }

    /// Returns the URI of the request without the parameters that must never reach the registry.
    pub(crate) fn stripped_uri(&self) -> String {
        if self.mount_source.is_none() {
            return self.uri_without_mount();
        }
        let kept = |pair: &&QueryParameter<'_>| !is_namespace_parameter(pair);
        query::join_path_and_parameters(self.path, self.parameters.iter().filter(kept))
    }
}

/// Parses a request. The content type is checked where the registry would read parameters from a form.
///
/// # Errors
/// Returns the error message for the log and for `explain`.
pub(crate) fn parse_request<'r>(
    method: &str,
    uri: &'r str,
    content_type: &str,
) -> Result<RegistryRequest<'r>, &'static str> {
    let (path, query) = query::split_path_and_query(uri)?;
    if path.contains('%') {
        return Err("the path is percent-encoded; names, tags and digests need no encoding");
    }
    let rest = path.strip_prefix("/v2/").ok_or("the path does not begin with /v2/")?;
    let is_read = matches!(method, "GET" | "HEAD");
    let (endpoint, reference) =
        parse_endpoint(rest, is_read).ok_or("the registry protocol does not define this path")?;
    // A well-formed reference has no such segment.
    if reference.is_some() && has_empty_or_dot_segment(rest) {
        return Err("the path has an empty segment or a dot segment");
    }
    let (target, actions) =
        required_actions(&endpoint, method).ok_or("the method is not defined for this endpoint")?;
    let pairs = query::parse_parameters(query)?;
    let parameter = parameters::check_parameters(&endpoint, method, &pairs)?;
    if matches!(endpoint, RegistryEndpoint::StartUpload(_) | RegistryEndpoint::Upload(_)) {
        reject_form(content_type)?;
    }
    let malformed = reference.or(parameter);
    let source = parameters::mount_source(&endpoint, &pairs).filter(|_| malformed.is_none());
    let is_plain_upload = source.is_none() && matches!(endpoint, RegistryEndpoint::StartUpload(_));
    let has_parameters_to_strip = pairs
        .iter()
        .any(|pair| is_namespace_parameter(pair) || (is_plain_upload && is_mount_or_origin_parameter(pair)));
    Ok(RegistryRequest {
        target,
        required_actions: actions,
        mount_source: source,
        has_parameters_to_strip,
        malformed_reference: malformed,
        path,
        parameters: pairs,
    })
}

/// Returns true if a server could resolve the path to another one. An empty last segment is accepted: it is an empty
/// reference.
fn has_empty_or_dot_segment(rest: &str) -> bool {
    let (before, last) = rest.rsplit_once('/').map_or((None, rest), |(before, last)| (Some(before), last));
    let is_dots = |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b == b'.');
    is_dots(last)
        || before.is_some_and(|path| path.split('/').any(|segment| segment.is_empty() || is_dots(segment)))
}

/// Rejects a form as the body of an upload (pitfall P15). The reference implementation reads parameters from a form
/// first and then from the URI (`FormValue` of Go), and `/auth` does not receive the body.
fn reject_form(content_type: &str) -> Result<(), &'static str> {
    if !content_type.is_ascii() {
        return Err("the content type is not ASCII, so the body could be a form");
    }
    let lower = content_type.to_ascii_lowercase();
    if lower.contains("form-urlencoded") || lower.contains("multipart") {
        return Err("the body is a form, which could contain mount parameters");
    }
    Ok(())
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
