//! Providers and consumers of network-cluster over real sockets.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline::ErrorCode;
use moorline::netcluster::{Connection, Consumer, Content, Outcome, Provider};
use serde_json::Value;
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
            assert_ne!(user, "panic at once");
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
    let secret = ["eve", "panic", "panic at once"].map(|user| ("secret", user));
    for (key, user) in [("wrong", "ada")].into_iter().chain(secret) {
        let error = connect(key, user).await.unwrap_err();
        assert_eq!((error.code(), error.status()), (ErrorCode::AuthenticationFailed, Some(403)));
    }
    let consumer = connect("secret", "ada").await.unwrap();
    assert!(consumer.is_connected());
    assert_eq!(*asked.lock().unwrap(), ["eve", "panic", "panic at once", "ada"]);
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

/// What the original answers to an offer of compression, by preset (vector 21).
#[tokio::test]
async fn presets_of_compression_are_granted_as_by_the_original() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let usual = ["permessage-deflate", "permessage-deflate; client_max_window_bits"];
    let lines = include_str!("../../tests/vectors/netcluster/21-compressor-negotiation.jsonl");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut checked = 0;
    for pair in lines.windows(2) {
        let [asked, answered] = pair else { continue };
        let (Some(preset), Some(header)) = (asked["preset"].as_str(), asked["data"].as_str())
        else {
            continue;
        };
        let offer = header.strip_prefix("Sec-WebSocket-Extensions: ").unwrap_or_default();
        if asked["dir"] != "c2s" || !usual.contains(&offer) {
            continue;
        }
        let tables = moorline::core::words::WORDS.iter().copied().flatten();
        let members =
            tables.filter(|table| table.dialect == "netcluster").flat_map(|it| it.members);
        let number = members.filter(|(name, _)| *name == preset).map(|(_, number)| *number).next();
        let number: u64 = number.unwrap().parse().unwrap();
        let provider = Provider::builder()
            .port(0)
            .options(move |options| options.ws.compressor = number)
            .start()
            .await
            .unwrap();
        let mut socket = tokio::net::TcpStream::connect(provider.address()).await.unwrap();
        let request = format!(
            "GET /connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{header}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let granted = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split("; ").map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        let wanted = answered["data"].as_str().map(sorted);
        assert_eq!(granted.map(sorted), wanted, "{preset}, {offer}");
        checked += 1;
    }
    assert_eq!(checked, 22);
}

#[tokio::test]
async fn messages_are_compressed_both_ways() {
    let (opened, mut opens) = told();
    let provider = Provider::builder()
        .port(0)
        .options(|options| options.ws.compressor = 2_306)
        .on_open(move |connection: &Connection| opened(connection.clone()))
        .on_message(|connection, message| connection.send_compressed(message).unwrap())
        .start()
        .await
        .unwrap();
    let (heard, mut messages) = told();
    let consumer = Consumer::builder("127.0.0.1", provider.port());
    let consumer = consumer.on_message(heard).connect().await.unwrap();
    opens.recv().await.unwrap();
    let large = Content::from("A".repeat(30_000));
    consumer.send(large.clone()).unwrap();
    assert_eq!(messages.recv().await, Some(large));
}
