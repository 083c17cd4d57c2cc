//! The language of rights, which the policy, the scopes of keys and the upstreams share: actions, patterns,
//! hosts, and what they are on.

mod actions;
pub mod glob;
pub mod host;
mod on;
pub mod read;
pub mod scope;

pub use self::actions::Actions;
pub use self::on::{Resource, ResourcePattern};
