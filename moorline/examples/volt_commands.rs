//! Commands to the control plane, and messages.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use moorline::Raw;
use moorline::volt::DaemonClient;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Beat {
    team_cluster: Value,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:54321".into());
    let daemon = DaemonClient::builder(&url, "cluster-abc123")
        .daemon_password("rotated-pw-xyz")
        .include_credentials(true)
        .connect()
        .await?;

    let credentials = json!({
        "teamClusterId": daemon.team_cluster_id(),
        "daemonPassword": daemon.daemon_password().expose(),
    });
    let beat = daemon
        .send_command("runtime.heartbeat", &credentials)
        .timeout(Duration::from_secs(5))
        .await?;
    println!("{}", beat.data::<Beat>()?.team_cluster.is_object());

    daemon.emit(&json!({ "type": "exposure-snapshot", "exposures": [] }))?;
    let message = r#"{"type":"tunnel-data","chunk":{"_placeholder":true,"num":0}}"#;
    daemon.emit_raw(Raw::parse(message)?.with_blobs(vec![vec![0, 1].into()]))?;
    daemon.disconnect().await;
    Ok(())
}
