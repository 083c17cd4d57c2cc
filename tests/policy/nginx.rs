//! The policy through nginx, in front of a real registry.

mod enforcement;
mod teams;
