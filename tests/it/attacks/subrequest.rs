//! Headers that a client can make a proxy send, and the log under a flood.
