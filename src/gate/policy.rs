//! What an identity may do. A [`Grant`] is made here and nowhere else, and an allowed request can
//! be answered only from one.
//!
//! So far no rule can be written down, and without any every identity is admitted.

use std::sync::Arc;

use crate::identity::Identity;

/// The proof that the policy permits a request, and whose it is.
#[derive(Clone, Debug)]
pub struct Grant {
    identity: Arc<Identity>,
}

impl Grant {
    /// Who is admitted.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy;

impl Policy {
    /// Judges one request of `identity`'s.
    pub fn authorize(self, identity: Arc<Identity>) -> Grant {
        Grant { identity }
    }
}
