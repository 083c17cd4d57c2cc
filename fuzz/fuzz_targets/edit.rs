//! Runs the check in `fuzz/checks/edit.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| doorward::fuzzing::edit::run(input));
