//! Attacks, with limits that their effects must not exceed.
//!
//! `make test` runs them at a small size, `make test-attacks` at full size with their figures.

mod confinement;
mod guessing;
mod listeners;
mod reload;
mod signing;
mod subrequest;
