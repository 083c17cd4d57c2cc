//! The language of rights, which the policy and the scopes of keys share: actions, patterns, and what
//! they are on.

mod actions;
pub mod glob;
mod on;
pub mod read;
pub mod scope;

pub use self::actions::Actions;
pub use self::on::{Object, On};
