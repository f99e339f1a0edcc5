//! The bench notices faults: planted ones, in real hubs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// The hub's program, which whoever runs the whole gate has built.
fn moorline() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_moorline-attack")).with_file_name("moorline");
    assert!(program.exists(), "first: cargo build -p moorline-cli");
    program
}

fn attack(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline-attack"));
    command.arg("--moorline").arg(moorline()).args(arguments).output().unwrap()
}

#[test]
fn a_planted_fault_misses_its_bound_and_ends_with_1() {
    let sound = attack(&["--only", "K3.1"]);
    let shown = String::from_utf8_lossy(&sound.stdout).into_owned();
    assert_eq!(sound.status.code(), Some(0), "{shown}");
    assert!(shown.contains("met") && !shown.contains("MISSED"), "{shown}");

    // A hub that goes by every name.
    let planted = attack(&["--only", "K3.1", "--plant", r#"allowed_hosts=["evil.example"]"#]);
    let shown = String::from_utf8_lossy(&planted.stdout).into_owned();
    assert_eq!(planted.status.code(), Some(1), "{shown}");
    assert!(shown.contains("MISSED"), "{shown}");
}

#[test]
fn an_entry_that_nobody_attacks_is_no_success() {
    assert_eq!(attack(&["--only", "K99"]).status.code(), Some(1));
}
