//! moorline-node
