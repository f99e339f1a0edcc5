//! A provider that answers its consumers, and one of them.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use moorline::netcluster::{Consumer, Content, Provider};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let provider = Provider::builder()
        .port(0)
        .parameter("key", "secret")
        .admit_if(|request| async move { request.parameters.iter().any(|it| it.name == "user") })
        .on_open(|consumer| println!("open {}", consumer.ip()))
        .on_message(|consumer, message| match message {
            Content::Text(text) => drop(consumer.send(format!("you said {text}"))),
            Content::Bytes(bytes) => drop(consumer.end(Some(4_000), &format!("{bytes:?}"))),
        })
        .on_close(|_, code, reason| println!("close {code} {reason}"))
        .start()
        .await?;

    let stranger = Consumer::builder("127.0.0.1", provider.port()).connect().await;
    println!("refused: {}", stranger.is_err());

    let (sender, mut messages) = tokio::sync::mpsc::unbounded_channel();
    let consumer = Consumer::builder("127.0.0.1", provider.port())
        .parameter("key", "secret")
        .parameter("user", "ada")
        .on_message(move |message| drop(sender.send(message)))
        .connect()
        .await?;
    println!("{:?}", consumer.deliver("hello").await?);
    if let Some(Content::Text(text)) = messages.recv().await {
        println!("{text}");
    }
    consumer.drain(Duration::from_secs(1)).await?;
    provider.drain(Duration::from_secs(1)).await
}
