//! A hub and a daemon in one process.

#![allow(clippy::print_stdout)]

use moorline::Hub;
use moorline::volt::DaemonClient;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::core::Error> {
    let credential = json!([{ "team_cluster_id": "under-test", "password": "secret" }]);
    let hub =
        Hub::builder().listen("127.0.0.1:0").option("volt.daemons", credential).start().await?;
    let daemon = DaemonClient::builder(&hub.url(), "under-test")
        .daemon_password("secret")
        .handle("text.shout", |text: String, _| async move { Ok(text.to_uppercase()) })
        .connect()
        .await?;

    let reply = hub.call_daemon("under-test", "text.shout", "quiet").await?;
    assert_eq!(reply.data::<Value>()?, Some(json!("QUIET")));
    daemon.disconnect().await;
    println!("passed");
    Ok(())
}
