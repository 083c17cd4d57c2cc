//! The errors of a token fetch, with remedies.
//!
//! An error text is one line of bounded length, and contains no secret. Of the text of other programs, it contains
//! only error codes and messages that are known to contain no values.

use std::time::Duration;

use crate::authn::remote::error::CallError as Http;

/// Maximum length of a text of another program, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Maximum length of an AWS error code, in characters.
const CODE_CHARS_MAX: usize = 64;

/// A service that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AwsService {
    /// ECR, for the token.
    Ecr,
    /// STS, for the credentials of a role.
    Sts,
    /// The instance metadata service (IMDSv2), for the credentials of the role of the instance, or its region.
    InstanceMetadata,
    /// The service in AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI: ECS, EKS Pod Identity.
    ContainerCredentials,
}

impl std::fmt::Display for AwsService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ecr => "ECR",
            Self::Sts => "STS",
            Self::InstanceMetadata => "the instance's metadata service",
            Self::ContainerCredentials => "the container's credential service",
        })
    }
}

/// The reason why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EcrError {
    /// A setting is invalid; with its name and the remedy.
    #[error("{0}")]
    InvalidSetting(String),
    /// CA certificates are missing, or the file of AWS_CA_BUNDLE is invalid.
    #[error(
        "TLS cannot be set up: {0}; install the CA certificates of the system, or set AWS_CA_BUNDLE to a file of certificates"
    )]
    TlsSetupFailed(String),
    /// No source has credentials; with the list of sources.
    #[error("no AWS credentials: {0}")]
    NoCredentials(String),
    /// A configured source of credentials failed; with the reason and the remedy.
    #[error("the AWS credentials cannot be obtained: {0}")]
    CredentialSourceFailed(String),
    /// No source contains the region.
    #[error(
        "the AWS region is not known: set region, AWS_REGION, or region in the profile; the instance metadata service does not report one"
    )]
    UnknownRegion,
    /// AWS rejected the call.
    #[error("{service} rejected the call: {status} {code}{}", remedy(*.service, *.status, .code))]
    Rejected {
        /// The service.
        service: AwsService,
        /// The HTTP status, 300 to 499.
        status: u16,
        /// The error code of AWS, such as `AccessDeniedException`; can be empty.
        code: String,
    },
    /// AWS failed with a status from 500 on, which is not caused by doorward.
    #[error("{service} failed: {status} {code}; no action is required unless it persists")]
    Failed {
        /// The service.
        service: AwsService,
        /// The HTTP status, 500 to 999.
        status: u16,
        /// The error code of AWS; can be empty.
        code: String,
    },
    /// AWS throttles the calls.
    #[error("{service} throttles calls: {status} {code}; the limit is for the whole AWS account")]
    RetryLater {
        /// The service.
        service: AwsService,
        /// The HTTP status.
        status: u16,
        /// The error code of AWS; can be empty.
        code: String,
        /// The value of Retry-After, at most an hour.
        retry_after: Option<Duration>,
    },
    /// The call could not be sent, or got no response.
    #[error("{0}: {1}{hint}", hint = connection_hint(*.0, .1))]
    CallFailed(AwsService, Http),
    /// The whole fetch took too long.
    #[error("no token within {}, including the time for the credentials", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The response of ECR is invalid.
    #[error(
        "the response of ECR is invalid: {0}; check that the endpoint is the ECR API (api.ecr), and not a proxy"
    )]
    InvalidResponse(EcrResponseError),
    /// The call could not be signed, which is a defect of doorward.
    #[error("internal error: the call could not be signed")]
    SigningFailed,
    /// The task that fetches the token panicked, which is a defect of doorward.
    #[error("internal error: the fetch of the token panicked")]
    FetchPanicked,
}

/// The reason why a response is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EcrResponseError {
    /// The body is too large.
    #[error("the body has more than {} KiB", super::BODY_BYTES_MAX / 1024)]
    BodyTooLarge,
    /// The body is not a JSON object.
    #[error("the body is not JSON")]
    NotJson,
    /// `authorizationData` is missing or empty.
    #[error("authorizationData is missing or empty")]
    MissingData,
    /// `authorizationToken` is missing or empty.
    #[error("authorizationToken is missing or empty")]
    MissingToken,
    /// The token is larger than nginx accepts.
    #[error("authorizationToken has more than {} bytes", super::TOKEN_BYTES_MAX)]
    TokenTooLarge,
    /// The token is not base64 of `AWS:` and a password.
    #[error("authorizationToken is not base64 of AWS: and a password")]
    InvalidToken,
    /// `expiresAt` is missing.
    #[error("expiresAt is missing")]
    MissingExpiry,
    /// `expiresAt` is not a date in seconds since 1970.
    #[error("expiresAt is not a number of seconds since 1970")]
    InvalidExpiry,
    /// The token had expired when it was received.
    #[error("the token had expired when it was received")]
    AlreadyExpired,
}

