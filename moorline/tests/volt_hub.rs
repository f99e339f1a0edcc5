//! A hub and VOLT daemons in this process: enrollment, commands, messages, the farewell.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline::volt::{DaemonBuilder, DaemonClient};
use moorline::{ErrorCode, Event, Failure, Hub, Raw, Reply, WorkContext};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(20);

async fn hub() -> Hub {
    Hub::builder().listen("127.0.0.1:0").start().await.unwrap()
}

fn builder(hub: &Hub, id: &str) -> DaemonBuilder {
    DaemonClient::builder(&hub.url().replacen("http", "ws", 1), id)
        .include_credentials(true)
        .register_with_ack(true)
        .options(|options| {
            options.reconnect.base_delay_ms = 1;
            options.reconnect.max_delay_ms = 10;
        })
}

/// Enrolls a daemon and connects it.
async fn daemon(hub: &Hub, id: &str) -> DaemonClient {
    let token = hub.create_token(id, "rack 7", Duration::ZERO).await.unwrap();
    builder(hub, id)
        .enroll(&hub.url(), &token.token, "1.4.2")
        .handle("echo", |payload: Value, context: WorkContext| async move {
            Ok::<_, Failure>(
                Reply::new()
                    .with_data(&json!({"payload": payload, "command": context.key()}))
                    .with_header("x-a", "b"),
            )
        })
        .handle("bytes", |_: Value, _| async { Ok::<_, Failure>(Reply::new().with_body("body")) })
        .handle("refuse", |_: Value, _| async { Err::<Reply, _>(Failure::rejected(409, "busy")) })
        .handle("stream", |_: Value, _| async {
            let (parts, reply) = Reply::channel();
            tokio::spawn(async move {
                for part in ["one", "two"] {
                    parts.send(part).await?;
                }
                Ok::<_, Failure>(())
            });
            Ok::<_, Failure>(reply)
        })
        .handle("never", |_: Value, context: WorkContext| async move {
            context.cancelled().await;
            Ok::<_, Failure>(Reply::new())
        })
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_enrolled_daemon_carries_out_what_the_hub_asks() {
    let hub = hub().await;
    let daemon = daemon(&hub, "lab").await;
    let reply = hub.call_daemon("lab", "echo", &json!({"n": 1})).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["x-a"], "b");
    let wanted = json!({"payload": {"n": 1}, "command": "echo"});
    assert_eq!(reply.data::<Value>().unwrap(), wanted);

    let reply = hub.call_daemon("lab", "bytes", &json!({})).buffer().await.unwrap();
    assert_eq!(reply.body().unwrap(), "body");

    let taken = Arc::new(Mutex::new(Vec::new()));
    let parts = Arc::clone(&taken);
    let stream = hub
        .call_daemon("lab", "stream", &json!({}))
        .stream(move |part| parts.lock().unwrap().extend_from_slice(&part));
    assert_eq!(stream.await.unwrap().status(), 200);
    assert_eq!(*taken.lock().unwrap(), b"onetwo");

    let error = hub.call_daemon("lab", "refuse", &json!({})).await.unwrap_err();
    assert_eq!(
        (error.code(), error.status(), error.message()),
        (ErrorCode::RemoteError, Some(409), "busy")
    );
    let error = hub.call_daemon("lab", "unknown", &json!({})).await.unwrap_err();
    assert_eq!((error.code(), error.status()), (ErrorCode::RemoteError, Some(404)));
    let never = hub.call_daemon("lab", "never", &json!({})).timeout(Duration::from_millis(20));
    assert_eq!(never.await.unwrap_err().code(), ErrorCode::CallTimeout);
    let error = hub.call_daemon("nobody", "echo", &json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker);

    let shown: Value = hub.daemons().await.unwrap().read().unwrap();
    assert_eq!(shown[0]["Name"], "rack 7");
    assert_eq!(shown[0]["Status"], "connected");
    assert_eq!(shown[0]["InstalledVersion"], "1.4.2");
    daemon.disconnect().await;
}

#[tokio::test]
async fn a_token_is_good_once_and_a_revoked_one_never() {
    let hub = hub().await;
    let token = hub.create_token("lab", "", Duration::from_secs(60)).await.unwrap();
    assert_eq!((token.name.as_str(), token.team_cluster_id.as_str()), ("lab", "lab"));
    assert!(!format!("{token:?}").contains(&token.token));
    hub.revoke_token(&token.id).await.unwrap();
    assert_eq!(hub.revoke_token(&token.id).await.unwrap_err().code(), ErrorCode::NoWorker);
    let enrolls = builder(&hub, "lab").enroll(&hub.url(), &token.token, "").connect().await;
    let error = enrolls.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EnrollmentFailed);
    assert!(error.message().contains("401"), "{error}");
}

