//! The URI that the registry receives.

use super::denial::PolicyDenial;
use crate::request::registry::RegistryRequest;

/// Returns the URI that the registry must receive, if it differs from the client's URI. `mount` is the decision on the
/// pull from the mount source. `can_rewrite` is true if the proxy sends the returned URI to the registry.
///
/// # Errors
/// Denies a request that no registry must receive, whether the credentials are a password, an API key or a token.
pub(super) fn rewrite_upstream_uri(
    request: &RegistryRequest<'_>,
    host: &str,
    mount: Result<(), Box<PolicyDenial>>,
    can_rewrite: bool,
) -> Result<Option<String>, Box<PolicyDenial>> {
    let request_error =
        |message| Box::new(PolicyDenial { request_error: Some(message), ..PolicyDenial::default() });
    if let Some(malformed) = request.malformed_reference {
        return Err(Box::new(PolicyDenial::for_malformed_reference(malformed)));
    }
    // At another registry the same name is another repository, which the policy did not evaluate.
    let origin = request.mount_source.as_ref().and_then(|source| source.origin.as_deref());
    let mount = match origin {
        Some(origin) if origin != host => Err(request_error("the origin of the mount is another registry")),
        Some(_) | None => mount,
    };
    match (mount.err(), request.has_parameters_to_strip, can_rewrite) {
        (None, false, _) => Ok(None),
        (None, true, true) => Ok(Some(request.stripped_uri())),
        // Without the mount parameters the registry starts an ordinary upload, as the specification requires if it
        // cannot mount the blob.
        (Some(_), _, true) => Ok(Some(request.uri_without_mount())),
        (Some(denial), _, false) => Err(denial),
        (None, true, false) => Err(request_error(
            "a query parameter must not reach the registry, and the proxy does not rewrite URIs",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::registry::parse_request;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

    #[test]
    fn mount_origin_is_accepted_only_for_the_same_registry_field_c13() {
        let uri = |origin: &str| format!("{UPLOADS}?from=b&mount={DIGEST}&{origin}");
        let rewrite = |origin: &str, can_rewrite: bool| {
            let uri = uri(origin);
            let request = parse_request("POST", &uri, "").map_err(str::to_owned)?;
            rewrite_upstream_uri(&request, "registry.test", Ok(()), can_rewrite)
                .map_err(|denial| denial.request_error.unwrap_or_default().to_owned())
        };
        for origin in
            ["origin=registry.test", "origin=Registry.Test:5000", "%6Frigin=registry.test%3A443", "x"]
        {
            let result = rewrite(origin, true);
            if origin == "x" {
                assert!(result.is_err(), "{origin}");
            } else {
                assert_eq!(result, Ok(None), "{origin}");
                assert_eq!(rewrite(origin, false), Ok(None), "{origin}");
            }
        }
        // A mount from another registry becomes an ordinary upload.
        for origin in ["origin=gcr.io", "origin=registry.test.evil.example", "origin=127.0.0.1:5000"] {
            assert_eq!(rewrite(origin, true), Ok(Some(UPLOADS.to_owned())), "{origin}");
            assert!(rewrite(origin, false).is_err(), "{origin}");
        }
        for origin in [
            "origin=registry.test&origin=gcr.io",
            "origin=registry.test&%6frigin=gcr.io",
            "origin=registry.test&Origin=gcr.io",
            "origin=",
            "origin=registry.test:5000@gcr.io",
            "origin=registry.test/gcr.io",
            "origin=registry.test%00",
        ] {
            assert!(rewrite(origin, true).is_err(), "{origin}");
        }
    }
}
