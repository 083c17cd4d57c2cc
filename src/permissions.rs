//! The language of rights, which the policy, the scopes of keys and the upstreams share: actions, patterns,
//! hosts, and what they are on.

mod actions;
pub mod api_key_scope;
pub mod glob;
pub mod host;
pub mod parse;
mod resource;

pub use self::actions::Actions;
pub use self::resource::{Resource, ResourcePattern};
