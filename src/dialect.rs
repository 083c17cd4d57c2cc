//! The kinds of proxy that doorward answers. Each has a path of its own on the auth listener and a closed list of
//! headers.

/// How one kind of proxy writes a subrequest and reads the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// nginx with our configuration.
    Nginx,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Nginx];

    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
        }
    }

    /// The dialect of a path of the auth listener. The path is compared as it was sent, never normalised.
    pub fn from_path(path: &str) -> Option<Self> {
        match path {
            "/auth" | "/auth/nginx" => Some(Self::Nginx),
            _ => None,
        }
    }
}