#[tokio::test]
async fn messages_go_both_ways_with_their_bytes() {
    let (heard, mut messages) = mpsc::unbounded_channel();
    let hub = Hub::builder()
        .listen("127.0.0.1:0")
        .on_daemon_message(move |id, message| heard.send((id.to_owned(), message)).unwrap())
        .start()
        .await
        .unwrap();
    let daemon = daemon(&hub, "lab").await;
    let mut inbound = daemon.messages();
    let text = r#"{"type":"tunnel-data","chunk":{"_placeholder":true,"num":0}}"#;
    let message = Raw::parse(text).unwrap().with_blobs(vec![vec![0, 255].into()]);
    daemon.emit_raw(message).unwrap();
    let (id, message) = tokio::time::timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!((id.as_str(), message.as_str()), ("lab", text));
    assert_eq!(message.blobs(), [vec![0, 255]]);
    hub.send_to_daemon("lab", &json!({"type": "tunnel-close"})).unwrap();
    // The answer to the heartbeat is a message, too.
    loop {
        let message = tokio::time::timeout(SOON, inbound.next()).await.unwrap().unwrap();
        if !message.as_str().contains("response") {
            assert_eq!(message.as_str(), r#"{"type":"tunnel-close"}"#);
            break;
        }
    }
}

/// K18.1: what the hub says has its bytes with it, and what cannot have them is refused.
#[tokio::test]
async fn bytes_of_a_hub_reach_its_daemon_and_come_back() {
    let hub = hub().await;
    let token = hub.create_token("lab", "", Duration::ZERO).await.unwrap();
    let text = r#"{"type":"chunk","chunk":{"_placeholder":true,"num":0}}"#;
    let daemon = builder(&hub, "lab")
        .enroll(&hub.url(), &token.token, "1.4.2")
        .handle("turn", move |_: Value, context: WorkContext| async move {
            let mut turned = context.blobs().concat();
            turned.reverse();
            let back = Raw::parse(text).unwrap().with_blobs(vec![turned.into()]);
            Ok::<_, Failure>(Reply::new().with_raw(back))
        })
        .connect()
        .await
        .unwrap();
    let mut inbound = daemon.messages();
    let bytes = Raw::parse(text).unwrap().with_blobs(vec![vec![0, 255].into()]);
    let back = hub.call_daemon_raw("lab", "turn", bytes.clone()).await.unwrap().raw();
    assert_eq!(back.as_str(), format!(r#"{{"Status":200,"Data":{text}}}"#));
    assert_eq!(back.blobs(), [vec![255, 0]]);
    let lossy = hub.call_daemon("lab", "turn", &bytes).await.unwrap_err();
    assert_eq!(lossy.code(), ErrorCode::ArgumentInvalid);
    let lossy = hub.send_to_daemon("lab", &bytes).unwrap_err();
    assert_eq!(lossy.code(), ErrorCode::ArgumentInvalid);
    hub.send_to_daemon_raw("lab", bytes).unwrap();
    loop {
        let message = tokio::time::timeout(SOON, inbound.next()).await.unwrap().unwrap();
        if message.as_str().contains("chunk") && !message.as_str().contains("response") {
            assert_eq!((message.as_str(), message.blobs()), (text, &[vec![0, 255].into()][..]));
            break;
        }
    }
    daemon.disconnect().await;
}

#[tokio::test]
async fn a_daemon_survives_the_orderly_end_of_its_hub() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("hub.db");
    let start = |address: String| {
        let store = store.to_string_lossy().into_owned();
        async move {
            let builder = Hub::builder().listen(&address).store_path(&store);
            builder.start().await.unwrap()
        }
    };
    let hub = start("127.0.0.1:0".to_owned()).await;
    let address = hub.address();
    let daemon = daemon(&hub, "lab").await;
    let mut events = daemon.events();
    hub.drain(SOON).await.unwrap();
    loop {
        let event = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap();
        if let Event::Lost { reason, .. } = event {
            assert_eq!(reason.message(), "io server disconnect");
            break;
        }
    }
    // What enrolled is remembered: the password is good at the next hub on the same store.
    let hub = start(address).await;
    let call = hub.call_daemon("lab", "echo", &json!({})).timeout(SOON);
    assert_eq!(call.await.unwrap().status(), 200);
    assert!(daemon.is_ready());
}

#[tokio::test]
async fn a_hub_answers_what_daemons_ask() {
    let (began, mut begun) = mpsc::unbounded_channel();
    let (ends, mut ended) = mpsc::unbounded_channel::<()>();
    let hub = Hub::builder()
        .listen("127.0.0.1:0")
        .daemon("lab", "secret")
        .handle_daemon("jobs.list", |page: Option<u64>, daemon: WorkContext| async move {
            assert_eq!((daemon.key(), daemon.wire_id().is_empty()), ("jobs.list", false));
            Ok(json!({"of": daemon.peer(), "page": page}))
        })
        .handle_daemon("bytes", |payload: Raw, daemon: WorkContext| async move {
            Ok(Reply::new().with_raw(payload.with_blobs(daemon.blobs().to_vec())))
        })
        .handle_daemon("refuse", |_: Value, _| async {
            Err::<Reply, _>(Failure::rejected(409, "busy"))
        })
        .handle_daemon("fail", |_: Value, _| async {
            let number: u8 = "secret detail".parse()?;
            Ok(number)
        })
        .handle_daemon("panic", |_: Value, _| async { panic!("on purpose") as Result<(), Failure> })
        .handle_daemon("never", move |_: Value, _| {
            let ends = ends.clone();
            began.send(()).unwrap();
            async move {
                let _ends = ends;
                std::future::pending::<Result<(), Failure>>().await
            }
        })
        .start()
        .await
        .unwrap();
    let daemon = builder(&hub, "lab").daemon_password("secret").connect().await.unwrap();

    let jobs: Value = daemon.send_command("jobs.list", &7).await.unwrap().data().unwrap();
    assert_eq!(jobs, json!({"of": "lab", "page": 7}));
    let text = r#"{"it":{"_placeholder":true,"num":0}}"#;
    let payload = Raw::parse(text).unwrap().with_blobs(vec![vec![0, 255].into()]);
    let echoed = daemon.send_command_raw("bytes", payload).await.unwrap().raw();
    assert_eq!((echoed.as_str(), echoed.blobs()), (text, &[vec![0, 255].into()][..]));

    let unhandled = |name: &str| format!("Handler for command \"{name}\" threw an unhandled error");
    for (command, status, message) in [
        ("refuse", 409, "busy".to_owned()),
        ("fail", 500, unhandled("fail")),
        ("panic", 500, unhandled("panic")),
        ("jobs.run", 404, "Unknown daemon server command: jobs.run".to_owned()),
    ] {
        let error = daemon.send_command(command, &()).await.unwrap_err();
        assert_eq!(
            (error.code(), error.status(), error.message()),
            (ErrorCode::RemoteError, Some(status), &*message)
        );
    }

    let asking = tokio::spawn({
        let daemon = daemon.clone();
        async move { daemon.send_command("never", &()).await }
    });
    begun.recv().await.unwrap();
    drop(hub);
    assert_eq!(asking.await.unwrap().unwrap_err().code(), ErrorCode::NotReady);
    // Its handlers are dropped with it, and what they hold.
    assert_eq!(tokio::time::timeout(SOON, ended.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_handler_whose_daemon_is_gone_is_dropped() {
    struct Told(mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (began, mut begun) = mpsc::unbounded_channel();
    let (tells, mut told) = mpsc::unbounded_channel();
    let hub = Hub::builder()
        .listen("127.0.0.1:0")
        .handle_daemon("never", move |_: Value, _| {
            let told = Told(tells.clone());
            began.send(()).unwrap();
            async move {
                let _told = told;
                std::future::pending::<Result<(), Failure>>().await
            }
        })
        .start()
        .await
        .unwrap();
    let daemon = daemon(&hub, "lab").await;
    let never = daemon.send_command("never", &());
    tokio::select! {
        result = never => panic!("{result:?}"),
        _ = begun.recv() => {}
    }
    daemon.disconnect().await;
    tokio::time::timeout(SOON, told.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_command_of_the_hub_itself_cannot_be_handled() {
    for name in ["runtime.heartbeat", "*", "", &"x".repeat(257)] {
        let builder = Hub::builder().listen("127.0.0.1:0");
        let builder = builder.handle_daemon(name, |_: Value, _| async { Ok(()) });
        assert_eq!(builder.start().await.unwrap_err().code(), ErrorCode::ArgumentInvalid);
    }
}
