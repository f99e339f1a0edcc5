//! What a command that is refused looks like.

#![allow(clippy::print_stdout)]

use moorline::ErrorCode;
use moorline::volt::{DaemonClient, client_code};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:54321".into());
    let daemon = DaemonClient::builder(&url, "cluster-abc123")
        .daemon_password("rotated-pw-xyz")
        .connect()
        .await?;
    match daemon.send_command("no.such.command", &()).await {
        Err(error) if error.code() == ErrorCode::RemoteError => {
            println!("{} {:?}", client_code(error.code()), error.status());
            println!("{}", error.message());
        }
        other => println!("{other:?}"),
    }
    daemon.disconnect().await;
    Ok(())
}
