//! Throttle and hash queue.

mod queue;
pub(crate) mod throttle;
