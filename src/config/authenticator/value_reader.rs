//! Reads the values of a table, and collects the errors with their places.

use std::time::Duration;

use toml::Spanned;

use crate::config::array_of_tables::{TableErrors, offset};
use crate::config::value;

/// Reads values, and adds an error for each invalid one.
pub(super) struct ValueReader<'r> {
    errors: &'r mut TableErrors,
}

impl<'r> ValueReader<'r> {
    /// Creates a reader that adds its errors to `errors`.
    pub(super) fn new(errors: &'r mut TableErrors) -> Self {
        Self { errors }
    }

    /// Returns how many errors there are.
    pub(super) fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// Adds an error at an offset of the file.
    pub(super) fn add_error(&mut self, place: usize, message: impl Into<String>) {
        self.errors.push((place, message.into()));
    }

    /// Returns the value, or adds the error and returns `None`.
    pub(super) fn ok_or_add_error<T>(&mut self, place: usize, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add_error(place, message)).ok()
    }

    /// Reads a duration from `low` to `high`.
    pub(super) fn read_duration(
        &mut self,
        text: Option<&Spanned<String>>,
        default: Duration,
        low: Duration,
        high: Duration,
    ) -> Duration {
        let duration = text.and_then(|text| {
            self.ok_or_add_error(offset(text), value::parse_duration(text.get_ref(), low, high))
        });
        duration.unwrap_or(default)
    }

    /// Reads a number from 1 to `high`.
    pub(super) fn read_count(
        &mut self,
        key: &str,
        number: Option<&Spanned<usize>>,
        default: usize,
        high: usize,
    ) -> usize {
        let Some(number) = number else { return default };
        if !(1..=high).contains(number.get_ref()) {
            let message = format!("{key}: {} is not a whole number from 1 to {high}", number.get_ref());
            self.add_error(offset(number), message);
        }
        *number.get_ref()
    }
}
