//! Runs the check in `fuzz/checks/api_key_file.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| doorward::fuzzing::api_key_file::run(text));
