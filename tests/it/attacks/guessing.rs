//! Guessed passwords and enumerated user names, and what they cost everyone else.
