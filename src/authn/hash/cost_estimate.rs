//! Estimates the processor time of a check without doing it.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{HashFormat, bcrypt};

/// The bcrypt cost of a sample, which takes about two milliseconds. Samples measure the speed of the machine.
const SAMPLE_COST: u8 = 5;

/// The number of samples of each thread.
const SAMPLES_PER_THREAD: usize = 8;

/// The range of a measured slowdown. A value outside it is a measurement error.
const SLOWDOWN_RANGE: (f64, f64) = (0.05, 100.0);

impl HashFormat {
    /// Returns the time of a check in seconds of one core of a common server of 2024, exact to a factor of two.
    pub(super) fn estimate_seconds(self) -> f64 {
        match self {
            Self::Bcrypt(cost) => 48e-6 * f64::from(1_u32 << cost),
            Self::Apr1 | Self::Md5Crypt => 250e-6,
            Self::Sha256Crypt(rounds) => 0.4e-6 * f64::from(rounds),
            Self::Sha512Crypt(rounds) => 0.5e-6 * f64::from(rounds),
            Self::Argon2id(cost) => 1.2e-6 * f64::from(cost.memory_kib) * f64::from(cost.passes),
            Self::Yescrypt(cost) => 3e-6 * cost.memory_kib() as f64,
            Self::Sha1 | Self::SaltedSha1 | Self::Plain => 1e-6,
        }
    }
}

/// Measures how many times slower this machine is than a common server of 2024, while `threads` threads hash. The
/// measurement takes some milliseconds.
pub(in crate::authn) fn measure_slowdown(threads: usize) -> f64 {
    let seconds =
        measure_cpu_time(threads, SAMPLES_PER_THREAD, || bcrypt::run_dummy_check(SAMPLE_COST, b"password"))
            .as_secs_f64();
    (seconds / HashFormat::Bcrypt(SAMPLE_COST).estimate_seconds()).clamp(SLOWDOWN_RANGE.0, SLOWDOWN_RANGE.1)
}

/// Measures the processor time of `work` while `threads` threads do it at the same time, `times` times each.
///
/// Returns the lower quartile of the samples, because every disturbance makes a sample longer. A core is faster while
/// its sibling is idle, so `threads` must be the number of hash threads.
pub(super) fn measure_cpu_time(threads: usize, times: usize, work: impl Fn() + Sync) -> Duration {
    let samples = || {
        let sample = |_| {
            let start = thread_cpu_time();
            work();
            thread_cpu_time().saturating_sub(start)
        };
        (0..times).map(sample).collect::<Vec<_>>()
    };
    let mut all = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, samples).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut all = samples();
        others.into_iter().for_each(|thread| all.extend(thread.join().unwrap_or_default()));
        all
    });
    all.sort_unstable();
    all.get(all.len() / 4).copied().unwrap_or_default()
}

/// Returns the processor time of this thread (clock_gettime(2)), which excludes the work of other threads.
pub(in crate::authn) fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
