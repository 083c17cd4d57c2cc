//! The client's request, as the proxy describes it in a subrequest.
//!
//! [`subrequest`] contains the values of the proxy's headers. [`original`] is the client's request. Each part is parsed
//! once, when it is first needed: as a request to a registry ([`registry`]) or as a path of a site ([`site`]). This
//! module only parses; the policy decides.

pub mod endpoint;
pub mod grammar;
pub mod header;
pub mod malformed;
pub mod original;
mod parameters;
pub mod query;
pub mod registry;
pub mod site;
pub mod subrequest;
