//! Runs the check in `fuzz/checks/scope.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| doorward::fuzzing::scope::run(text));
