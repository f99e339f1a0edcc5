//! A server with a handler and scripts, and a client that asks for both.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use moorline::wsdaemon::Daemon;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let server = Daemon::server("127.0.0.1:0")
        .token("secret")
        .scripts("scripts")
        .handle("greet", |params: Value, _work| async move {
            println!("hello {}", params["name"].as_str().unwrap_or("you"));
            Ok(())
        })
        .on_message(|message| println!("told {}", message.as_str()))
        .start()
        .await?;

    let client = Daemon::client(&format!("ws://{}", server.id())).token("secret").start().await?;
    client.tell(&json!({ "load": 0.5 }))?;
    println!("greet: {:?}", client.call("greet", &json!({ "name": "Ada" })).await?);
    println!("backup: {:?}", client.call("backup", &json!({ "full": true })).await?);
    println!("unknown: {:?}", client.call("unknown", &()).await?);

    client.drain(Duration::from_secs(5)).await?;
    server.drain(Duration::from_secs(5)).await
}
