//! Runs the check in `fuzz/checks/htpasswd_file.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| doorward::fuzzing::htpasswd_file::run(text));
