//! The VOLT daemon of Rust applications, against a scripted server on loopback.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests may panic")]

mod peer;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use moorline::options::ResponseForm;
use moorline::volt::{DaemonBuilder, DaemonClient, client_code};
use moorline::{ErrorCode, Event, Failure, Raw, Reply, Transport, Withdrawal, WorkContext};
use peer::{Peer, script};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

const SOON: Duration = Duration::from_secs(10);

fn daemon(peer: &Peer) -> DaemonBuilder {
    DaemonClient::builder(&peer.url, "c-1").daemon_password("secret").options(|options| {
        options.heartbeat.enabled = false;
        options.reconnect.base_delay_ms = 1;
        options.reconnect.max_delay_ms = 1;
    })
}

fn bytes(text: &str) -> Raw {
    Raw::parse(text.to_owned()).unwrap().with_blobs(vec![b"\x01\xff".as_slice().into()])
}

#[tokio::test]
async fn a_daemon_registers_and_says_farewell() {
    let peer = Peer::serve(vec![script(|link| {
        assert_eq!(link.registration, json!({"teamClusterId": "c-1", "daemonPassword": "secret"}));
        link.farewell();
    })]);
    let daemon = daemon(&peer).build().unwrap();
    let mut events = daemon.events();
    assert!(!daemon.is_ready());
    daemon.connect().await.unwrap();
    assert!(daemon.is_ready());
    assert_eq!(daemon.team_cluster_id(), "c-1");
    let state: Value = daemon.snapshot().await.unwrap().read().unwrap();
    assert_eq!(state["state"], "ready");
    daemon.disconnect().await;
    daemon.disconnect().await;
    assert!(!daemon.is_ready());
    assert!(matches!(
        events.next().await,
        Some(Event::Ready { transport: Transport::WebSocket, .. })
    ));
    drop(daemon);
    assert!(events.next().await.is_none());
    peer.end().await;
}

#[tokio::test]
async fn commands_go_out_and_answers_come_back_in_any_order() {
    #[derive(Deserialize)]
    struct Job {
        id: u32,
    }
    let peer = Peer::serve(vec![script(|link| {
        let [first, second] = [link.message(), link.message()];
        assert_eq!(first["payload"], json!({"page": 1}));
        assert_eq!(second.get("payload"), None);
        link.answer(&second, &Value::Null);
        link.answer(&first, &json!([{"id": 7}]));
        link.farewell();
    })]);
    let daemon = daemon(&peer).connect().await.unwrap();
    let mut messages = daemon.messages();
    let (jobs, none) = tokio::join!(
        daemon.send_command("jobs.list", &json!({"page": 1})),
        daemon.send_command("jobs.none", &()),
    );
    assert_eq!(jobs.unwrap().data::<Vec<Job>>().unwrap()[0].id, 7);
    assert_eq!(none.unwrap().data::<Option<Value>>().unwrap(), None);
    for _ in 0..2 {
        let message: Value = messages.next().await.unwrap().read().unwrap();
        assert_eq!(message["type"], "response");
    }
    drop(messages);
    daemon.disconnect().await;
    peer.end().await;
}

#[tokio::test]
async fn what_becomes_of_commands_that_fail() {
    let peer = Peer::serve(vec![script(|link| {
        link.message();
        let asked = link.message();
        link.emit(&json!({
            "type": "response", "requestId": asked["requestId"], "ok": false, "status": 404,
            "message": "Unknown daemon server command: nope",
        }));
        link.message();
    })]);
    let daemon = daemon(&peer)
        .options(|options| options.reconnect_enabled = false)
        .command_timeout(Duration::ZERO)
        .build()
        .unwrap();
    let mut events = daemon.events();
    let early = daemon.send_command("early", &()).await.unwrap_err();
    assert_eq!(early.code(), ErrorCode::NotReady);
    daemon.connect().await.unwrap();
    let slow = daemon.send_command("slow", &()).await.unwrap_err();
    assert_eq!(client_code(slow.code()), "COMMAND_TIMEOUT");
    assert!(slow.message().contains("\"slow\""), "{slow}");
    let nope = daemon.send_command("nope", &()).timeout(SOON).await.unwrap_err();
    assert_eq!((nope.code(), nope.status()), (ErrorCode::RemoteError, Some(404)));
    assert_eq!(nope.message(), "Unknown daemon server command: nope");
    let lost = daemon.send_command("lost", &()).timeout(SOON).await.unwrap_err();
    assert_eq!(client_code(lost.code()), "SOCKET_NOT_READY");
    assert!(lost.message().contains("unknown"), "{lost}");
    let ended = loop {
        if let Some(Event::Ended { error }) = events.next().await {
            break error.unwrap();
        }
    };
    assert_eq!(ended.code(), ErrorCode::ConnectionLost);
    assert_eq!(ended.source().unwrap().to_string(), "CONNECTION_LOST: transport close");
    peer.end().await;
}

