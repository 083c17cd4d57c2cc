//! The kinds of remote sources. This enum and the two traits of [`super::client`] are all that the shared part needs of
//! a source.

use super::client::RemoteClientSpec;
use crate::authn::http::HttpSpec;

/// The kind of a remote source, with the settings that only this kind has.
#[derive(Clone, Debug)]
pub(crate) enum RemoteKind {
    /// A service that is called over HTTP.
    Http(Box<HttpSpec>),
}

impl RemoteKind {
    /// Returns the settings through the interface that all kinds share.
    pub(crate) fn spec(&self) -> &dyn RemoteClientSpec {
        match self {
            Self::Http(spec) => &**spec,
        }
    }
}
