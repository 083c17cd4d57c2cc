//! Why there is no token, and what to do about it.
//!
//! A text has one line of bounded length, and nothing that is secret: of what others wrote it holds error codes
//! and texts that are known to name no value.

use std::time::Duration;

use crate::authn::remote::error::CallError as Http;

/// How much is told of a text that others wrote; longer codes of AWS's are cut.
const TEXT_CHARS_MAX: usize = 200;
const CODE_CHARS_MAX: usize = 64;

/// Whom we asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AwsService {
    /// ECR, for the token.
    Ecr,
    /// STS, for the credentials of a role.
    Sts,
    /// The instance's metadata service (IMDSv2), for its role's credentials or its region.
    InstanceMetadata,
    /// What AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI names: ECS, EKS Pod Identity.
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

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EcrError {
    /// A setting that can't be: which, and what to write.
    #[error("{0}")]
    InvalidSetting(String),
    /// There is no certificate to trust, or the file of AWS_CA_BUNDLE is of no use.
    #[error(
        "TLS can't be set up: {0}; install the system's certificates, or name a file of them in AWS_CA_BUNDLE"
    )]
    TlsSetupFailed(String),
    /// No source of credentials has any: which were asked.
    #[error("no AWS credentials: {0}")]
    NoCredentials(String),
    /// A source of credentials is set up and does not work: what, and what to do.
    #[error("the AWS credentials can't be had: {0}")]
    CredentialSourceFailed(String),
    /// Nobody says which region.
    #[error(
        "the AWS region is not known: set region, AWS_REGION, or region in the profile; no instance's metadata service tells it"
    )]
    UnknownRegion,
    /// A status that says no, with AWS's code for why, which may be empty.
    #[error("{service} refused: {status} {code}{}", remedy(*.service, *.status, .code))]
    Refused {
        /// Who did.
        service: AwsService,
        /// The HTTP status, 300 to 499.
        status: u16,
        /// As in `AccessDeniedException`.
        code: String,
    },
    /// It failed, and does not blame us: 500 and above.
    #[error("{service} failed: {status} {code}; nothing needs doing unless it lasts")]
    Failed {
        /// Who did.
        service: AwsService,
        /// The HTTP status, 500 to 999.
        status: u16,
        /// AWS's code for why, which may be empty.
        code: String,
    },
    /// Too many calls; how long to wait, if it says.
    #[error("{service} wants fewer calls: {status} {code}; they count for the whole AWS account")]
    RetryLater {
        /// Who does.
        service: AwsService,
        /// The HTTP status.
        status: u16,
        /// AWS's code, which may be empty.
        code: String,
        /// Its Retry-After, at most an hour.
        retry_after: Option<Duration>,
    },
    /// The call could not be made, or was not answered.
    #[error("{0}: {1}{hint}", hint = connection_hint(*.0, .1))]
    CallFailed(AwsService, Http),
    /// All of it took too long.
    #[error("no token within {}, the credentials included", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// ECR's answer is not what it should be: how.
    #[error("ECR's answer is of no use: {0}; is the endpoint that of ECR's API (api.ecr), or a proxy's?")]
    InvalidResponse(EcrResponseError),
    /// The call could not be signed; a fault of ours.
    #[error("the call could not be signed")]
    TaskFailed,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EcrResponseError {
    /// Its body is larger than may be read.
    #[error("it has more than {} KiB", crate::upstream::ecr::aws::BODY_BYTES_MAX / 1024)]
    BodyTooLarge,
    /// It is not a JSON object.
    #[error("it is not JSON")]
    NotJson,
    /// No `authorizationData`, or nothing in it.
    #[error("authorizationData is missing or empty")]
    MissingData,
    /// No `authorizationToken`, or an empty one.
    #[error("authorizationToken is missing or empty")]
    MissingToken,
    /// A token larger than nginx takes.
    #[error("authorizationToken has more than {} bytes", crate::upstream::ecr::aws::TOKEN_BYTES_MAX)]
    TokenTooLarge,
    /// A token that is not base64 of `AWS:` and a password.
    #[error("authorizationToken is not base64 of AWS: and a password")]
    InvalidToken,
    /// No `expiresAt`.
    #[error("expiresAt is missing")]
    MissingExpiry,
    /// An `expiresAt` that is no date in seconds since 1970.
    #[error("expiresAt is not a number of seconds since 1970")]
    InvalidExpiry,
    /// A token that had ended when it came.
    #[error("the token had expired when it came")]
    AlreadyExpired,
}

