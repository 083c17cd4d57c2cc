//! The size of tests that attack doorward: small in every run, and as large as the figures that are quoted with
//! `make test-attacks`.

/// Returns `full` if `DOORWARD_TEST_SCALE=full` is set, as `make test-attacks` does, and `small` otherwise.
pub(crate) fn scaled(small: usize, full: usize) -> usize {
    if is_full() { full } else { small }
}

/// Returns true if the tests run at full size.
pub(crate) fn is_full() -> bool {
    std::env::var_os("DOORWARD_TEST_SCALE").is_some_and(|scale| scale == "full")
}
