//! A header of a request as it was received, before it is parsed.

/// The values of one header in a request. An honest client never repeats a header that is read as one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RequestHeader<'a> {
    /// The header is missing.
    #[default]
    Absent,
    /// The header is present once.
    Once(&'a [u8]),
    /// The header is present more than once.
    Repeated,
    /// The header is present once, but its value is too long or is not one that the proxy sends.
    Invalid,
}
