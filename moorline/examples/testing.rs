//! A hub, a worker and a dispatcher in one process.

#![allow(clippy::print_stdout)]

use moorline::{Dispatcher, Hub, Worker};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let hub = Hub::builder().listen("127.0.0.1:0").start().await?;
    let _worker = Worker::builder(&hub.url())
        .name("under-test")
        .handle("Echo/Say", |say: Value, _| async move { Ok(json!({"Text": say["Text"]})) })
        .connect()
        .await?;

    let dispatcher = Dispatcher::connect(&hub.url()).await?;
    let reply = dispatcher.call("Echo/Say", &json!({"Text": "hi"})).await?;
    assert_eq!(reply.data::<Value>()?, json!({"Text": "hi"}));
    println!("passed");
    Ok(())
}
