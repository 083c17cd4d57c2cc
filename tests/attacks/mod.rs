//! Attacks, with the bounds that they must not exceed.
//!
//! `make test` runs them small, `make test-attacks` at full size with their figures.

mod confinement;
mod guessing;
mod listeners;
mod reload;
mod signing;
mod subrequest;
