//! Runs the check in `fuzz/checks/nginx_check.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| doorward::fuzzing::nginx_check::run(text));