#[tokio::test]
async fn a_dropped_command_is_given_up() {
    let peer = Peer::serve(vec![script(|link| {
        let asked = link.message();
        link.emit(&json!({"type": "seen"}));
        // The answer comes too late and finds nobody.
        assert_eq!(link.message()["command"], "next");
        link.answer(&asked, &json!(1));
        link.farewell();
    })]);
    let daemon = daemon(&peer).connect().await.unwrap();
    let mut messages = daemon.messages();
    tokio::select! {
        biased;
        given = daemon.send_command("never", &()) => panic!("{given:?}"),
        seen = messages.next() => assert!(seen.is_some()),
    }
    let next = daemon.send_command("next", &());
    assert!(tokio::time::timeout(Duration::from_millis(1), next).await.is_err());
    let state: Value = daemon.snapshot().await.unwrap().read().unwrap();
    assert_eq!(state["pending_calls"], 0);
    daemon.disconnect().await;
    peer.end().await;
}

#[tokio::test]
async fn handlers_answer_in_every_form() {
    let ok = |data: Value| json!({"ok": true, "status": 200, "data": data});
    let peer = Peer::serve(vec![script(move |link| {
        let mut ask = |name: &str, form: &str, payload: &Value| {
            link.command("r-1", name, form, payload);
            let mut answer = link.message();
            let fields = answer.as_object_mut().unwrap();
            assert_eq!(fields.remove("type").unwrap(), "response");
            assert_eq!(fields.remove("requestId").unwrap(), "r-1");
            answer
        };
        let data = json!({"status": "success", "data": {"n": 2, "id": "r-1"}});
        assert_eq!(ask("echo", "json", &json!({"n": 1})), ok(data));
        assert_eq!(ask("nothing", "json", &Value::Null), ok(json!({"status": "success"})));
        let body = json!({"ok": true, "status": 201, "headers": {"a": "b"}, "bodyBase64": "AP8="});
        assert_eq!(ask("body", "buffer", &json!({})), body);
        let busy = json!({"ok": false, "status": 409, "message": "busy"});
        assert_eq!(ask("busy", "json", &json!({})), busy);
        for name in ["broken", "panics", "echo"] {
            let text = format!("Handler for command \"{name}\" threw an unhandled error");
            let failed = json!({"ok": false, "status": 500, "message": text});
            assert_eq!(ask(name, "json", &json!("no object")), failed);
        }
        assert_eq!(ask("nope", "json", &json!({}))["status"], 404);
        link.emit(&json!({"type": "done"}));
        link.farewell();
    })]);
    #[derive(Deserialize)]
    struct Number {
        n: u32,
    }
    let daemon = daemon(&peer)
        .handle("echo", |number: Number, context: WorkContext| async move {
            assert_eq!(context.response_form(), ResponseForm::Json);
            Ok(json!({"n": number.n + 1, "id": context.wire_id()}))
        })
        .handle("nothing", |(): (), _| async { Ok(()) })
        .handle("body", |_: Value, _| async {
            Ok(Reply::new().with_body(&b"\x00\xff"[..]).with_status(201).with_header("a", "b"))
        })
        .handle("busy", |_: Value, _| async { Err::<(), _>(Failure::rejected(409, "busy")) })
        .handle("broken", |_: Value, _| async { Err::<(), _>(Failure::new("secret detail")) })
        .handle("panics", |said: Value, _| async move {
            assert!(said.is_object(), "as scripted");
            Ok(())
        })
        .build()
        .unwrap();
    let (mut events, mut messages) = (daemon.events(), daemon.messages());
    daemon.connect().await.unwrap();
    let (mut failures, mut sources) = (Vec::new(), Vec::new());
    while failures.len() < 3 {
        if let Some(Event::Notice(error)) = events.next().await {
            assert_eq!(client_code(error.code()), "HANDLER_ERROR");
            sources.extend(error.source().map(|source| source.is::<serde_json::Error>()));
            failures.push(error.message().to_owned());
        }
    }
    assert!(failures[0].ends_with("secret detail"), "{failures:?}");
    assert!(failures[2].contains("does not fit"), "{failures:?}");
    assert_eq!(sources, [true]);
    let done: Value = messages.next().await.unwrap().read().unwrap();
    assert_eq!(done["type"], "done");
    daemon.disconnect().await;
    peer.end().await;
}

