//! The work of a refusal: that of the costliest hash of each family in the file, whoever is refused,
//! so that the time of a "no" tells neither whether the user exists nor how his password is kept.

use std::iter;
use std::time::Duration;

use super::{Format, bcrypt};

/// The classes of one family that a refusal does the work of. A file whose lines have more than so
/// many different parameters can't be equalised without making every refusal as slow as all of them
/// together; the costliest are kept, and `doorward check` says so.
const CLASSES_MAX: usize = 4;

/// See the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costliest {
    bcrypt: Option<Range>,
    /// Each once, besides bcrypt.
    others: Vec<Format>,
}

/// The lowest and the highest cost of the file's bcrypt lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    lowest: u8,
    highest: u8,
}

impl Range {
    /// The bcrypt checks that are left of a refusal's work after one of cost `done` (or none) was made.
    ///
    /// Bcrypt's work is 2^cost, and 2^c + 2^(c+1) + … + 2^(C-1) = 2^C - 2^c. But each check also has a
    /// set-up of its own, 55 us or so, and a sum of C - c checks has as many more. So that the number of
    /// checks tells nothing either, everybody also makes two of the least cost there is for each step
    /// between the lowest and the highest; and for each check more in his sum, one of them is as good as
    /// two. Where all lines have one cost, as in most files, there are no steps and no such checks.
    fn rest(self, done: Option<u8>) -> impl Iterator<Item = Format> {
        let done = done.map(|cost| cost.clamp(self.lowest, self.highest));
        let steps = usize::from(self.highest - self.lowest);
        let more = usize::from(self.highest - done.unwrap_or(self.highest));
        let sum = match done {
            Some(cost) => cost..self.highest,
            None => self.highest..self.highest + 1,
        };
        let singles = iter::repeat_n(bcrypt::COST_MIN, 2 * (steps - more));
        sum.chain(singles).chain(iter::repeat_n(bcrypt::COST_MIN + 1, more)).map(Format::Bcrypt)
    }
}

/// Formats whose checks take the same time are one class.
fn class(format: Format) -> Format {
    match format {
        Format::Md5Crypt => Format::Apr1,
        Format::SaltedSha1 | Format::Plain => Format::Sha1,
        Format::Bcrypt(_)
        | Format::Apr1
        | Format::Sha256Crypt(_)
        | Format::Sha512Crypt(_)
        | Format::Argon2id(_)
        | Format::Yescrypt(_)
        | Format::Sha1 => format,
    }
}

/// What a check costs, to compare within a family.
fn weight(format: Format) -> u64 {
    match format {
        Format::Sha256Crypt(rounds) | Format::Sha512Crypt(rounds) => u64::from(rounds),
        Format::Argon2id(cost) => u64::from(cost.memory_kib) * u64::from(cost.passes),
        Format::Yescrypt(cost) => cost.memory_kib(),
        Format::Bcrypt(cost) => 1 << cost,
        // One each, without parameters.
        Format::Apr1 | Format::Md5Crypt | Format::Sha1 | Format::SaltedSha1 | Format::Plain => 0,
    }
}

impl Costliest {
    /// Takes one more line of the file into account.
    pub fn include(&mut self, format: Format) {
        if let Some(cost) = format.bcrypt_cost() {
            let Range { lowest, highest } = self.bcrypt.unwrap_or(Range { lowest: cost, highest: cost });
            self.bcrypt = Some(Range { lowest: lowest.min(cost), highest: highest.max(cost) });
            return;
        }
        let class = class(format);
        if self.others.contains(&class) {
            return;
        }
        self.others.push(class);
        let of_family = |other: &Format| other.name() == class.name();
        if self.others.iter().filter(|other| of_family(other)).count() > CLASSES_MAX {
            let cheapest = self.others.iter().copied().filter(of_family).min_by_key(|other| weight(*other));
            self.others.retain(|other| Some(*other) != cheapest);
        }
    }

    /// The checks for nobody that are left of a refusal's work after `done` was checked in vain:
    /// all of it where there was nothing to check.
    pub fn rest_of_refusal(&self, done: Option<Format>) -> Vec<Format> {
        let done = done.map(class);
        let mut rest: Vec<Format> =
            self.others.iter().copied().filter(|other| Some(*other) != done).collect();
        if let Some(range) = self.bcrypt {
            rest.extend(range.rest(done.and_then(Format::bcrypt_cost)));
        }
        rest
    }

    /// Measures the processor time of one rejection while `threads` threads hash. Does the work once on each thread.
    pub fn measure(&self, threads: usize) -> Duration {
        let work = || self.rest_of_refusal(None).into_iter().for_each(|format| format.waste(b"password"));
        crate::authn::hash::effort::time_of(threads, 1, work)
    }

    /// What one refusal takes of a core that is `speed` times as slow as the one that efforts are told for; see
    /// [`crate::authn::hash::speed`].
    pub fn effort(&self, speed: f64) -> Duration {
        let all: f64 = self.rest_of_refusal(None).into_iter().map(Format::effort).sum();
        Duration::from_secs_f64((all * speed).max(0.0))
    }
}
