//! Builds the identity that a remote source reports, and enforces the limits of groups and facts.
//!
//! A violated limit is an error and not a shorter list: a group that is left out could be one that a denial names.

use std::sync::Arc;

use super::error::CallError;
use crate::authn::Identity;
use crate::identity::{Fact, GROUPS_OF_USER_MAX, Membership, Username, check_group_name};

/// The longest fact, in bytes. All facts become response headers, for which nginx has limited buffers.
const FACT_LENGTH_MAX: usize = 256;

/// The groups and facts of an identity that is being read.
#[derive(Debug, Default)]
pub struct IdentityBuilder {
    groups: Vec<String>,
    facts: Vec<Fact>,
}

impl IdentityBuilder {
    /// Adds a group with `prefix` before its name, unless it is there already.
    ///
    /// # Errors
    /// If the name is invalid. The error does not quote the name, because the service can put anything there.
    pub fn add_group(&mut self, prefix: &str, name: &str) -> Result<(), CallError> {
        let name = format!("{prefix}{name}");
        if check_group_name(name.as_bytes()).is_err() {
            return Err(CallError::UnexpectedContent(
                "invalid group name: a name has 1 to 64 bytes, without spaces and commas".into(),
            ));
        }
        // One more than allowed is kept, so that `build` reports it.
        if self.groups.len() <= GROUPS_OF_USER_MAX && !self.groups.contains(&name) {
            self.groups.push(name);
        }
        Ok(())
    }

    /// Adds a fact.
    ///
    /// # Errors
    /// If the value does not fit into a header.
    pub fn add_fact(&mut self, name: &Arc<str>, value: Vec<u8>) -> Result<(), CallError> {
        if value.len() > FACT_LENGTH_MAX || value.iter().any(u8::is_ascii_control) {
            return Err(CallError::UnexpectedContent(format!(
                "the fact {name} does not fit into a header: it has more than {FACT_LENGTH_MAX} bytes or a control character"
            )));
        }
        self.facts.push(Fact { name: Arc::clone(name), value: value.into() });
        Ok(())
    }

    /// Returns the identity.
    ///
    /// # Errors
    /// If there are too many groups.
    pub fn build(self, user: Username, authenticator: &Arc<str>) -> Result<Identity, CallError> {
        if self.groups.len() > GROUPS_OF_USER_MAX {
            return Err(CallError::UnexpectedContent(format!(
                "the user has more than {GROUPS_OF_USER_MAX} groups"
            )));
        }
        Ok(Identity {
            user,
            authenticator: Arc::clone(authenticator),
            membership: Membership::new(self.groups.iter().map(String::as_bytes).collect()),
            facts: self.facts.into(),
            api_key: None,
        })
    }
}