#[tokio::test]
async fn a_stream_is_read_no_faster_than_its_parts_leave() {
    let peer = Peer::serve(vec![script(|link| {
        link.command("r-1", "logs", "stream", &json!({}));
        let opened = link.message();
        assert_eq!((&opened["ok"], &opened["status"]), (&json!(true), &json!(206)));
        let mut parts = 0;
        let end = loop {
            let part = link.message();
            if part["type"] != "stream" {
                break part;
            }
            assert_eq!(part["streamId"], opened["streamId"]);
            parts += 1;
        };
        assert_eq!(parts, 20);
        assert_eq!(end["type"], "stream-end");
        assert_eq!(end["message"], "disk gone");
        link.farewell();
    })]);
    let done = Arc::new(Notify::new());
    let told = Arc::clone(&done);
    let daemon = daemon(&peer)
        .handle("logs", move |_: Value, _| {
            let told = Arc::clone(&told);
            async move {
                let (sender, reply) = Reply::channel();
                tokio::spawn(async move {
                    for number in 0..20_u8 {
                        sender.send(vec![number]).await.unwrap();
                    }
                    sender.fail("disk gone").await.unwrap();
                    told.notify_one();
                });
                Ok(reply.with_status(206))
            }
        })
        .connect()
        .await
        .unwrap();
    tokio::time::timeout(SOON, done.notified()).await.unwrap();
    tokio::time::timeout(SOON, async {
        while daemon.snapshot().await.unwrap().read::<Value>().unwrap()["in_flight"] != 0 {}
    })
    .await
    .unwrap();
    daemon.disconnect().await;
    peer.end().await;
}

