//! The version of nginx, and what a version can do.

use std::fmt;
use std::str::FromStr;

/// A version of nginx, such as 1.18.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NginxVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl NginxVersion {
    /// The oldest supported version, which Debian 11 has.
    pub(crate) const OLDEST: Self = Self::new(1, 18, 0);

    const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Returns an error if the version is older than all supported ones.
    pub(crate) fn check_supported(self) -> Result<Self, String> {
        if self < Self::OLDEST {
            return Err(format!("nginx {self} is too old; version {} or newer is required", Self::OLDEST));
        }
        Ok(self)
    }

    /// Returns whether `server` in an upstream has the parameter `resolve` (nginx 1.27.3).
    pub(crate) fn has_resolve(self) -> bool {
        self >= Self::new(1, 27, 3)
    }

    /// Returns whether the directive `http2` exists (nginx 1.25.1). Before, it was a parameter of `listen`.
    pub(crate) fn has_http2_directive(self) -> bool {
        self >= Self::new(1, 25, 1)
    }

    /// Returns whether `ssl_reject_handshake` exists (nginx 1.19.4).
    pub(crate) fn has_reject_handshake(self) -> bool {
        self >= Self::new(1, 19, 4)
    }

    /// Returns whether a variable of a header joins all lines of that header (nginx 1.23.0). Before, it has the first.
    pub(crate) fn joins_header_lines(self) -> bool {
        self >= Self::new(1, 23, 0)
    }

    /// Returns whether the hash of variables is too small by default (nginx 1.30.0, which has more variables itself).
    pub(crate) fn has_small_variables_hash(self) -> bool {
        self >= Self::new(1, 30, 0)
    }

    /// Returns the version that `nginx -v` prints: `nginx version: nginx/1.22.1 (Debian)`. Names of other builds, such
    /// as openresty or tengine, have the version of nginx first.
    pub(crate) fn from_output(text: &str) -> Option<Self> {
        let number = text.lines().next()?.split_once('/')?.1;
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        // openresty adds a fourth number of its own.
        let parts: Vec<&str> = number.get(..end)?.split('.').take(3).collect();
        parts.join(".").parse().ok()
    }
}

impl FromStr for NginxVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.').map(|part| part.parse::<u16>().ok());
        Ok(match (parts.next().flatten(), parts.next().flatten(), parts.next(), parts.next()) {
            (Some(major), Some(minor), Some(Some(patch)), None) => Self::new(major, minor, patch),
            (Some(major), Some(minor), None, None) => Self::new(major, minor, 0),
            _ => return Err("must be a version such as 1.22.1".into()),
        })
    }
}

impl fmt::Display for NginxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_settings_and_from_nginx() {
        assert_eq!("1.22".parse(), Ok(NginxVersion::new(1, 22, 0)));
        assert!(NginxVersion::new(1, 17, 10).check_supported().is_err());
        for text in ["", "1", "1.x", "1.22.1.1", "v1.22"] {
            assert!(text.parse::<NginxVersion>().is_err(), "{text}");
        }
        let found = NginxVersion::from_output("nginx version: nginx/1.31.4 (Debian)\n");
        assert_eq!(found, Some(NginxVersion::new(1, 31, 4)));
        let found = NginxVersion::from_output("nginx version: openresty/1.27.1.2\n");
        assert_eq!(found, Some(NginxVersion::new(1, 27, 1)));
        assert_eq!(NginxVersion::from_output("nginx: not found"), None);
    }

    #[test]
    fn features_begin_with_their_version() {
        let new = |text: &str| text.parse::<NginxVersion>().unwrap();
        assert!(new("1.27.3").has_resolve() && !new("1.27.2").has_resolve());
        assert!(new("1.25.1").has_http2_directive() && !new("1.25.0").has_http2_directive());
        assert!(new("1.19.4").has_reject_handshake() && !new("1.19.3").has_reject_handshake());
        assert!(new("1.23.0").joins_header_lines() && !new("1.22.1").joins_header_lines());
    }
}
