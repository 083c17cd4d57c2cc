//! Requests that nginx judges by one spelling and passes on by another.
