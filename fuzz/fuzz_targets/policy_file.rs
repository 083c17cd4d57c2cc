//! Runs the check in `fuzz/checks/policy_file.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| doorward::fuzzing::policy_file::run(text));
