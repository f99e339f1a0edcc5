//! What this program is when it is a contestant.

use std::sync::mpsc;

use moorline::Handle;
use moorline_core::Command;

use crate::process::Failure;

/// Runs a hub until the process is ended; prints its address once it listens.
pub(crate) fn hub(store: &str) -> Result<(), Failure> {
    let options = serde_json::json!({
        "listen": "127.0.0.1:0",
        "max_unadmitted_per_address": 4096,
        "runtime": {"store_path": store},
    });
    let hub = Handle::open("beacon", "hub", &options.to_string())?;
    let (ring, rung) = mpsc::sync_channel(1);
    hub.events().set_doorbell(move || {
        // A full channel is a bell that rings already.
        let _ = ring.try_send(());
    });
    hub.submit(vec![Command::Start])?;
    while rung.recv().is_ok() {
        loop {
            let mut text = String::new();
            let drained = hub.events().drain(&mut text);
            let events: Vec<serde_json::Value> = serde_json::from_str(&text)?;
            for event in events {
                if event.get("event").is_some_and(|kind| kind == "ready") {
                    let id = event.get("id").and_then(|id| id.as_str()).unwrap_or_default();
                    println!("{id}");
                }
            }
            if drained.ended {
                return Err("the hub ended".into());
            }
            if !drained.more {
                break;
            }
        }
    }
    Ok(())
}

/// Runs a worker until the process is ended; prints a line once it is registered.
pub(crate) fn worker(url: &str, max_concurrent: u64) -> Result<(), Failure> {
    let _ = (url, max_concurrent);
    Err("not built".into())
}
