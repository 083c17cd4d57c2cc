//! The permissions that the policy, the scopes of API keys and the upstreams share: actions, patterns, hosts and
//! resources.

pub mod actions;
pub mod api_key_scope;
pub mod glob;
pub mod host;
pub mod parse;
pub mod resource;
