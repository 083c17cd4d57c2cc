//! What a request to a registry would do there: the grammar of the OCI distribution spec (spec.md,
//! "Endpoints"), read as strictly as it is written.
//!
//! The registry decodes, cleans and redirects what it is sent, and reads some parameters from the
//! body too. So nothing is normalised here: what is not canonical is refused, and what is let
//! through is what the registry will do. The path is read from the right, where it is unambiguous: a
//! repository may itself be called `manifests` or `blobs/uploads`.

pub use super::endpoint::RegistryTarget;
use super::endpoint::{RegistryEndpoint, parse_endpoint, required_actions};
use super::malformed::MalformedReference;
use super::parameters::{self, MountSource, is_mount_or_origin_parameter, is_namespace_parameter};
use super::query::{self, QueryParameter};
use crate::permissions::Actions;

/// The scope of the list of all repositories, as the registry token protocol writes it.
pub const CATALOG_SCOPE: &str = "registry:catalog:*";

/// What a request would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRequest<'r> {
    /// What it is about.
    pub target: RegistryTarget<'r>,
    /// All that it takes there.
    pub required_actions: Actions,
    /// From where a blob is to be mounted, which takes a pull there.
    pub mount_source: Option<MountSource>,
    /// Parameters that must not reach the registry, whoever asks.
    pub has_parameters_to_strip: bool,
    /// A reference that no registry can have. Such a request is never passed on.
    pub malformed_reference: Option<MalformedReference>,
    path: &'r str,
    parameters: Vec<QueryParameter<'r>>,
}

impl RegistryRequest<'_> {
    /// The request's URI without the mount, and without what must never be passed on. A registry
    /// then begins an ordinary upload, which is what the spec has it do with a mount that it can't
    /// make; every client goes on with it.
    pub fn uri_without_mount(&self) -> String {
        let kept =
            |pair: &&QueryParameter<'_>| !is_namespace_parameter(pair) && !is_mount_or_origin_parameter(pair);
        query::join_path_and_parameters(self.path, self.parameters.iter().filter(kept))
    }

    /// The request's URI without what must never be passed on.
    pub fn stripped_uri(&self) -> String {
        if self.mount_source.is_none() {
            return self.uri_without_mount();
        }
        let kept = |pair: &&QueryParameter<'_>| !is_namespace_parameter(pair);
        query::join_path_and_parameters(self.path, self.parameters.iter().filter(kept))
    }
}

/// Reads one request. `content_type` matters where the registry would read parameters from a form.
///
/// # Errors
/// What is wrong with it, for the log and for `explain`.
pub fn parse_request<'r>(
    method: &str,
    uri: &'r str,
    content_type: &str,
) -> Result<RegistryRequest<'r>, &'static str> {
    let (path, query) = query::split_path_and_query(uri)?;
    if path.contains('%') {
        return Err("the path is encoded; names, tags and digests need no encoding");
    }
    let rest = path.strip_prefix("/v2/").ok_or("the path does not begin with /v2/")?;
    let reads = matches!(method, "GET" | "HEAD");
    let (endpoint, reference) =
        parse_endpoint(rest, reads).ok_or("the path is none of the registry protocol's")?;
    // No well-formed reference has such a segment.
    if reference.is_some() && has_empty_or_dot_segment(rest) {
        return Err("the path has an empty segment, or one of dots");
    }
    let (target, actions) =
        required_actions(&endpoint, method).ok_or("the method is not one of this endpoint's")?;
    let pairs = query::parse_parameters(query)?;
    let parameter = parameters::check_parameters(&endpoint, method, &pairs)?;
    if matches!(endpoint, RegistryEndpoint::StartUpload(_) | RegistryEndpoint::Upload(_)) {
        reject_form(content_type)?;
    }
    let malformed = reference.or(parameter);
    let source = parameters::mount_source(&endpoint, &pairs).filter(|_| malformed.is_none());
    let alone = source.is_none() && matches!(endpoint, RegistryEndpoint::StartUpload(_));
    let strip = pairs
        .iter()
        .any(|pair| is_namespace_parameter(pair) || (alone && is_mount_or_origin_parameter(pair)));
    Ok(RegistryRequest {
        target,
        required_actions: actions,
        mount_source: source,
        has_parameters_to_strip: strip,
        malformed_reference: malformed,
        path,
        parameters: pairs,
    })
}

/// Whether a path could be resolved to another one. The last segment may be empty: there is no reference then.
fn has_empty_or_dot_segment(rest: &str) -> bool {
    let (before, last) = rest.rsplit_once('/').map_or((None, rest), |(before, last)| (Some(before), last));
    let is_dots = |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b == b'.');
    is_dots(last) || before.is_some_and(|path| path.split('/').any(|one| one.is_empty() || is_dots(one)))
}

/// A form's fields count as parameters for the reference implementation (Go's `FormValue`), before
/// those of the URI, and no service behind nginx sees the body.
fn reject_form(content_type: &str) -> Result<(), &'static str> {
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
