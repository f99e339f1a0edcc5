//! A worker of the Rust package: a process of its own that is told to return, or to hold, whatever the
//! attack wants.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use moorline::{Failure, Report, Worker};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// What the worker is like.
#[derive(Args, Clone, Debug)]
pub struct OwnWorker {
    /// The hub
    url: String,
    /// Its name
    #[arg(long, default_value = "own")]
    name: String,
    /// How many items it runs at once
    #[arg(long, default_value_t = 16)]
    slots: u64,
    /// Handlers beside its own, each with a description of 200 bytes
    #[arg(long, default_value_t = 0)]
    handlers: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Settings {
    bytes: usize,
    every_ms: u64,
    times: u64,
}

/// Runs until it is killed.
///
/// # Errors
/// Why it could not be registered, or ended.
pub fn run(own: OwnWorker) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(serve(own))
}

async fn serve(own: OwnWorker) -> Result<(), String> {
    let gate = Arc::new(Semaphore::new(0));
    let (held, opened) = (Arc::clone(&gate), Arc::clone(&gate));
    let mut worker = Worker::builder(&own.url)
        .name(&own.name)
        .max_concurrent(own.slots)
        .handle("Own/Fill", async |settings: Settings, work| {
            for _ in 0..settings.times {
                tokio::time::sleep(Duration::from_millis(settings.every_ms)).await;
                work.progress(&Report { percent: Some(1.0), ..Report::default() });
            }
            Ok::<_, Failure>("x".repeat(settings.bytes))
        })
        // Waits until the gate is opened, for all that wait at once.
        .handle("Own/Hold", move |_: serde_json::Value, _| {
            let held = Arc::clone(&held);
            async move {
                let _permit = held.acquire().await;
                Ok::<_, Failure>("held")
            }
        })
        .handle("Own/Open", move |_: serde_json::Value, _| {
            let opened = Arc::clone(&opened);
            async move {
                opened.add_permits(Semaphore::MAX_PERMITS / 4);
                Ok::<_, Failure>("opened")
            }
        });
    for number in 0..own.handlers {
        let key = format!("Own/Other{number}");
        worker = worker.handle(&key, async |_: serde_json::Value, _| Ok::<_, Failure>(()));
        worker = worker.describe(&key, &"d".repeat(200));
    }
    let worker = worker.connect().await.map_err(|e| e.to_string())?;
    let _ = writeln!(std::io::stdout(), "ready");
    worker.ended().await.map_err(|e| e.to_string())
}
