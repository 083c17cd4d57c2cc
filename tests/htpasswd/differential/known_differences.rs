//! The disagreements that are known, each with its reason.

mod hashes;
mod lines;

use super::case::Case;
use super::{Oracle, OracleVerdict};

/// Pairs on which some are of another opinion than doorward.
pub(crate) struct KnownDifference {
    /// Which they are, in words.
    pub(crate) pattern: &'static str,
    pub(crate) holds: fn(&Case) -> bool,
    pub(crate) who: &'static [Oracle],
    /// What those say.
    pub(crate) says: OracleVerdict,
    pub(crate) doorward: &'static [OracleVerdict],
    pub(crate) why: &'static str,
}

const YES: &[OracleVerdict] = &[OracleVerdict::Accepts];
const NO: &[OracleVerdict] = &[OracleVerdict::Refuses];
const EITHER: &[OracleVerdict] = &[OracleVerdict::Accepts, OracleVerdict::Refuses];

/// All of them. Of those that fit a pair the first counts, so the narrower stand before the wider.
pub(crate) fn classes() -> impl Iterator<Item = &'static KnownDifference> {
    hashes::CLASSES.iter().chain(lines::CLASSES)
}
