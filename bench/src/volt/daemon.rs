//! The Rust daemon that is measured.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use moorline::volt::DaemonClient;
use moorline_core::Raw;
use serde_json::{Value, json};
use tokio::task::{LocalSet, spawn_local};

use super::clock::Load;
use crate::process::Failure;

/// What it does.
#[derive(Args)]
pub(crate) struct Daemon {
    /// The control plane.
    url: String,
    mode: Mode,
    #[command(flatten)]
    load: Load,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Keep commands to the control plane in flight.
    Calls,
    /// Handle commands of the control plane.
    Commands,
    /// Send commands that are never answered and tell when the last was settled.
    Settle,
}

/// Runs to the end of the measurement and prints it.
pub(super) fn run(daemon: &Daemon) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let handled = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&handled);
        let client = DaemonClient::builder(&daemon.url, "cluster-abc123")
            .daemon_password("rotated-pw-xyz")
            .include_credentials(true)
            .handle("bench.echo", move |payload: Value, _| {
                count.fetch_add(1, Ordering::Relaxed);
                async move { Ok(json!({ "job": payload.get("job") })) }
            })
            .connect()
            .await?;
        match daemon.mode {
            Mode::Calls => calls(&client, daemon.load).await,
            Mode::Commands => daemon.load.window(|| handled.load(Ordering::Relaxed)).await,
            Mode::Settle => settle(&client, daemon.load).await,
        }
    })
}

/// The payload is written once, and the answer's data stay as they came.
fn payload() -> Raw {
    Raw::from_value(&json!({ "job": "j-12345", "page": 1, "filter": "running" }))
        .unwrap_or_else(|_| Raw::absent())
}

async fn calls(client: &DaemonClient, load: Load) -> Result<(), Failure> {
    let done = Rc::new(Cell::new(0));
    for _ in 0..load.in_flight {
        let (client, done) = (client.clone(), Rc::clone(&done));
        spawn_local(async move {
            let payload = payload();
            while client.send_command_raw("jobs.list", payload.clone()).await.is_ok() {
                done.set(done.get() + 1);
            }
        });
    }
    load.window(|| done.get()).await
}

async fn settle(client: &DaemonClient, load: Load) -> Result<(), Failure> {
    let pending: Vec<_> = (0..load.in_flight)
        .map(|_| {
            let client = client.clone();
            spawn_local(async move { client.send_command_raw("jobs.list", payload()).await })
        })
        .collect();
    for call in pending {
        if call.await?.is_ok() {
            return Err("a call was answered".into());
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
    println!(r#"{{"at":{now:.3}}}"#);
    Ok(())
}
