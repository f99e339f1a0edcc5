//! A worker that finishes its work before it ends.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use moorline::Worker;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:54321".into());
    let worker = Worker::builder(&url)
        .name("polite")
        .handle("Polite/Wait", |settings: Value, _| async move { Ok(settings) })
        .connect()
        .await?;
    // Listens for the signal before it says so.
    let (signal, ()) = tokio::join!(biased; tokio::signal::ctrl_c(), async { println!("ready") });
    signal?;
    worker.drain(Duration::from_secs(30)).await?;
    println!("drained");
    Ok(())
}
