//! The known differences, each with its reason.

mod hashes;
mod lines;

use super::case::Case;
use super::{Oracle, OracleVerdict};

/// A class of pairs on which other programs differ from doorward.
pub(crate) struct KnownDifference {
    /// Description of the class.
    pub(crate) pattern: &'static str,
    pub(crate) holds: fn(&Case) -> bool,
    pub(crate) who: &'static [Oracle],
    /// Result of these programs.
    pub(crate) says: OracleVerdict,
    pub(crate) doorward: &'static [OracleVerdict],
    pub(crate) why: &'static str,
}

const YES: &[OracleVerdict] = &[OracleVerdict::Accepts];
const NO: &[OracleVerdict] = &[OracleVerdict::Refuses];
const EITHER: &[OracleVerdict] = &[OracleVerdict::Accepts, OracleVerdict::Refuses];

/// Returns all classes. If several match a pair, the first one is used, so narrow classes precede wide ones.
pub(crate) fn classes() -> impl Iterator<Item = &'static KnownDifference> {
    hashes::CLASSES.iter().chain(lines::CLASSES)
}
