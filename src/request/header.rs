//! A header of a request as it was received, before anything of it is parsed.

/// What a request carries under a name: nothing, one value, or several, which no honest client sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestHeader<'a> {
    /// The header is not there.
    #[default]
    Absent,
    /// It is there once.
    Once(&'a [u8]),
    /// It is there more than once.
    Repeated,
    /// It is there once, and its value is too long or not what the proxy sends.
    Invalid,
}
