//! Outages of an HTTP authenticator: the circuit breaker, stale answers, and attacks that provoke failures.

mod attacks;
mod circuit;
mod last_answer;
mod stale_answers;
