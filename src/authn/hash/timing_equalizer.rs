//! Makes every rejection take the same time: each one does the work of the costliest hash of every format in the file.
//!
//! So the time of a rejection does not reveal whether the user exists, nor the format of the hash.

use std::iter;
use std::time::Duration;

use super::cost_estimate::measure_cpu_time;
use super::{HashFormat, bcrypt};

/// The maximum number of timing classes of one format whose work a rejection does.
///
/// A rejection takes as long as all timing classes together. If the lines of a file have more different parameters, only the
/// costliest timing classes are kept, and `doorward check` reports it.
const TIMING_CLASSES_PER_FORMAT_MAX: usize = 4;

/// The work that every rejection by one htpasswd file must do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimingEqualizer {
    bcrypt_costs: Option<BcryptCostRange>,
    /// The timing classes of all formats except bcrypt, each once.
    other_timing_classes: Vec<HashFormat>,
}

/// The lowest and the highest cost of the bcrypt lines of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BcryptCostRange {
    lowest: u8,
    highest: u8,
}

impl BcryptCostRange {
    /// Returns the bcrypt checks that a rejection must still do, after a check of cost `done` or after none.
    ///
    /// The work of a check is 2^cost, and 2^c + 2^(c+1) + … + 2^(C-1) = 2^C - 2^c. So after a check of cost c, checks
    /// of the costs c to C-1 complete the work of one check of the highest cost C.
    ///
    /// Each check also has a setup of about 55 µs, so the number of checks must be constant too. Every rejection
    /// therefore does two checks of the minimum cost for each step between the lowest and the highest cost. For each
    /// additional check of the sum, two of these are replaced by one check of the next higher cost, which has the
    /// same rounds and one setup less. If all lines have one cost, as in most files, there are no steps and none of
    /// these checks.
    fn remaining_checks(self, done: Option<u8>) -> impl Iterator<Item = HashFormat> {
        let done = done.map(|cost| cost.clamp(self.lowest, self.highest));
        let steps = usize::from(self.highest - self.lowest);
        let additional = usize::from(self.highest - done.unwrap_or(self.highest));
        let sum = match done {
            Some(cost) => cost..self.highest,
            None => self.highest..self.highest + 1,
        };
        let pairs = iter::repeat_n(bcrypt::COST_MIN, 2 * (steps - additional));
        sum.chain(pairs).chain(iter::repeat_n(bcrypt::COST_MIN + 1, additional)).map(HashFormat::Bcrypt)
    }
}

/// Returns the timing class of a format. Formats and costs whose checks take the same time have the same timing class.
fn timing_class(format: HashFormat) -> HashFormat {
    match format {
        HashFormat::Md5Crypt => HashFormat::Apr1,
        HashFormat::SaltedSha1 | HashFormat::Plain => HashFormat::Sha1,
        HashFormat::Bcrypt(_)
        | HashFormat::Apr1
        | HashFormat::Sha256Crypt(_)
        | HashFormat::Sha512Crypt(_)
        | HashFormat::Argon2id(_)
        | HashFormat::Yescrypt(_)
        | HashFormat::Sha1 => format,
    }
}

/// Returns the cost of a check, for comparison within one format.
fn relative_cost(format: HashFormat) -> u64 {
    match format {
        HashFormat::Sha256Crypt(rounds) | HashFormat::Sha512Crypt(rounds) => u64::from(rounds),
        HashFormat::Argon2id(cost) => u64::from(cost.memory_kib) * u64::from(cost.passes),
        HashFormat::Yescrypt(cost) => cost.memory_kib(),
        HashFormat::Bcrypt(cost) => 1 << cost,
        // These formats have no cost, so each has only one timing class.
        HashFormat::Apr1
        | HashFormat::Md5Crypt
        | HashFormat::Sha1
        | HashFormat::SaltedSha1
        | HashFormat::Plain => 0,
    }
}

impl TimingEqualizer {
    /// Adds the hash of one line of the file.
    pub(crate) fn include(&mut self, format: HashFormat) {
        if let Some(cost) = format.bcrypt_cost() {
            let BcryptCostRange { lowest, highest } =
                self.bcrypt_costs.unwrap_or(BcryptCostRange { lowest: cost, highest: cost });
            self.bcrypt_costs =
                Some(BcryptCostRange { lowest: lowest.min(cost), highest: highest.max(cost) });
            return;
        }
        let class = timing_class(format);
        if self.other_timing_classes.contains(&class) {
            return;
        }
        self.other_timing_classes.push(class);
        let is_same_format = |other: &HashFormat| other.name() == class.name();
        if self.other_timing_classes.iter().filter(|other| is_same_format(other)).count()
            > TIMING_CLASSES_PER_FORMAT_MAX
        {
            let cheapest = self
                .other_timing_classes
                .iter()
                .copied()
                .filter(is_same_format)
                .min_by_key(|other| relative_cost(*other));
            self.other_timing_classes.retain(|other| Some(*other) != cheapest);
        }
    }

    /// Returns the dummy checks that a rejection must still do, after a failed check of format `done` or after none.
    pub(crate) fn dummy_work(&self, done: Option<HashFormat>) -> Vec<HashFormat> {
        let done = done.map(timing_class);
        let mut rest: Vec<HashFormat> =
            self.other_timing_classes.iter().copied().filter(|other| Some(*other) != done).collect();
        if let Some(range) = self.bcrypt_costs {
            rest.extend(range.remaining_checks(done.and_then(HashFormat::bcrypt_cost)));
        }
        rest
    }

    /// Measures the processor time of one rejection while `threads` threads hash. Does the work once on each thread.
    pub(crate) fn measure_rejection_time(&self, threads: usize) -> Duration {
        let work =
            || self.dummy_work(None).into_iter().for_each(|format| format.run_dummy_check(b"password"));
        measure_cpu_time(threads, 1, work)
    }

    /// Estimates the processor time of one rejection. `slowdown` is the result of
    /// `cost_estimate::measure_slowdown`.
    pub(crate) fn estimate_rejection_time(&self, slowdown: f64) -> Duration {
        let all: f64 = self.dummy_work(None).into_iter().map(HashFormat::estimate_seconds).sum();
        Duration::from_secs_f64((all * slowdown).max(0.0))
    }
}
