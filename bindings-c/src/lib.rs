//! moorline-c
