//! Asks for work and waits for its result.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use moorline::Dispatcher;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:54321".into());
    let dispatcher = Dispatcher::connect(&url).await?;
    let reply = dispatcher
        .call("Echo/Say", &json!({"Text": "hello"}))
        .timeout(Duration::from_secs(10))
        .idempotency_key("greeting-1")
        .await?;
    let outputs: Value = reply.data()?;
    println!("{}", outputs["Text"]);
    dispatcher.drain(Duration::from_secs(1)).await
}
