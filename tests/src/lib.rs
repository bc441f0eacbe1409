//! End-to-end tests of the binary live in `tests/`; this library holds what they share.
