//! Logs, metrics, secrets.

mod documented_metrics;
mod refusal_reasons;
mod secrets;
