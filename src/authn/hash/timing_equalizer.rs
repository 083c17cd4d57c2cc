//! The work of a refusal: that of the costliest hash of each family in the file, whoever is refused,
//! so that the time of a "no" tells neither whether the user exists nor how his password is kept.

use std::iter;
use std::time::Duration;

use super::{HashFormat, bcrypt};

/// The classes of one family that a refusal does the work of. A file whose lines have more than so
/// many different parameters can't be equalised without making every refusal as slow as all of them
/// together; the costliest are kept, and `doorward check` says so.
const CLASSES_PER_FORMAT_MAX: usize = 4;

/// See the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimingEqualizer {
    bcrypt_costs: Option<BcryptCostRange>,
    /// Each once, besides bcrypt.
    other_classes: Vec<HashFormat>,
}

/// The lowest and the highest cost of the file's bcrypt lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BcryptCostRange {
    lowest: u8,
    highest: u8,
}

impl BcryptCostRange {
    /// The bcrypt checks that are left of a refusal's work after one of cost `done` (or none) was made.
    ///
    /// Bcrypt's work is 2^cost, and 2^c + 2^(c+1) + … + 2^(C-1) = 2^C - 2^c. But each check also has a
    /// set-up of its own, 55 us or so, and a sum of C - c checks has as many more. So that the number of
    /// checks tells nothing either, everybody also makes two of the least cost there is for each step
    /// between the lowest and the highest; and for each check more in his sum, one of them is as good as
    /// two. Where all lines have one cost, as in most files, there are no steps and no such checks.
    fn remaining_checks(self, done: Option<u8>) -> impl Iterator<Item = HashFormat> {
        let done = done.map(|cost| cost.clamp(self.lowest, self.highest));
        let steps = usize::from(self.highest - self.lowest);
        let more = usize::from(self.highest - done.unwrap_or(self.highest));
        let sum = match done {
            Some(cost) => cost..self.highest,
            None => self.highest..self.highest + 1,
        };
        let singles = iter::repeat_n(bcrypt::COST_MIN, 2 * (steps - more));
        sum.chain(singles).chain(iter::repeat_n(bcrypt::COST_MIN + 1, more)).map(HashFormat::Bcrypt)
    }
}

/// Formats whose checks take the same time are one class.
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

/// What a check costs, to compare within a family.
fn relative_cost(format: HashFormat) -> u64 {
    match format {
        HashFormat::Sha256Crypt(rounds) | HashFormat::Sha512Crypt(rounds) => u64::from(rounds),
        HashFormat::Argon2id(cost) => u64::from(cost.memory_kib) * u64::from(cost.passes),
        HashFormat::Yescrypt(cost) => cost.memory_kib(),
        HashFormat::Bcrypt(cost) => 1 << cost,
        // One each, without parameters.
        HashFormat::Apr1
        | HashFormat::Md5Crypt
        | HashFormat::Sha1
        | HashFormat::SaltedSha1
        | HashFormat::Plain => 0,
    }
}

impl TimingEqualizer {
    /// Takes one more line of the file into account.
    pub fn include(&mut self, format: HashFormat) {
        if let Some(cost) = format.bcrypt_cost() {
            let BcryptCostRange { lowest, highest } =
                self.bcrypt_costs.unwrap_or(BcryptCostRange { lowest: cost, highest: cost });
            self.bcrypt_costs =
                Some(BcryptCostRange { lowest: lowest.min(cost), highest: highest.max(cost) });
            return;
        }
        let class = timing_class(format);
        if self.other_classes.contains(&class) {
            return;
        }
        self.other_classes.push(class);
        let of_family = |other: &HashFormat| other.name() == class.name();
        if self.other_classes.iter().filter(|other| of_family(other)).count() > CLASSES_PER_FORMAT_MAX {
            let cheapest = self
                .other_classes
                .iter()
                .copied()
                .filter(of_family)
                .min_by_key(|other| relative_cost(*other));
            self.other_classes.retain(|other| Some(*other) != cheapest);
        }
    }

    /// The checks for nobody that are left of a refusal's work after `done` was checked in vain:
    /// all of it where there was nothing to check.
    pub fn dummy_work(&self, done: Option<HashFormat>) -> Vec<HashFormat> {
        let done = done.map(timing_class);
        let mut rest: Vec<HashFormat> =
            self.other_classes.iter().copied().filter(|other| Some(*other) != done).collect();
        if let Some(range) = self.bcrypt_costs {
            rest.extend(range.remaining_checks(done.and_then(HashFormat::bcrypt_cost)));
        }
        rest
    }

    /// Measures the processor time of one rejection while `threads` threads hash. Does the work once on each thread.
    pub fn measure_rejection_time(&self, threads: usize) -> Duration {
        let work =
            || self.dummy_work(None).into_iter().for_each(|format| format.run_dummy_check(b"password"));
        crate::authn::hash::cost_estimate::measure_cpu_time(threads, 1, work)
    }

    /// What one refusal takes of a core that is `speed` times as slow as the one that efforts are told for; see
    /// [`crate::authn::hash::speed`].
    pub fn estimate_rejection_time(&self, speed: f64) -> Duration {
        let all: f64 = self.dummy_work(None).into_iter().map(HashFormat::estimate_seconds).sum();
        Duration::from_secs_f64((all * speed).max(0.0))
    }
}
