//! The Rust API against a hub in this process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use moorline::core::ErrorCode;
use moorline::{Failure, Hub, Report, WorkContext, Worker};
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
async fn every_wrong_option_is_named() {
    let error = Worker::builder("http://127.0.0.1:1")
        .max_concurrent(0)
        .option("reconnect.base_delay_ms", "soon")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConfigInvalid);
    assert!(error.message().contains("max_concurrent"), "{error}");
    assert!(error.message().contains("reconnect.base_delay_ms"), "{error}");
}

#[tokio::test]
async fn a_snapshot_is_json() {
    let hub = hub().await;
    let state: serde_json::Value = hub.snapshot().await.unwrap().read().unwrap();
    assert!(state.is_object());
}
