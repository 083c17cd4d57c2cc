//! The client's request, as the proxy describes it in a subrequest.
//!
//! [`subrequest`] contains the values of the proxy's headers. [`original`] is the client's request. Each part is parsed
//! once, when it is first needed: as a request to a registry ([`registry`]) or as a path of a site ([`site`]). This
//! module only parses; the policy decides.

pub(crate) mod endpoint;
pub(crate) mod grammar;
pub(crate) mod header;
pub(crate) mod malformed;
pub(crate) mod original;
mod parameters;
pub(crate) mod query;
pub(crate) mod registry;
pub(crate) mod site;
pub(crate) mod subrequest;
