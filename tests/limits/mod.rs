//! Limits: the throttle for failed logins and the queue for password checks.

mod queue;
pub(crate) mod throttle;
