//! The items that integration tests and benches use besides the program. An item is public only if this list or
//! [`cli`](crate::cli) needs it.

mod auth_service;
mod explained_rules;

pub use self::auth_service::{MeasuredLimits, MeasuredService};
pub use self::explained_rules::{ExplainedRules, registry_repositories};
pub use crate::atomic_write::AtomicFileWriter;
pub use crate::authn::api_key::format::generate_api_key;
pub use crate::authn::remote::error::CallError;
pub use crate::http::subrequest::CONFLICTING;
pub use crate::nginx_check::statement::{Statement, SyntaxError, parse_statements};
pub use crate::pipeline::verdict::Reason;
pub use crate::request::malformed::RegistryErrorCode;
pub use crate::token::claims::{AccessEntry, Claims};
pub use crate::token::signing_key::SigningKeys;
pub use crate::token::signing_key::generate::{certify_key, generate_key};
#[cfg(feature = "ecr")]
pub use crate::upstream::ecr::aws::{AwsAccount, EcrTokenClient, error::EcrError};
