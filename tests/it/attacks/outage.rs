//! Authenticators over HTTP that are slow, broken or down for some clients or for all.
