//! What each listener answers, and what connections of untrusted peers can do.
