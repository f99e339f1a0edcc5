//! Handlers with every form of answer, streams among them.

#![allow(clippy::print_stdout)]

use moorline::volt::{CommandContext, DaemonClient, Failure, Rejection, Reply};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Container {
    id: String,
}

async fn remove(container: Container, context: CommandContext) -> Result<Reply, Failure> {
    let removed = json!({ "removed": container.id, "by": context.command() });
    Ok(Reply::new().data(&removed).status(202).header("x-trace", &context.request_id()))
}

async fn stop(container: Container, _: CommandContext) -> Result<(), Failure> {
    if container.id == "a" {
        return Err(Rejection::new(409, "it is being removed").into());
    }
    Ok(())
}

async fn follow(_: Value, _: CommandContext) -> Result<Reply, Failure> {
    let (sender, reply) = Reply::channel();
    tokio::spawn(async move {
        for number in 0..3 {
            // Waits for room; fails when nobody wants the stream any more.
            if sender.send(format!("line {number}\n")).await.is_err() {
                return;
            }
        }
    });
    Ok(reply.header("content-type", "text/plain"))
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
        .handle("file.read", |_: Value, _| async { Ok(Reply::new().body(vec![0, 1, 2])) })
        .handle("logs.follow", follow)
        .connect()
        .await?;
    // Listens for the signal before it says so.
    let (signal, ()) = tokio::join!(biased; tokio::signal::ctrl_c(), async { println!("ready") });
    signal?;
    daemon.disconnect().await;
    Ok(())
}
