//! What an operator sees: log lines, metrics, and that none of them contains a secret.

mod documented_metrics;
mod refusal_reasons;
mod secrets;