#[tokio::test]
async fn a_lost_link_withdraws_commands_and_ends_streams() {
    let peer = Peer::serve(vec![
        script(|link| {
            link.command("r-1", "wait", "json", &json!({}));
            link.command("r-2", "endless", "stream", &json!({}));
            // Both run when the stream has begun.
            while link.message()["type"] != "stream" {}
        }),
        script(|link| {
            assert_eq!(link.registration["daemonPassword"], "rotated");
            assert_eq!(link.message(), json!({"type": "kept"}));
            link.farewell();
        }),
    ]);
    let ends = Arc::new(AtomicUsize::new(0));
    let (waited, streamed) = (Arc::clone(&ends), Arc::clone(&ends));
    let daemon = daemon(&peer)
        .handle("wait", move |_: Value, context: WorkContext| {
            let ends = Arc::clone(&waited);
            async move {
                assert_eq!(context.cancelled().await, Withdrawal::LinkLost);
                ends.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .handle("endless", move |_: Value, _| {
            let ends = Arc::clone(&streamed);
            async move {
                let (sender, reply) = Reply::channel();
                tokio::spawn(async move {
                    while sender.send("x").await.is_ok() {}
                    ends.fetch_add(1, Ordering::SeqCst);
                });
                Ok(reply)
            }
        })
        .build()
        .unwrap();
    let mut events = daemon.events();
    daemon.connect().await.unwrap();
    daemon.set_daemon_password("rotated").unwrap();
    assert_eq!(daemon.daemon_password().expose(), "rotated");
    let mut told = Vec::new();
    while told.len() < 3 {
        match tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap() {
            Event::Ready { .. } => told.push(String::from("connected")),
            Event::Lost { reason, .. } => {
                daemon.emit(&json!({"type": "kept"})).unwrap();
                told.push(reason.message().to_owned());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, ["connected", "transport close", "connected"]);
    let ended = async {
        while ends.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, ended).await.unwrap();
    daemon.disconnect().await;
    peer.end().await;
}

#[tokio::test]
async fn bytes_go_both_ways() {
    let place = json!({"_placeholder": true, "num": 0});
    let peer = Peer::serve(vec![script(move |link| {
        assert_eq!(link.message(), json!({"type": "tunnel-data", "chunk": place}));
        assert_eq!(link.bytes(), b"\x01\xff");
        let asked = link.message();
        assert_eq!(asked["payload"], place);
        assert_eq!(link.bytes(), b"\x01\xff");
        let data = json!({
            "type": "response", "requestId": asked["requestId"], "ok": true, "status": 200,
            "data": {"data": {"back": place}},
        });
        link.emit_bytes(&data, b"\x07");
        link.farewell();
    })]);
    let daemon = daemon(&peer).connect().await.unwrap();
    let chunk = r#"{"type":"tunnel-data","chunk":{"_placeholder":true,"num":0}}"#;
    daemon.emit_raw(bytes(chunk)).unwrap();
    let payload = bytes(r#"{"_placeholder":true,"num":0}"#);
    let answer = daemon.send_command_raw("swap", payload).await.unwrap().raw();
    assert_eq!(answer.as_str(), r#"{"back":{"_placeholder":true,"num":0}}"#);
    assert_eq!(answer.blobs(), [b"\x07".as_slice()]);
    daemon.disconnect().await;
    peer.end().await;
}

#[tokio::test]
async fn what_cannot_be_emitted_is_refused_at_once() {
    let peer = Peer::serve(vec![script(|link| {
        assert_eq!(link.message(), json!({"type": "fits"}));
        link.farewell();
    })]);
    let daemon = daemon(&peer).build().unwrap();
    let code = |message: Value| daemon.emit(&message).unwrap_err().code();
    assert_eq!(code(json!({"type": "early"})), ErrorCode::NotStarted);
    daemon.connect().await.unwrap();
    assert_eq!(code(json!({"type": "long", "text": "x".repeat(100_000)})), ErrorCode::TooLarge);
    for blobs in [vec![Vec::new().into(); 11], vec![vec![0; 200_000].into()]] {
        let bytes = Raw::parse("{}").unwrap().with_blobs(blobs);
        assert_eq!(daemon.emit_raw(bytes).unwrap_err().code(), ErrorCode::TooLarge);
    }
    daemon.emit(&json!({"type": "fits"})).unwrap();
    daemon.disconnect().await;
    assert_eq!(code(json!({"type": "late"})), ErrorCode::NotStarted);
    peer.end().await;
}

#[tokio::test]
async fn an_enrollment_happens_once() {
    let answer = json!({"data": {"teamCluster": {}, "daemonPassword": "given"}});
    let registered = || {
        script(|link| {
            assert_eq!(link.registration["daemonPassword"], "given");
            link.farewell();
        })
    };
    let peer = Peer::enroll(200, &answer, vec![registered(), registered()]);
    let daemon = daemon(&peer).enroll(&peer.url, "token", "1.4").build().unwrap();
    for _ in 0..2 {
        daemon.connect().await.unwrap();
        assert_eq!(daemon.daemon_password().expose(), "given");
        daemon.disconnect().await;
    }
    peer.end().await;
}

#[tokio::test]
async fn connect_says_why_it_failed() {
    let peer = Peer::enroll(401, &json!({"message": "Enrollment token is invalid"}), vec![]);
    let refused = daemon(&peer).enroll(&peer.url, "token", "").connect().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::EnrollmentFailed);
    assert!(refused.message().contains("HTTP 401"), "{refused}");
    // Nobody listens there any more.
    let gone = daemon(&peer).build().unwrap();
    peer.end().await;
    let mut events = gone.events();
    let error = gone.connect().await.unwrap_err();
    assert_eq!(client_code(error.code()), "SOCKET_CONNECTION_FAILED");
    let source = error.source().unwrap().to_string();
    assert!(source.starts_with("CONNECT_FAILED: ") && source.contains("refused"), "{source}");
    for _ in 0..3 {
        assert!(matches!(events.next().await, Some(Event::Notice(_))));
    }
    gone.disconnect().await;
    let wrong = DaemonClient::builder("volt.example", "").build().unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::ConfigInvalid);
    assert!(wrong.message().contains("team_cluster_id"), "{wrong}");
}

#[tokio::test]
async fn a_disconnect_settles_a_connect() {
    // A listener that accepts nobody: the connection stays half open.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let daemon = DaemonClient::builder(&url, "c-1").build().unwrap();
    let (result, ()) = tokio::join!(daemon.connect(), async {
        tokio::task::yield_now().await;
        daemon.disconnect().await;
    });
    assert_eq!(client_code(result.unwrap_err().code()), "SOCKET_CONNECTION_FAILED");
    assert!(!daemon.is_ready());
}

#[tokio::test]
async fn a_drain_lets_running_commands_finish() {
    let peer = Peer::serve(vec![script(|link| {
        link.command("r-1", "slow", "json", &json!({}));
        let answer = link.message();
        assert_eq!((&answer["requestId"], &answer["ok"]), (&json!("r-1"), &json!(true)));
        link.farewell();
    })]);
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, gone) = (Arc::clone(&began), Arc::clone(&go));
    let daemon = daemon(&peer)
        .handle("slow", move |_: Value, _| {
            let (begin, gone) = (Arc::clone(&begin), Arc::clone(&gone));
            async move {
                begin.notify_one();
                gone.notified().await;
                Ok(7)
            }
        })
        .build()
        .unwrap();
    // Nothing runs, so nothing is to be waited for.
    daemon.drain(SOON).await.unwrap();
    daemon.connect().await.unwrap();
    let mut events = daemon.events();
    began.notified().await;
    let going = async {
        let event = events.next().await;
        assert!(matches!(event, Some(Event::Draining { in_flight: 1, .. })), "{event:?}");
        go.notify_one();
    };
    let (drained, ()) = tokio::join!(daemon.drain(SOON), going);
    drained.unwrap();
    assert!(!daemon.is_ready());
    assert!(matches!(events.next().await, Some(Event::Ended { error: None })));
    peer.end().await;
}

#[tokio::test]
async fn a_drain_says_that_commands_did_not_finish() {
    let peer = Peer::serve(vec![script(|link| {
        link.command("r-1", "endless", "json", &json!({}));
        link.farewell();
    })]);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let daemon = daemon(&peer)
        .handle("endless", move |_: Value, work: WorkContext| {
            let tell = tell.clone();
            async move {
                tell.send(None)?;
                tell.send(Some(work.cancelled().await))?;
                Ok(())
            }
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(told.recv().await, Some(None));
    let error = daemon.drain(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DrainTimeout);
    assert_eq!(told.recv().await, Some(Some(Withdrawal::Draining)));
    peer.end().await;
}

#[tokio::test]
async fn heartbeats_carry_what_the_application_makes() {
    let peer = Peer::serve(vec![script(|link| {
        for number in 0..2 {
            let beat = link.message();
            assert_eq!(beat["command"], "runtime.heartbeat");
            let payload = json!({
                "teamClusterId": "c-1", "daemonPassword": "secret", "number": number,
            });
            assert_eq!(beat["payload"], payload);
            link.answer(&beat, &json!({}));
        }
    })]);
    let made = Arc::new(AtomicUsize::new(0));
    let has_failed = Arc::new(AtomicBool::new(false));
    let failed = Arc::clone(&has_failed);
    let daemon = daemon(&peer)
        .options(|options| {
            options.heartbeat.enabled = true;
            options.reconnect_enabled = false;
        })
        .include_credentials(true)
        .heartbeat_interval(Duration::from_millis(1))
        .heartbeat_payload(move || {
            let number = made.fetch_add(1, Ordering::SeqCst);
            let failed = Arc::clone(&failed);
            async move {
                if number == 1 && !failed.swap(true, Ordering::SeqCst) {
                    return Err(Failure::new("no metrics yet"));
                }
                Ok(json!({"number": number.min(1)}))
            }
        })
        .build()
        .unwrap();
    let mut events = daemon.events();
    daemon.connect().await.unwrap();
    loop {
        match events.next().await.unwrap() {
            Event::Notice(error) if error.code() == ErrorCode::HeartbeatFailed => {
                assert_eq!(error.message(), "Heartbeat failed: no metrics yet");
                break;
            }
            _ => {}
        }
    }
    peer.end().await;
}
