//! Wrappers for third-party backends.
