//! Attacks on doorward and its shipped configuration, each with the figures that it must not exceed.
//!
//! `make test` runs them small, `make test-attacks` at full size with their figures.

mod confinement;
mod guessing;
mod listeners;
mod reload;
mod signing;
mod subrequest;
