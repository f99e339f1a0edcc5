//! A daemon that runs jobs until it is told to end.

#![allow(clippy::print_stdout)]

use std::pin::pin;
use std::time::Duration;

use moorline::Event;
use moorline::volt::DaemonClient;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:54321".into());
    let daemon = DaemonClient::builder(&url, "cluster-abc123")
        .daemon_password("rotated-pw-xyz")
        .heartbeat_interval(Duration::from_secs(10))
        .include_credentials(true)
        .register_with_ack(true)
        .handle("jobs.run", |job: Value, _| async move { Ok(json!({ "started": job["id"] })) })
        .build()?;

    let mut events = daemon.events();
    if let Err(error) = daemon.connect().await {
        println!("not yet: {error}");
    }
    let mut end = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            signal = &mut end => break signal?,
            event = events.next() => match event {
                Some(Event::Ready { .. }) => println!("registered"),
                Some(Event::Lost { reason, .. }) => println!("lost: {reason}"),
                Some(Event::Notice(error)) => println!("{error}"),
                _ => {}
            },
        }
    }
    daemon.disconnect().await;
    Ok(())
}
