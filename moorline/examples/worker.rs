//! A worker that says back what it is told.

use moorline::Worker;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:54321".into());
    let worker = Worker::builder(&url)
        .name("echo-rust")
        .handle("Echo/Say", |say: Value, _| async move { Ok(json!({"Text": say["Text"]})) })
        .connect()
        .await?;
    worker.ended().await
}
