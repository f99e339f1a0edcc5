//! A hub and a daemon in one process.

#![allow(clippy::print_stdout)]

use moorline::volt::DaemonClient;
use moorline::{Hub, WorkContext};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let hub = Hub::builder()
        .listen("127.0.0.1:0")
        .daemon("under-test", "secret")
        .handle_daemon("jobs.list", |page: u64, work: WorkContext| async move {
            Ok(format!("page {page} for {}", work.peer().unwrap_or_default()))
        })
        .start()
        .await?;
    let daemon = DaemonClient::builder(&hub.url(), "under-test")
        .daemon_password("secret")
        .handle("text.shout", |text: String, _| async move { Ok(text.to_uppercase()) })
        .connect()
        .await?;

    let reply = hub.call_daemon("under-test", "text.shout", "quiet").await?;
    assert_eq!(reply.data::<String>()?, "QUIET");
    let jobs: String = daemon.send_command("jobs.list", &1).await?.data()?;
    assert_eq!(jobs, "page 1 for under-test");
    daemon.disconnect().await;
    println!("passed");
    Ok(())
}
