//! ws-daemons of this library, with each other, with scripts, and with a program of the local socket.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use moorline::wsdaemon::{Daemon, DaemonBuilder};
use moorline::{ErrorCode, Event, Raw};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::unbounded_channel;

async fn server(describe: impl FnOnce(DaemonBuilder) -> DaemonBuilder) -> Daemon {
    describe(Daemon::server("127.0.0.1:0")).start().await.unwrap()
}

fn client(server: &Daemon) -> DaemonBuilder {
    Daemon::client(&format!("ws://{}", server.id()))
}

#[tokio::test]
async fn handlers_run_beside_scripts_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("three", "exit 3"), ("taken", "exit 9"), ("argument", "test \"$1\" = '[1.0]'")]
    {
        let script = folder.path().join(name);
        std::fs::write(&script, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = server(|daemon| {
        daemon
            .scripts(folder.path().to_str().unwrap())
            .handle("taken", |params: Value, work| async move {
                assert_eq!((work.key(), params), ("taken", json!({"a": 1})));
                Ok(json!({"status": 4}))
            })
            .handle("fails", |_: Value, _| async { Err::<(), _>(moorline::Failure::new("no")) })
    })
    .await;
    let client = client(&server)
        .handle(
            "nothing",
            |params: Option<Value>, _| async move { Ok(i64::from(params.is_some())) },
        )
        .start()
        .await
        .unwrap();
    assert!(client.is_ready() && client.id().starts_with("ws://127.0.0.1:"));
    assert_eq!(client.call("three", &json!(null)).await.unwrap(), Some(3));
    assert_eq!(client.call_raw("argument", Raw::parse("[1.0]").unwrap()).await.unwrap(), Some(0));
    assert_eq!(client.call("taken", &json!({"a": 1})).await.unwrap(), Some(4));
    assert_eq!(client.call("fails", &()).await.unwrap(), Some(1));
    assert_eq!(client.call("unknown", &()).await.unwrap(), Some(-1));
    assert_eq!(server.call_raw("nothing", Raw::absent()).await.unwrap(), Some(0));
    client.drain(Duration::from_secs(5)).await.unwrap();
    server.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn what_nobody_is_there_for_is_the_applications() {
    let (sender, mut messages) = unbounded_channel();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let server =
        server(|daemon| daemon.on_message(move |message| drop(sender.send(message)))).await;
    let client = client(&server).socket_path(path.to_str().unwrap()).start().await.unwrap();
    client.tell(&json!({"free": [1]})).unwrap();
    assert_eq!(messages.recv().await.unwrap().as_str(), r#"{"free":[1]}"#);

    let mut program = BufReader::new(UnixStream::connect(&path).await.unwrap());
    program.write_all(br#"{"name":"unknown","id":7}"#).await.unwrap();
    let mut line = String::new();
    program.read_line(&mut line).await.unwrap();
    assert_eq!(line, "{\"status\":-1,\"id\":7}\n");
    server.tell("to the program").unwrap();
    line.clear();
    program.read_line(&mut line).await.unwrap();
    assert_eq!(line, "\"to the program\"\n");
}

#[tokio::test]
async fn pauses_come_from_either_side_and_end() {
    let server = server(|daemon| daemon).await;
    let client = client(&server).start().await.unwrap();
    let mut events = client.events();
    for is_own in [true, false] {
        if is_own { client.pause(Duration::ZERO) } else { server.send_away(Duration::ZERO) }
            .unwrap();
        let Some(Event::Lost { reason, .. }) = events.next().await else { panic!("a pause") };
        assert!(reason.message().contains("paused"), "{reason}");
        assert!(matches!(events.next().await, Some(Event::Ready { .. })));
    }
}

#[tokio::test]
async fn what_this_side_decides_is_an_error() {
    let alone = server(|daemon| daemon).await;
    assert_eq!(alone.call("any", &()).await.unwrap_err().code(), ErrorCode::NotReady);
    let named = client(&alone).handle("&cmd", |_: Value, _| async { Ok(()) }).start().await;
    assert_eq!(named.unwrap_err().code(), ErrorCode::ArgumentInvalid);
    let second = Daemon::server(&alone.id()).start().await.unwrap_err();
    assert_eq!(second.code(), ErrorCode::ListenFailed);
    let guarded = server(|daemon| daemon.token("right")).await;
    let wrong = client(&guarded).token("wrong").start().await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::AuthenticationFailed);

    let (began, mut begins) = unbounded_channel();
    let slow = server(|daemon| {
        daemon.handle("slow", move |_: Value, work| {
            began.send(()).unwrap();
            async move {
                work.cancelled().await;
                Ok(())
            }
        })
    })
    .await;
    let asking =
        client(&slow).options(|options| options.handlers.timeout_ms = 0).start().await.unwrap();
    let (status, drained) = tokio::join!(asking.call("slow", &()), async {
        begins.recv().await.unwrap();
        slow.drain(Duration::ZERO).await
    });
    assert_eq!(status.unwrap(), Some(-4));
    assert_eq!(drained.unwrap_err().code(), ErrorCode::DrainTimeout);
}
