//! What a failed handler looks like to its caller.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use moorline::{Dispatcher, ErrorCode, Failure, Worker};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:54321".into());
    let _worker = Worker::builder(&url)
        .name("failing")
        .handle("Failing/Now", |_: Value, _| async move {
            Err::<Value, _>(Failure::new("no such picture"))
        })
        .connect()
        .await?;

    let dispatcher = Dispatcher::connect(&url).await?;
    let call = dispatcher.call("Failing/Now", &json!({})).timeout(Duration::from_secs(10));
    match call.await {
        Err(error) if error.code() == ErrorCode::RemoteError => {
            println!("{} {}", error.code().number(), error.message());
            println!("retryable: {}; {}", error.is_retryable(), error.code().fix());
            Ok(())
        }
        other => other.map(drop),
    }
}
