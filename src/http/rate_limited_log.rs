//! A rate limit for a log line that any client can cause.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Minimum time between two lines: at most 8,640 lines a day.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time of the last line, and the number of lines that were suppressed since.
#[derive(Debug)]
pub struct RateLimitedLog {
    clock: Clock,
    state: Mutex<RateLimitState>,
}

#[derive(Debug, Default)]
struct RateLimitState {
    written_at: Option<Moment>,
    suppressed_count: u64,
}

impl RateLimitedLog {
    /// Creates a log without a line so far.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Returns the number of lines suppressed since the last one, or `None` if this line must be suppressed.
    pub fn next_line(&self) -> Option<u64> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.written_at.is_some_and(|written| now.since(written) < INTERVAL) {
            state.suppressed_count += 1;
            return None;
        }
        state.written_at = Some(now);
        Some(std::mem::take(&mut state.suppressed_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_logs_one_line_per_interval_and_counts_suppressed_lines() {
        let clock = Clock::manual();
        let log = RateLimitedLog::new(clock.clone());
        assert_eq!((0..100).filter_map(|_| log.next_line()).collect::<Vec<_>>(), [0]);
        clock.advance(INTERVAL - Duration::from_millis(1));
        assert_eq!(log.next_line(), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(log.next_line(), Some(100));
    }
}
