//! Outcomes that are hard to carry: every one settles its item, and the process lives on.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use moorline::{Dispatcher, ErrorCode, Failure, Hub, WorkContext, Worker};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    languages: Vec<String>,
    done: Option<Value>,
    #[serde(default)]
    failed: Vec<String>,
}

/// A value that fails, or panics, when it is written.
struct Refusing(bool);

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        assert!(!self.0, "a value that panics");
        Err(S::Error::custom("not today"))
    }
}

/// An error whose message cannot be had.
#[derive(Debug)]
struct Untold;

impl fmt::Display for Untold {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

impl std::error::Error for Untold {}

/// What a handler gives.
#[derive(Serialize)]
#[serde(untagged)]
enum Given {
    Value(Value),
    Number(f64),
    Deep(BTreeMap<String, (Option<u8>, Vec<f32>)>),
    Keys(BTreeMap<(u8, u8), u8>),
    Refusing(Refusing),
}

fn act(name: &str) -> Result<Given, Failure> {
    match name {
        "text that spells an escape" => Ok(Given::Value(json!(r"\ud83d \\ud83d"))),
        "not a number in a result" => Ok(Given::Number(f64::NAN)),
        "an infinity deep in a result" => {
            Ok(Given::Deep(BTreeMap::from([("A".into(), (None, vec![f32::NEG_INFINITY]))])))
        }
        "nulls that are meant" => Ok(Given::Value(json!({"A": null, "B": [null, 1.5]}))),
        "result that JSON has no form for" => Ok(Given::Keys(BTreeMap::from([((1, 2), 3)]))),
        "result that fails when it is written" => Ok(Given::Refusing(Refusing(false))),
        "result that panics when it is written" => Ok(Given::Refusing(Refusing(true))),
        "handler that panics" => panic!("a handler that panics"),
        "failure whose message cannot be had" => Err(Untold)?,
        "failure of a text" => Err(Failure::new("plain")),
        "failure with control characters" => Err(Failure::new("bell \u{7}\u{1b}[2J\n")),
        "failure of a megabyte" => Err(Failure::new("x".repeat(1 << 20))),
        unknown => panic!("no handler for the row {unknown}"),
    }
}

#[tokio::test]
async fn every_hostile_outcome_settles_its_item() {
    let table: Table =
        serde_json::from_str(include_str!("../../tests/vectors/hostile_outcomes.json")).unwrap();
    let rows = table.rows.into_iter().filter(|row| row.languages.iter().any(|it| it == "rust"));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 12);
    let hub = Hub::builder().listen("127.0.0.1:0").start().await.unwrap();
    let mut worker = Worker::builder(&hub.url()).name("hostile").max_concurrent(4);
    for (number, row) in rows.iter().enumerate() {
        let name = row.name.clone();
        let handler = move |_: Value, _: WorkContext| {
            let name = name.clone();
            async move { act(&name) }
        };
        worker = worker.handle(&format!("Hostile/{number}"), handler);
    }
    let worker = worker.connect().await.unwrap();
    let dispatcher = Dispatcher::builder(&hub.url()).connect().await.unwrap();
    for _ in 0..2 {
        for (number, row) in rows.iter().enumerate() {
            let call = dispatcher.call(&format!("Hostile/{number}"), &json!({}));
            let result = call.timeout(Duration::from_secs(20)).await;
            if let Some(done) = &row.done {
                let value: Value = result.unwrap().data().unwrap();
                assert_eq!(value.get("Result").unwrap_or(&value), done, "{}", row.name);
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!(error.code(), ErrorCode::RemoteError, "{}", row.name);
            for text in &row.failed {
                assert!(error.message().contains(text), "{}: {error}", row.name);
            }
        }
    }
    worker.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_callback_that_panics_stops_nobody_else() {
    let hub = Hub::builder().listen("127.0.0.1:0").start().await.unwrap();
    let _worker = Worker::builder(&hub.url())
        .name("talks")
        .handle("Talk/On", |_: Value, work: WorkContext| async move {
            work.progress(&moorline::Report { percent: Some(50.0), ..Default::default() });
            Ok("said")
        })
        .connect()
        .await
        .unwrap();
    let dispatcher = Dispatcher::builder(&hub.url()).connect().await.unwrap();
    for _ in 0..2 {
        let call = dispatcher.call("Talk/On", &json!({})).on_progress(|_| panic!("a callback"));
        assert!(call.timeout(Duration::from_secs(20)).await.is_ok());
    }
}

#[tokio::test]
async fn leaving_the_scope_lets_running_work_finish() {
    let hub = Hub::builder().listen("127.0.0.1:0").start().await.unwrap();
    let (begin, mut begun) = tokio::sync::mpsc::channel(1);
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let wait = std::sync::Arc::clone(&go);
    let worker = Worker::builder(&hub.url())
        .name("leaves")
        .handle("Slow/Wait", move |_: Value, _: WorkContext| {
            let (begin, wait) = (begin.clone(), std::sync::Arc::clone(&wait));
            async move {
                begin.send(()).await?;
                wait.notified().await;
                Ok("finished")
            }
        })
        .connect()
        .await
        .unwrap();
    let dispatcher = Dispatcher::builder(&hub.url()).connect().await.unwrap();
    let call = dispatcher.call("Slow/Wait", &json!({})).timeout(Duration::from_secs(20));
    let call = tokio::spawn(call);
    begun.recv().await.unwrap();
    drop(worker);
    go.notify_one();
    let reply = call.await.unwrap().unwrap();
    assert_eq!(reply.data::<Value>().unwrap()["Result"], "finished");
}

#[tokio::test]
async fn the_key_of_a_handler_is_checked_before_anything_is_dialed() {
    for key in ["", "Echo", "/Say", "Echo/"] {
        let worker = Worker::builder("http://127.0.0.1:9")
            .handle(key, |_: Value, _: WorkContext| async { Ok(()) });
        let error = worker.connect().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ArgumentInvalid, "{key}");
    }
}
