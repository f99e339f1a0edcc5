//! A daemon that turns its one-time token into a password, and keeps it.

#![allow(clippy::print_stdout)]

use moorline::volt::DaemonClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("http://127.0.0.1:54321".into());
    let token = arguments.next().unwrap_or("enroll-tok-1".into());
    let file = arguments.next().unwrap_or("daemon.db".into());
    let daemon = DaemonClient::builder(&url, "cluster-new")
        .enroll(&url, &token, "1.4.2")
        .store_path(&file)
        .connect()
        .await?;
    println!("enrolled: {}", !daemon.daemon_password().is_empty());
    daemon.disconnect().await;
    Ok(())
}
