//! The URI that the registry is asked for.

use super::denial::PolicyDenial;
use crate::request::registry::RegistryRequest;

/// The URI to ask the backend for instead, if it has to be another; `mount` says whether the source of a mount
/// may be pulled. A request that no registry must see is refused here, by whatever credentials it is permitted.
pub(super) fn rewrite_upstream_uri(
    asked: &RegistryRequest<'_>,
    host: &str,
    mount: Result<(), Box<PolicyDenial>>,
    rewrites: bool,
) -> Result<Option<String>, Box<PolicyDenial>> {
    let unreadable = |why| Box::new(PolicyDenial { request_error: Some(why), ..PolicyDenial::default() });
    if let Some(malformed) = asked.malformed_reference {
        return Err(Box::new(PolicyDenial::for_malformed_reference(malformed)));
    }
    // At another registry the same name is another repository, which nobody judged.
    let origin = asked.mount_source.as_ref().and_then(|source| source.origin.as_deref());
    let mount = match origin {
        Some(origin) if origin != host => Err(unreadable("the mount's origin is another registry")),
        Some(_) | None => mount,
    };
    match (mount.err(), asked.has_parameters_to_strip, rewrites) {
        (None, false, _) => Ok(None),
        (None, true, true) => Ok(Some(asked.stripped_uri())),
        // The spec has a registry begin an ordinary upload where it can't mount.
        (Some(_), _, true) => Ok(Some(asked.uri_without_mount())),
        (Some(refused), _, false) => Err(refused),
        (None, true, false) => {
            Err(unreadable("a parameter must not reach the registry, and the proxy does not take it away"))
        }
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
        let at = |origin: &str, rewrites: bool| {
            let uri = uri(origin);
            let asked = parse_request("POST", &uri, "").map_err(str::to_owned)?;
            rewrite_upstream_uri(&asked, "registry.test", Ok(()), rewrites)
                .map_err(|refused| refused.request_error.unwrap_or_default().to_owned())
        };
        for origin in
            ["origin=registry.test", "origin=Registry.Test:5000", "%6Frigin=registry.test%3A443", "x"]
        {
            let passes = at(origin, true);
            if origin == "x" {
                assert!(passes.is_err(), "{origin}");
            } else {
                assert_eq!(passes, Ok(None), "{origin}");
                assert_eq!(at(origin, false), Ok(None), "{origin}");
            }
        }
        // Elsewhere the same name is another repository: an ordinary upload.
        for origin in ["origin=gcr.io", "origin=registry.test.evil.example", "origin=127.0.0.1:5000"] {
            assert_eq!(at(origin, true), Ok(Some(UPLOADS.to_owned())), "{origin}");
            assert!(at(origin, false).is_err(), "{origin}");
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
            assert!(at(origin, true).is_err(), "{origin}");
        }
    }
}
