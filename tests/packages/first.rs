//! A hub, a worker and a dispatcher in one program, which says what it was answered.

use moorline::{Dispatcher, Hub, Worker};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let hub = Hub::builder().listen("127.0.0.1:0").start().await?;
    let _worker = Worker::builder(&hub.url())
        .name("first-rust")
        .handle("Echo/Say", |say: Value, _| async move { Ok(json!({"Text": say["Text"]})) })
        .connect()
        .await?;
    let dispatcher = Dispatcher::connect(&hub.url()).await?;
    let reply = dispatcher.call("Echo/Say", &json!({"Text": "hello"})).await?;
    println!("{}", reply.data::<Value>()?["Text"].as_str().unwrap_or_default());
    Ok(())
}
