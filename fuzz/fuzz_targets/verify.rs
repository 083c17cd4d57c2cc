//! Runs the check in `fuzz/checks/verify.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| doorward::fuzzing::verify::run(input));
