//! Files that change while requests are answered.
