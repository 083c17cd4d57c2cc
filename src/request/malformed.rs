//! Malformed references: repository names, tags, digests and upload ids that cannot exist in a registry. A request with
//! one is rejected with the error code of the OCI distribution spec, so that the proxy can respond like a registry.

/// An error code of the specification (spec.md, "Error Codes") for a malformed reference. It is the value of
/// `X-Auth-Error`.
///
/// The list is closed: the proxy's configuration maps each code to a status and a body. The status of codes that end
/// in `_UNKNOWN` is 404, and 400 for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryErrorCode {
    /// The blob does not exist.
    BlobUnknown,
    /// The upload id is invalid.
    BlobUploadInvalid,
    /// The upload does not exist.
    BlobUploadUnknown,
    /// The digest is invalid.
    DigestInvalid,
    /// The reference of a manifest is invalid.
    ManifestInvalid,
    /// The manifest does not exist.
    ManifestUnknown,
    /// The repository name is invalid.
    NameInvalid,
    /// The repository does not exist.
    NameUnknown,
}

impl RegistryErrorCode {
    /// Every code.
    pub const ALL: &[Self] = &[
        Self::BlobUnknown,
        Self::BlobUploadInvalid,
        Self::BlobUploadUnknown,
        Self::DigestInvalid,
        Self::ManifestInvalid,
        Self::ManifestUnknown,
        Self::NameInvalid,
        Self::NameUnknown,
    ];

    /// Returns the code in the form of the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
        }
    }
}

/// The malformed reference of a request that otherwise follows the registry protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedReference {
    /// The error code of the specification.
    pub(crate) code: RegistryErrorCode,
    /// The error message for the log and for `explain`.
    pub(crate) message: &'static str,
}

impl MalformedReference {
    /// Creates the error for a repository name. `is_read` is true for GET and HEAD, where a name that cannot exist is
    /// reported as not found.
    pub(super) fn repository_name(is_read: bool) -> Self {
        let code = if is_read { RegistryErrorCode::NameUnknown } else { RegistryErrorCode::NameInvalid };
        Self { code, message: "the repository name is malformed" }
    }

    /// Creates the error for the tag or digest of a manifest.
    pub(super) fn manifest_reference(reference: &str, is_read: bool) -> Self {
        let is_digest = reference.contains(':');
        let code = match (is_read, is_digest) {
            (true, _) => RegistryErrorCode::ManifestUnknown,
            (false, true) => RegistryErrorCode::DigestInvalid,
            (false, false) => RegistryErrorCode::ManifestInvalid,
        };
        let message =
            if is_digest { "the digest of the manifest is malformed" } else { "the tag is malformed" };
        Self { code, message }
    }

    /// Creates the error for the digest of a blob in the path.
    pub(super) fn blob_digest(is_read: bool) -> Self {
        let code = if is_read { RegistryErrorCode::BlobUnknown } else { RegistryErrorCode::DigestInvalid };
        Self { code, message: "the digest of the blob is malformed" }
    }

    /// Creates the error for an upload id.
    pub(super) fn upload_id(is_read: bool) -> Self {
        let code =
            if is_read { RegistryErrorCode::BlobUploadUnknown } else { RegistryErrorCode::BlobUploadInvalid };
        Self { code, message: "the upload id is malformed" }
    }

    /// Creates the error for a digest in a query parameter, or in a referrers request (spec.md, "Listing Referrers":
    /// 400).
    pub(super) fn digest() -> Self {
        Self { code: RegistryErrorCode::DigestInvalid, message: "the digest is malformed" }
    }

    /// Creates the error for a tag in a query parameter.
    pub(super) fn tag() -> Self {
        Self { code: RegistryErrorCode::ManifestInvalid, message: "a tag parameter is malformed" }
    }

    /// Creates the error for the repository that a mount reads from.
    pub(super) fn mount_source() -> Self {
        Self {
            code: RegistryErrorCode::NameInvalid,
            message: "the repository name of the mount source is malformed",
        }
    }
}
