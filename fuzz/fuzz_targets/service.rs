//! Runs the check in `fuzz/checks/service.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], u16, bool, &[u8])| doorward::fuzzing::service::run(input));
