//! Providers and consumers of network-cluster over real sockets.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline::ErrorCode;
use moorline::netcluster::{Connection, Consumer, Content, Outcome, Provider};
use tokio::sync::mpsc;

/// What a test is told, in order.
fn told<T>() -> (impl Fn(T) + Clone, mpsc::UnboundedReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (move |what| drop(sender.send(what)), receiver)
}

#[tokio::test]
async fn messages_go_both_ways_as_they_are() {
    let (opened, mut opens) = told();
    let (closed, mut closes) = told();
    let provider = Provider::builder()
        .port(0)
        .on_open(move |connection: &Connection| {
            connection.send("welcome").unwrap();
            opened(connection.clone());
        })
        .on_message(|connection, message| connection.send(message).unwrap())
        .on_close(move |_, code, reason: &str| closed((code, reason.to_owned())))
        .start()
        .await
        .unwrap();
    let (heard, mut messages) = told();
    let consumer = Consumer::builder("127.0.0.1", provider.port())
        .parameter("who", "a b")
        .on_message(heard)
        .connect()
        .await
        .unwrap();
    let connection = opens.recv().await.unwrap();
    assert_eq!((connection.id().len(), connection.ip()), (36, "127.0.0.1"));
    let [who] = connection.parameters() else { panic!("one parameter") };
    assert_eq!((&*who.name, who.value.as_deref()), ("who", Some("a b")));
    assert_eq!(messages.recv().await, Some(Content::from("welcome")));
    for content in [Content::from(""), Content::from("wörld"), Content::from(vec![0, 255])] {
        assert_eq!(consumer.deliver(content.clone()).await.unwrap(), Outcome::Sent);
        assert_eq!(messages.recv().await, Some(content));
    }
    let large = Content::from("x".repeat(1 << 20));
    assert_eq!(connection.deliver(large.clone()).await.unwrap(), Outcome::Sent);
    assert_eq!(messages.recv().await, Some(large));
    provider.send_to([&connection], "to all").unwrap();
    assert_eq!(messages.recv().await, Some(Content::from("to all")));
    let reserved = connection.deliver("PING").await.unwrap_err();
    assert_eq!(reserved.code(), ErrorCode::ArgumentInvalid);
    assert_eq!(consumer.deliver("PONG").await.unwrap_err().code(), ErrorCode::ArgumentInvalid);
    consumer.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!(closes.recv().await, Some((1_005, String::new())));
    let gone = connection.deliver("late").await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::InputGone);
    provider.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn who_is_refused_is_refused_for_good_and_who_panics_refuses() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&asked);
    let provider = Provider::builder()
        .port(0)
        .parameter("key", "secret")
        .admit_if(move |request| {
            let user = request.parameters.iter().find(|pair| pair.name == "user");
            let user = user.and_then(|pair| pair.value.clone()).unwrap_or_default();
            known.lock().unwrap().push(user.clone());
            async move {
                assert_ne!(user, "panic");
                user == "ada"
            }
        })
        .start()
        .await
        .unwrap();
    let connect = async |key: &str, user: &str| {
        let consumer = Consumer::builder("127.0.0.1", provider.port());
        consumer.parameter("key", key).parameter("user", user).connect().await
    };
    for (key, user) in [("wrong", "ada"), ("secret", "eve"), ("secret", "panic")] {
        let error = connect(key, user).await.unwrap_err();
        assert_eq!((error.code(), error.status()), (ErrorCode::AuthenticationFailed, Some(403)));
    }
    let consumer = connect("secret", "ada").await.unwrap();
    assert!(consumer.is_connected());
    assert_eq!(*asked.lock().unwrap(), ["eve", "panic", "ada"]);
}

#[tokio::test]
async fn a_consumer_comes_back_and_gives_up_when_told_to() {
    let started = |port: u16| Provider::builder().port(port).start();
    let provider = started(0).await.unwrap();
    let port = provider.port();
    let second = started(port).await.unwrap_err();
    assert_eq!(second.code(), ErrorCode::ListenFailed, "ports are exclusive");
    let (ended, mut ends) = told();
    let consumer = Consumer::builder("127.0.0.1", port)
        .on_disconnect(move |code, reason: &str| ended((code, reason.to_owned())))
        .options(|options| options.reconnect.base_delay_ms = 20)
        .connect()
        .await
        .unwrap();
    let mut events = consumer.events();
    provider.drain(Duration::ZERO).await.unwrap();
    assert_eq!(ends.recv().await, Some((1_005, String::new())));
    let provider = started(port).await.unwrap();
    while !matches!(events.next().await, Some(moorline::Event::Ready { .. })) {}
    consumer.deliver("again").await.unwrap();
    drop(provider);
    let error = consumer.ended().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    let nobody = Consumer::builder("127.0.0.1", port)
        .options(|options| options.reconnect_enabled = false)
        .connect()
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), ErrorCode::ConnectFailed);
}

#[tokio::test]
async fn a_connection_is_ended_with_its_code_or_cut_off() {
    let (opened, mut opens) = told();
    let (closed, mut closes) = told();
    let provider = Provider::builder()
        .port(0)
        .on_open(move |connection: &Connection| opened(connection.clone()))
        .on_close(move |_, code, _| closed(code))
        .start()
        .await
        .unwrap();
    let (ended, mut ends) = told();
    let consumer = Consumer::builder("127.0.0.1", provider.port())
        .on_disconnect(move |code, reason: &str| ended((code, reason.to_owned())))
        .options(|options| options.reconnect.base_delay_ms = 10)
        .connect()
        .await
        .unwrap();
    opens.recv().await.unwrap().end(Some(4_001), "go away").unwrap();
    assert_eq!(ends.recv().await, Some((4_001, String::from("go away"))));
    assert_eq!(closes.recv().await, Some(4_001));
    opens.recv().await.unwrap().close().unwrap();
    assert_eq!(ends.recv().await, Some((1_006, String::new())));
    assert_eq!(closes.recv().await, Some(1_006));
    opens.recv().await.unwrap().end(None, "").unwrap();
    assert_eq!(ends.recv().await, Some((1_005, String::new())));
    assert_eq!(closes.recv().await, Some(0));
    drop(consumer);
}

#[tokio::test]
async fn what_a_turn_sends_is_not_held_against_a_consumer_that_reads() {
    let (opened, mut opens) = told();
    let provider = Provider::builder()
        .port(0)
        .on_open(move |connection: &Connection| opened(connection.clone()))
        .start()
        .await
        .unwrap();
    let (heard, mut messages) = told();
    let consumer = Consumer::builder("127.0.0.1", provider.port());
    let consumer = consumer.on_message(heard).connect().await.unwrap();
    let connection = opens.recv().await.unwrap();
    // More than ws.max_backpressure, at once: the network takes it.
    let message = Content::from("x".repeat(16 * 1024));
    for _ in 0..100 {
        connection.send(message.clone()).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(messages.recv().await, Some(message.clone()));
    }
    drop(consumer);
}
