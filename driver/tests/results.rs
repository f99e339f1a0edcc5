//! How soon a hub is there that has many outcomes in its store, and what they take in memory.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may panic, and figures are to be read"
)]

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use moorline_driver::Handle;
use moorline_driver::core::Command;
use rusqlite::Connection;

/// Starts a hub on a store and returns how long that took; the hub ends with its handle.
fn start(path: &Path) -> (Handle, Duration) {
    let options = serde_json::json!({
        "listen": "127.0.0.1:0", "max_results": 1_000_000, "max_result_bytes": 1_u64 << 40,
        "result_ttl_ms": 31_536_000_000_u64, "runtime": {"store_path": path.to_str().unwrap()},
    });
    let handle = Handle::open("beacon", "hub", &options.to_string()).unwrap();
    let (ring, rung) = channel();
    handle.events().set_doorbell(move || {
        let _ = ring.send(());
    });
    let begun = Instant::now();
    handle.submit(vec![Command::Start]).unwrap();
    let mut text = String::new();
    while !text.contains("\"ready\"") {
        rung.recv_timeout(Duration::from_secs(60)).unwrap();
        handle.events().drain(&mut text);
        assert!(!text.contains("\"ended\""), "{text}");
    }
    let took = begun.elapsed();
    (handle, took)
}

fn fill(path: &Path, count: u64) {
    let mut store = Connection::open(path).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = now.as_millis() as u64;
    let transaction = store.transaction().unwrap();
    {
        let insert = "INSERT INTO record VALUES ('hub.result', ?1, ?2)";
        let mut insert = transaction.prepare(insert).unwrap();
        for number in 0..count {
            let record = format!(
                r#"{{"key":"\nkey-{number}","capability":"Echo","action":"Say","run_id":"","priority":0,"enqueued":{now},"finished":{},"ending":"Complete","reported":true,"attempt":1,"bytes":612,"beacon_id":"bcn-w-1","name":"w","outputs":{{"Result":"{}"}},"log":[]}}"#,
                now - count + number,
                "x".repeat(100),
            );
            let hash = format!("wi-unknown-unknown-{}-{number}", now - count + number);
            insert.execute((hash, record.as_bytes())).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// Bytes that are resident, where the system tells.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

fn measure(count: u64) -> (Duration, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    drop(start(&path));
    fill(&path, count);
    let before = resident();
    let (hub, took) = start(&path);
    let grown = resident().saturating_sub(before);
    println!("{count} results: there after {took:?}, {} MB more resident", grown / 1_000_000);
    drop(hub);
    (took, grown)
}

/// K6.3. The figures of [`a_million_results_hold_nobody_up`] hold for an optimised build.
#[test]
fn many_results_are_known_and_stay_on_disk() {
    let (_, grown) = measure(50_000);
    assert!(grown < 60_000_000, "{grown}");
}

/// `cargo test --release -p moorline-driver --test results -- --ignored --nocapture`
#[test]
#[ignore = "wants an optimised build and half a gigabyte of disk"]
fn a_million_results_hold_nobody_up() {
    let (took, grown) = measure(1_000_000);
    assert!(took <= Duration::from_secs(2) && grown <= 500_000_000, "{took:?} {grown}");
}
