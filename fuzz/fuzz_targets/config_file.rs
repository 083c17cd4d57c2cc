//! Runs the check in `fuzz/checks/config_file.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| doorward::fuzzing::config_file::run(text));
