//! What a check costs, as far as that can be told without doing it.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{HashFormat, bcrypt};

/// The bcrypt cost by which a machine's speed is measured: two milliseconds or so.
const SAMPLE_COST: u8 = 5;

/// How many times each thread does it.
const SAMPLES_PER_THREAD: usize = 8;

/// Bounds of a measured speed: what lies beyond is an error of the measurement.
const SLOWDOWN_RANGE: (f64, f64) = (0.05, 100.0);

impl HashFormat {
    /// Seconds of one core of a common server of 2024. Good to a factor of two.
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

/// How many times as slow this machine is as a common server of 2024 while so many threads hash. Some
/// milliseconds of work.
pub fn measure_slowdown(threads: usize) -> f64 {
    let took =
        measure_cpu_time(threads, SAMPLES_PER_THREAD, || bcrypt::run_dummy_check(SAMPLE_COST, b"password"))
            .as_secs_f64();
    (took / HashFormat::Bcrypt(SAMPLE_COST).estimate_seconds()).clamp(SLOWDOWN_RANGE.0, SLOWDOWN_RANGE.1)
}

/// The processor time that `work` takes where so many threads do it at once, so many times each: the lower quartile,
/// since what disturbs a sample makes it longer. A core whose neighbour idles is quicker, and so the work is done on
/// as many as the hash threads will be.
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
        others.into_iter().for_each(|one| all.extend(one.join().unwrap_or_default()));
        all
    });
    all.sort_unstable();
    all.get(all.len() / 4).copied().unwrap_or_default()
}

/// Processor time of this thread (clock_gettime(2)): what else the machine does is not in it.
pub(in crate::authn) fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
