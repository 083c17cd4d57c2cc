//! The permissions that the policy, the scopes of API keys and the upstreams share: actions, patterns, hosts and
//! resources.

pub(crate) mod actions;
pub(crate) mod api_key_scope;
pub(crate) mod glob;
pub(crate) mod host;
pub(crate) mod parse;
pub(crate) mod resource;
