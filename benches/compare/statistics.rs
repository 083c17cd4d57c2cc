//! Median, quantiles and the interval of a median.

/// Samples that the bootstrap draws.
const RESAMPLES: usize = 4000;

/// Returns the quantile `q` of the values, between the two nearest. It is 0 if there are no values.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * sorted.len().saturating_sub(1) as f64;
    let below = sorted.get(at.floor() as usize).copied().unwrap_or_default();
    let above = sorted.get(at.ceil() as usize).copied().unwrap_or(below);
    below + (above - below) * at.fract()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn minimum(values: &[f64]) -> f64 {
    quantile(values, 0.0)
}

pub(crate) fn maximum(values: &[f64]) -> f64 {
    quantile(values, 1.0)
}

/// Returns the 95 % interval of the median by bootstrap: the quantiles 0.025 and 0.975 of the medians of random resamples.
/// The generator has a fixed seed, so a report can be repeated.
pub(crate) fn interval(values: &[f64]) -> (f64, f64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let mut drawn = Vec::with_capacity(values.len());
        for _ in values {
            state = next_random(state);
            let at = (state >> 33) as usize % values.len();
            drawn.extend(values.get(at));
        }
        medians.push(median(&drawn));
    }
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

/// Returns the next state of a xorshift generator, which is also its output.
pub(crate) fn next_random(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ state << 17
}
