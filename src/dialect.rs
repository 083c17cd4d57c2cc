//! The dialects: one for each kind of proxy that doorward supports. Each has its own path on the auth listener and a
//! closed list of headers.

/// The format in which one kind of proxy writes a subrequest and reads the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// nginx with the configuration that doorward ships.
    Nginx,
}

impl Dialect {
    /// Every dialect.
    pub(crate) const ALL: [Self; 1] = [Self::Nginx];

    /// Returns the name in the setting `dialects`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
        }
    }

    /// Returns the dialect that a path of the auth listener selects. The path is compared as it was sent and is never
    /// normalized.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        match path {
            "/auth" | "/auth/nginx" => Some(Self::Nginx),
            _ => None,
        }
    }
}