/// Codes that say that the time of a signature is, or may be, to blame.
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
    /// What the fault is about, for a label of a metric: one of `settings`, `credentials`, `region`, `refused`,
    /// `failed`, `throttled`, `timeout`, `connect`, `tls`, `answer`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidSetting(_) | Self::TaskFailed => "settings",
            Self::TlsSetupFailed(_)
            | Self::CallFailed(_, Http::TlsHandshakeFailed(_) | Http::TlsClosed(_)) => "tls",
            Self::NoCredentials(_) | Self::CredentialSourceFailed(_) => "credentials",
            Self::UnknownRegion => "region",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::RetryLater { .. } => "throttled",
            Self::TimedOut(_) | Self::CallFailed(_, Http::Timeout(_) | Http::ConnectTimeout(_)) => "timeout",
            Self::InvalidResponse(_) | Self::CallFailed(_, Http::ResponseTooLarge(_)) => "answer",
            Self::CallFailed(..) => "connect",
        }
    }

    /// How long it asked to be left alone, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RetryLater { retry_after: after, .. } => *after,
            _ => None,
        }
    }

    /// Whether it may be that our clock is wrong.
    pub(super) fn is_possibly_clock_skew(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if CLOCK_ERROR_CODES.contains(&code.as_str()))
    }
}

/// What to do about a refusal, by its code, else by its status.
fn remedy(who: AwsService, status: u16, code: &str) -> &'static str {
    match (who, code) {
        (_, code) if CLOCK_ERROR_CODES.contains(&code) => {
            "; the secret key is wrong, or this machine's clock is: set it by NTP"
        }
        (_, "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId") => {
            "; AWS knows no such access key: make a new one, or see whether it is of another partition"
        }
        (_, "ExpiredToken" | "ExpiredTokenException") => {
            "; the credentials have expired: renew them, or use a source that renews itself, such as a role"
        }
        (AwsService::Sts, "InvalidIdentityToken" | "IDPRejectedClaim") => {
            "; AWS does not take the web identity token: see the role's trust policy, and the cluster's identity provider in IAM"
        }
        (_, "OptInRequired" | "RegionDisabledException") => "; the region is not enabled for the AWS account",
        (AwsService::Sts, _) if matches!(status, 400 | 401 | 403) => {
            "; allow sts:AssumeRole to whoever we are, and name him in the role's trust policy"
        }
        (AwsService::Ecr, _) if matches!(status, 401 | 403) || code.starts_with("AccessDenied") => {
            "; allow the IAM action ecr:GetAuthorizationToken on resource * to the user or role that doorward is"
        }
        (AwsService::Ecr, _) => {
            "; is the endpoint that of ECR's API (api.ecr), not the registry's (dkr.ecr)?"
        }
        (AwsService::InstanceMetadata, _) => "; see the instance's metadata options and its role",
        (AwsService::ContainerCredentials, _) => "; see the task's role, or the pod's identity association",
        (AwsService::Sts, _) => "; see the role's ARN, and the endpoint of STS",
    }
}

/// What to do where there is no answer.
fn connection_hint(who: AwsService, fault: &Http) -> &'static str {
    match (who, fault) {
        (AwsService::Ecr | AwsService::Sts, Http::TlsHandshakeFailed(_) | Http::TlsClosed(_)) => {
            "; a proxy between may need AWS_CA_BUNDLE; see this machine's clock, too"
        }
        (AwsService::Ecr | AwsService::Sts, Http::NameNotResolved(_)) => {
            "; see the region's name, and the resolver"
        }
        (AwsService::Ecr | AwsService::Sts, _) => {
            "; see the way to AWS: a NAT or VPC endpoint, HTTPS_PROXY and NO_PROXY, the firewall"
        }
        (AwsService::InstanceMetadata, _) => "; in a container it needs a hop limit of 2",
        (AwsService::ContainerCredentials, _) => "; is its agent running?",
    }
}

/// A text that others wrote, on one line and not long.
pub(super) fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect()
}

/// AWS's code for a fault: of `namespace#Code:http://...` the Code; empty if it is none.
pub(super) fn parse_error_code(text: &str) -> String {
    let text = text.rsplit('#').next().unwrap_or_default();
    let text = text.split(':').next().unwrap_or_default().trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.chars().all(plain) { text.chars().take(CODE_CHARS_MAX).collect() } else { String::new() }
}
