//! The worker in Rust: reverses text.

use std::time::Duration;

use moorline::{Failure, Worker};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::progress;
use crate::task::Language;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outputs {
    answer: String,
    attempt: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    attempt_number: u64,
}

/// Runs until it is told to end.
pub(crate) async fn run(url: String, name: String) -> Result<(), String> {
    let worker = Worker::builder(&url)
        .name(&name)
        .max_concurrent(16)
        .options(|options| {
            options.reconnect.base_delay_ms = 200;
            options.reconnect.max_delay_ms = 1_000;
        })
        .handle(Language::Rust.key(), async |settings: Settings, work| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let envelope: Envelope = work.meta().read()?;
            let answer = settings.text.chars().rev().collect();
            Ok::<_, Failure>(Outputs { answer, attempt: envelope.attempt_number })
        })
        .connect()
        .await
        .map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    progress::result("ready");
    tokio::select! {
        _ = terminate.recv() => worker.drain(Duration::from_secs(5)).await.map_err(|e| e.to_string()),
        ended = worker.ended() => ended.map_err(|e| e.to_string()),
    }
}
