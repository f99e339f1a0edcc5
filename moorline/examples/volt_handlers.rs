//! Handlers with every form of answer, streams among them.

#![allow(clippy::print_stdout)]

use moorline::volt::DaemonClient;
use moorline::{Failure, Reply, WorkContext};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Container {
    id: String,
}

async fn remove(container: Container, work: WorkContext) -> Result<Reply, Failure> {
    let removed = json!({ "removed": container.id, "by": work.key() });
    Ok(Reply::new().with_data(&removed).with_status(202).with_header("x-trace", &work.wire_id()))
}

async fn stop(container: Container, _: WorkContext) -> Result<(), Failure> {
    if container.id == "a" {
        return Err(Failure::rejected(409, "it is being removed"));
    }
    Ok(())
}

async fn follow(_: Value, _: WorkContext) -> Result<Reply, Failure> {
    let (sender, reply) = Reply::channel();
    tokio::spawn(async move {
        for number in 0..3 {
            // Waits for room; fails when nobody wants the stream any more.
            if sender.send(format!("line {number}\n")).await.is_err() {
                return;
            }
        }
    });
    Ok(reply.with_header("content-type", "text/plain"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:54321".into());
    let daemon = DaemonClient::builder(&url, "cluster-abc123")
        .daemon_password("rotated-pw-xyz")
        .include_credentials(true)
        .handle("container.list", |_: Value, _| async { Ok(["a", "b"]) })
        .handle("container.remove", remove)
        .handle("container.stop", stop)
        .handle("file.read", |_: Value, _| async { Ok(Reply::new().with_body(vec![0, 1, 2])) })
        .handle("logs.follow", follow)
        .connect()
        .await?;
    // Listens for the signal before it says so.
    let (signal, ()) = tokio::join!(biased; tokio::signal::ctrl_c(), async { println!("ready") });
    signal?;
    daemon.disconnect().await;
    Ok(())
}
