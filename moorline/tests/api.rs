//! The Rust API against a hub in this process.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests may panic")]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use moorline::{
    Dispatcher, ErrorCode, Event, Failure, Hub, Report, Withdrawal, WorkContext, Worker,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Say {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Said {
    text: String,
}

const SOON: Duration = Duration::from_secs(5);

async fn hub() -> Hub {
    Hub::builder().listen("127.0.0.1:0").start().await.unwrap()
}

/// Posts to the hub as a foreign program would, and returns the whole answer.
async fn post(hub: &Hub, path: &'static str, body: &'static str) -> String {
    let address = hub.address();
    let ask = move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[tokio::test]
async fn a_handler_takes_and_returns_its_own_types() {
    let hub = hub().await;
    let worker = Worker::builder(&hub.url())
        .name("echo")
        .describe("Echo/Say", "Returns the text.")
        .handle("Echo/Say", |say: Say, work: WorkContext| async move {
            work.log("heard");
            work.progress(&Report { percent: Some(50.0), ..Report::default() });
            Ok(Said { text: say.text.to_uppercase() })
        })
        .connect()
        .await
        .unwrap();
    assert!(!worker.id().is_empty());
    let answer = post(
        &hub,
        "/Beacon/Work/Dispatch",
        r#"{"Capability":"Echo","Action":"Say","Settings":{"Text":"hi"},"TimeoutMs":5000}"#,
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""Outputs":{"Text":"HI"}"#), "{answer}");
    assert!(answer.contains("heard"), "{answer}");
    worker.drain(SOON).await.unwrap();
    hub.drain(SOON).await.unwrap();
}

#[tokio::test]
async fn errors_and_panics_of_a_handler_are_the_callers_errors() {
    let hub = hub().await;
    let _worker = Worker::builder(&hub.url())
        .name("failing")
        .handle("Fail/Plainly", |_: serde_json::Value, _| async {
            Err::<(), _>(Failure::new("out of ink"))
        })
        .handle("Fail/Badly", |_: serde_json::Value, _| async {
            if true {
                panic!("on purpose");
            }
            Ok(())
        })
        .connect()
        .await
        .unwrap();
    let answer = post(
        &hub,
        "/Beacon/Work/Dispatch",
        r#"{"Capability":"Fail","Action":"Plainly","Settings":{},"TimeoutMs":5000}"#,
    )
    .await;
    assert!(answer.contains("out of ink"), "{answer}");
    let answer = post(
        &hub,
        "/Beacon/Work/Dispatch",
        r#"{"Capability":"Fail","Action":"Badly","Settings":{},"TimeoutMs":5000}"#,
    )
    .await;
    assert!(answer.contains("the handler panicked"), "{answer}");
}

#[tokio::test]
async fn progress_arrives_while_the_work_runs() {
    let hub = hub().await;
    let (go, gone) = tokio::sync::watch::channel(false);
    let _worker = Worker::builder(&hub.url())
        .name("slow")
        .handle("Slow/Walk", move |_: serde_json::Value, work: WorkContext| {
            let mut gone = gone.clone();
            async move {
                work.progress(&Report { message: Some("half way".into()), ..Report::default() });
                gone.wait_for(|gone| *gone).await?;
                Ok(())
            }
        })
        .connect()
        .await
        .unwrap();
    let dispatcher = Dispatcher::connect(&hub.url()).await.unwrap();
    let (seen, mut parts) = tokio::sync::mpsc::unbounded_channel();
    let call = dispatcher.call("Slow/Walk", &serde_json::json!({})).on_progress(move |part| {
        seen.send(part).unwrap();
    });
    let letting_go = async {
        let part = parts.recv().await.unwrap();
        assert!(part.as_str().contains("half way"), "{}", part.as_str());
        go.send_replace(true);
    };
    let (reply, ()) = tokio::join!(call, letting_go);
    reply.unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_withdraws_its_work() {
    let hub = hub().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _worker = Worker::builder(&hub.url())
        .name("patient")
        .handle("Wait/Long", move |_: serde_json::Value, work: WorkContext| {
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
    let dispatcher = Dispatcher::connect(&hub.url()).await.unwrap();
    let mut call = dispatcher.call("Wait/Long", &serde_json::json!({}));
    tokio::select! {
        _ = &mut call => panic!("settled"),
        begun = told.recv() => assert_eq!(begun, Some(None)),
    }
    drop(call);
    assert_eq!(told.recv().await, Some(Some(Withdrawal::Cancelled)));
}

#[tokio::test]
async fn every_wrong_option_is_named() {
    let error = Worker::builder("http://127.0.0.1:1")
        .max_concurrent(0)
        .options(|options| options.reconnect.base_delay_ms = 0)
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConfigInvalid);
    assert!(error.message().contains("max_concurrent"), "{error}");
    assert!(error.message().contains("reconnect.base_delay_ms"), "{error}");
}

#[tokio::test]
async fn a_recording_replays_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker.jsonl");
    let hub = hub().await;
    let worker = Worker::builder(&hub.url())
        .name("recorded")
        .login("recorded", "hunter2")
        .options(|options| file.to_str().unwrap().clone_into(&mut options.runtime.trace_file))
        .handle("Echo/Say", |said: serde_json::Value, _| async move { Ok(said) })
        .connect()
        .await
        .unwrap();
    let dispatcher = Dispatcher::connect(&hub.url()).await.unwrap();
    dispatcher.call("Echo/Say", &serde_json::json!({ "Text": "hi" })).await.unwrap();
    worker.drain(SOON).await.unwrap();
    let recording = std::fs::read_to_string(&file).unwrap();
    assert!(!recording.contains("hunter2"));
    let said: Vec<_> = moorline::core::trace::outputs(&recording).collect();
    assert!(said.len() > 5, "{recording}");
    assert_eq!(moorline::core::trace::replay(&recording).unwrap(), said);
}

#[tokio::test]
async fn every_role_tells_its_events_as_a_stream() {
    async fn next(events: &mut (impl Stream<Item = Event> + Unpin)) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *events).poll_next(cx)).await
    }
    let hub = hub().await;
    let mut at_hub = hub.events();
    let worker = Worker::builder(&hub.url()).name("told").connect().await.unwrap();
    let dispatcher = Dispatcher::connect(&hub.url()).await.unwrap();
    let (mut at_worker, mut at_dispatcher) = (worker.events(), dispatcher.events());
    assert!(matches!(next(&mut at_hub).await, Some(Event::PeerJoined { .. })));
    worker.drain(SOON).await.unwrap();
    dispatcher.drain(SOON).await.unwrap();
    assert!(matches!(next(&mut at_worker).await, Some(Event::Draining { in_flight: 0, .. })));
    for events in [&mut at_worker, &mut at_dispatcher] {
        while let Some(event) = next(events).await {
            assert!(
                matches!(event, Event::Draining { .. } | Event::Ended { error: None }),
                "{event:?}"
            );
        }
    }
    loop {
        if let Some(Event::PeerLeft { .. }) = next(&mut at_hub).await {
            break;
        }
    }
    hub.drain(SOON).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_json() {
    let hub = hub().await;
    let state: serde_json::Value = hub.snapshot().await.unwrap().read().unwrap();
    assert!(state.is_object());
}