/// Error codes that mean that the time of the signature is wrong, or can be wrong.
const CLOCK_ERROR_CODES: [&str; 7] = [
    "RequestTimeTooSkewed",
    "RequestExpired",
    "RequestInTheFuture",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidTimestamp",
];

impl EcrError {
    /// Returns true if a timeout expired.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::CallFailed(_, Http::Timeout(_) | Http::ConnectTimeout(_)))
    }

    /// Returns the delay that AWS requests before the next call, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RetryLater { retry_after: after, .. } => *after,
            _ => None,
        }
    }

    /// Returns true if a wrong local clock can be the cause.
    pub(super) fn is_possibly_clock_skew(&self) -> bool {
        matches!(self, Self::Rejected { code, .. } if CLOCK_ERROR_CODES.contains(&code.as_str()))
    }
}

/// Returns the remedy for a rejected call, by its error code or else by its status.
fn remedy(service: AwsService, status: u16, code: &str) -> &'static str {
    match (service, code) {
        (_, code) if CLOCK_ERROR_CODES.contains(&code) => {
            "; the secret key is wrong, or the clock of this machine is: synchronize it with NTP"
        }
        (_, "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId") => {
            "; the access key does not exist: create a new one, or check whether it belongs to another partition"
        }
        (_, "ExpiredToken" | "ExpiredTokenException") => {
            "; the credentials have expired: renew them, or use a source that renews itself, such as a role"
        }
        (AwsService::Sts, "InvalidIdentityToken" | "IDPRejectedClaim") => {
            "; AWS rejects the web identity token: check the trust policy of the role, and the identity provider of the cluster in IAM"
        }
        (_, "OptInRequired" | "RegionDisabledException") => "; the region is not enabled for the AWS account",
        (AwsService::Sts, _) if matches!(status, 400 | 401 | 403) => {
            "; allow sts:AssumeRole to the identity of doorward, and add that identity to the trust policy of the role"
        }
        (AwsService::Ecr, _) if matches!(status, 401 | 403) || code.starts_with("AccessDenied") => {
            "; allow the IAM action ecr:GetAuthorizationToken on resource * to the user or role of doorward"
        }
        (AwsService::Ecr, _) => {
            "; check that the endpoint is the ECR API (api.ecr), and not the registry (dkr.ecr)"
        }
        (AwsService::InstanceMetadata, _) => "; check the metadata options and the role of the instance",
        (AwsService::ContainerCredentials, _) => {
            "; check the role of the task, or the identity association of the pod"
        }
        (AwsService::Sts, _) => "; check the ARN of the role, and the endpoint of STS",
    }
}

/// Returns the remedy for a call without a response.
fn connection_hint(service: AwsService, error: &Http) -> &'static str {
    match (service, error) {
        (AwsService::Ecr | AwsService::Sts, Http::TlsHandshakeFailed(_) | Http::TlsClosed(_)) => {
            "; a proxy that intercepts TLS can require AWS_CA_BUNDLE; also check the clock of this machine"
        }
        (AwsService::Ecr | AwsService::Sts, Http::NameNotResolved(_)) => {
            "; check the name of the region, and the resolver"
        }
        (AwsService::Ecr | AwsService::Sts, _) => {
            "; check the route to AWS: a NAT or VPC endpoint, HTTPS_PROXY and NO_PROXY, the firewall"
        }
        (AwsService::InstanceMetadata, _) => "; in a container it requires a hop limit of 2",
        (AwsService::ContainerCredentials, _) => "; check that its agent is running",
    }
}

/// Returns a text of another program as one line of bounded length.
pub(super) fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect()
}

/// Parses an AWS error code: the part `Code` of `namespace#Code:http://...`. Returns an empty text if it is not a
/// code.
pub(super) fn parse_error_code(text: &str) -> String {
    let text = text.rsplit('#').next().unwrap_or_default();
    let text = text.split(':').next().unwrap_or_default().trim();
    let is_code_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.chars().all(is_code_character) {
        text.chars().take(CODE_CHARS_MAX).collect()
    } else {
        String::new()
    }
}
