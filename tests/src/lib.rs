//! moorline-tests
