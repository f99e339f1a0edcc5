//! A link that is cut without a word: neither end of network-cluster is told, both notice.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::time::Duration;

use moorline::netcluster::{Connection, Consumer, Content, Provider};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// What notices it takes a quarter of a second; this is for machines that do something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries one connection to `port`, until it is told to stop; then both sides stay open and silent.
async fn link(port: u16) -> (u16, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().port();
    let (cut, is_cut) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut here, _) = listener.accept().await.unwrap();
        let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::select! {
            end = copy_bidirectional(&mut here, &mut there) => panic!("not cut: {end:?}"),
            _ = is_cut => std::future::pending::<()>().await,
        }
    });
    (near, cut)
}

#[tokio::test]
async fn a_cut_link_is_noticed_at_both_ends() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let provider = Provider::builder()
        .port(0)
        .options(|options| {
            options.heartbeat.interval = 100;
            options.heartbeat.max_strikes = 1;
        })
        .on_message(|connection: &Connection, message| connection.send(message).unwrap())
        .on_close(move |_, code, _| closed.send(code).unwrap())
        .start()
        .await
        .unwrap();
    let (port, cut) = link(provider.port()).await;
    let (heard, mut messages) = mpsc::unbounded_channel();
    let (lost, mut losses) = mpsc::unbounded_channel();
    let consumer = Consumer::builder("127.0.0.1", port)
        .options(|options| options.reconnect_enabled = false)
        .on_message(move |message| heard.send(message).unwrap())
        .on_disconnect(move |code, _| lost.send(code).unwrap())
        .connect()
        .await
        .unwrap();
    consumer.send("whole").unwrap();
    let echo = timeout(PATIENCE, messages.recv()).await.unwrap();
    assert_eq!(echo, Some(Content::from("whole")));
    cut.send(()).unwrap();
    // By strikes: an idle connection would be cut off after 8 s with 1006.
    assert_eq!(timeout(PATIENCE, closes.recv()).await.unwrap(), Some(0));
    // By the heartbeats that did not come.
    assert_eq!(timeout(PATIENCE, losses.recv()).await.unwrap(), Some(1_005));
}
