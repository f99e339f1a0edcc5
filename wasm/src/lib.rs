//! moorline-wasm
