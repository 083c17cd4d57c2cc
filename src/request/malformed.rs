//! Malformed references: repository names, tags, digests and upload ids that no registry can have. The request
//! that carries one is refused with the code that the OCI distribution spec has for it, so that the proxy can answer as a
//! registry does.

/// A code of the specification (spec.md, "Error Codes") for a malformed reference, as `X-Auth-Error` has it.
///
/// The list is closed: the proxy's configuration maps each code to a status and a body. Codes that end in
/// `_UNKNOWN` are a 404, the others a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryErrorCode {
    /// No such blob.
    BlobUnknown,
    /// An upload that cannot be.
    BlobUploadInvalid,
    /// No such upload.
    BlobUploadUnknown,
    /// A digest that cannot be.
    DigestInvalid,
    /// A manifest reference that cannot be.
    ManifestInvalid,
    /// No such manifest.
    ManifestUnknown,
    /// A repository name that cannot be.
    NameInvalid,
    /// No such repository.
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

    /// The code as the specification writes it.
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

/// What is malformed in a request that is otherwise one of the registry protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedReference {
    /// The specification's code.
    pub code: RegistryErrorCode,
    /// The fault, for the log and for `explain`.
    pub message: &'static str,
}

impl MalformedReference {
    /// A repository name. `reads` is whether the method is GET or HEAD: what cannot exist is then not found.
    pub(super) fn repository_name(reads: bool) -> Self {
        let code = if reads { RegistryErrorCode::NameUnknown } else { RegistryErrorCode::NameInvalid };
        Self { code, message: "the repository name is malformed" }
    }

    /// A manifest's tag or digest.
    pub(super) fn manifest_reference(reference: &str, reads: bool) -> Self {
        let is_digest = reference.contains(':');
        let code = match (reads, is_digest) {
            (true, _) => RegistryErrorCode::ManifestUnknown,
            (false, true) => RegistryErrorCode::DigestInvalid,
            (false, false) => RegistryErrorCode::ManifestInvalid,
        };
        let why = if is_digest { "the manifest's digest is malformed" } else { "the tag is malformed" };
        Self { code, message: why }
    }

    /// A blob's digest in the path.
    pub(super) fn blob_digest(reads: bool) -> Self {
        let code = if reads { RegistryErrorCode::BlobUnknown } else { RegistryErrorCode::DigestInvalid };
        Self { code, message: "the blob's digest is malformed" }
    }

    /// An upload's id.
    pub(super) fn upload_id(reads: bool) -> Self {
        let code =
            if reads { RegistryErrorCode::BlobUploadUnknown } else { RegistryErrorCode::BlobUploadInvalid };
        Self { code, message: "the upload id is malformed" }
    }

    /// A digest in a parameter, or of a subject's referrers (spec.md, "Listing Referrers": 400).
    pub(super) fn digest() -> Self {
        Self { code: RegistryErrorCode::DigestInvalid, message: "the digest is malformed" }
    }

    /// A tag in a parameter.
    pub(super) fn tag() -> Self {
        Self { code: RegistryErrorCode::ManifestInvalid, message: "a tag parameter is malformed" }
    }

    /// The source of a mount.
    pub(super) fn mount_source() -> Self {
        Self {
            code: RegistryErrorCode::NameInvalid,
            message: "the repository name of the mount's source is malformed",
        }
    }
}
