//! The disagreements that are known, each with its reason.

mod hashes;
mod lines;

use super::case::Case;
use super::{Oracle, Said};

/// Pairs on which some are of another opinion than doorward.
pub(crate) struct Class {
    /// Which they are, in words.
    pub(crate) pattern: &'static str,
    pub(crate) holds: fn(&Case) -> bool,
    pub(crate) who: &'static [Oracle],
    /// What those say.
    pub(crate) says: Said,
    pub(crate) doorward: &'static [Said],
    pub(crate) why: &'static str,
}

const YES: &[Said] = &[Said::Accepts];
const NO: &[Said] = &[Said::Refuses];
const EITHER: &[Said] = &[Said::Accepts, Said::Refuses];

/// All of them. Of those that fit a pair the first counts, so the narrower stand before the wider.
pub(crate) fn classes() -> impl Iterator<Item = &'static Class> {
    hashes::CLASSES.iter().chain(lines::CLASSES)
}
