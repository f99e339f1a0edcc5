//! The daemon of the scenarios, with its handlers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use moorline::options::{DaemonOptions, read};
use moorline::volt::{DaemonClient, client_code};
use moorline::{Error, ErrorCode, Event, Failure, Raw, Reply, WorkContext};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::server::Log;

/// A value, if there is one, or the error as scenarios know it.
pub(crate) type Outcome = Result<Option<Value>, Value>;

/// A daemon; clones are the same.
#[derive(Clone)]
pub(crate) struct Daemon {
    client: DaemonClient,
    release: Arc<Notify>,
}

impl Daemon {
    /// Makes one that writes what happens to it into `log`.
    pub(crate) fn open(options: &Value, log: Log) -> Self {
        let release = Arc::new(Notify::new());
        let options = read::<DaemonOptions>(&nested(options).to_string()).unwrap();
        let builder = DaemonClient::builder("", "").options(|all| *all = options);
        let client = builder.build().unwrap();
        register(&client, &release, &log);
        let (mut events, mut messages) = (client.events(), client.messages());
        let told = log.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                told.add(match event {
                    Event::Ready { .. } => json!({ "kind": "connected" }),
                    Event::Lost { reason, .. } => {
                        json!({ "kind": "disconnected", "reason": reason.message() })
                    }
                    // What refuses a daemon is told to whoever connects it.
                    Event::Ended { error: Some(error) }
                        if error.code() == ErrorCode::EnrollmentFailed =>
                    {
                        continue;
                    }
                    Event::Notice(error) | Event::Ended { error: Some(error) } => {
                        let mut told = told_of(&error, client_code(error.code()));
                        told["kind"] = json!("error");
                        told
                    }
                    other => panic!("{other:?}"),
                });
            }
        });
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                log.add(json!({ "kind": "message", "message": marked(&message) }));
            }
        });
        Self { client, release }
    }

    /// Performs an operation of a scenario.
    pub(crate) async fn perform(&self, operation: &str, fields: &Value) -> Outcome {
        let client = &self.client;
        match operation {
            "connect" => client.connect().await.map(|()| None).map_err(|error| {
                // A connect that a disconnect ended has a name of its own in the original only.
                let ended = matches!(error.code(), ErrorCode::Stopped | ErrorCode::NotReady);
                let code =
                    if ended { "SOCKET_CONNECTION_FAILED" } else { client_code(error.code()) };
                told_of(&error, code)
            }),
            "disconnect" => {
                client.disconnect().await;
                Ok(None)
            }
            "ready" => Ok(Some(json!(client.is_ready()))),
            "password" => Ok(Some(json!(client.daemon_password().expose()))),
            "call" => self.call(fields).await,
            "emit" => client
                .emit_raw(unmarked(&fields["message"]))
                .map(|()| None)
                .map_err(|error| told_of(&error, "EMIT_FAILED")),
            "stream" => {
                let chunk = unmarked(&fields["chunk"]).blobs()[0].clone();
                let said = client.emit_stream(fields["stream"].as_str().unwrap(), chunk);
                said.map(|()| None).map_err(|error| told_of(&error, "EMIT_FAILED"))
            }
            "endstream" => {
                let said = client.end_stream(fields["stream"].as_str().unwrap(), None);
                said.map(|()| None).map_err(|error| told_of(&error, "EMIT_FAILED"))
            }
            "unhandle" => {
                client.unregister_handler(fields["command"].as_str().unwrap());
                Ok(None)
            }
            "release" => {
                self.release.notify_one();
                Ok(None)
            }
            other => panic!("{other}"),
        }
    }

    async fn call(&self, fields: &Value) -> Outcome {
        let payload = fields.get("payload").map_or_else(Raw::absent, unmarked);
        let mut call = self.client.send_command_raw(fields["command"].as_str().unwrap(), payload);
        if let Some(timeout) = fields.get("timeout_ms") {
            call = call.timeout(Duration::from_millis(timeout.as_u64().unwrap()));
        }
        match call.await {
            Ok(reply) if reply.raw().is_absent() => Ok(None),
            Ok(reply) => Ok(Some(marked(&reply.raw()))),
            Err(error) => Err(told_of(&error, client_code(error.code()))),
        }
    }
}

/// Writes options by their dotted paths as the tables that they stand in.
fn nested(options: &Value) -> Value {
    let mut tables = json!({});
    for (path, value) in options.as_object().unwrap() {
        let place = path.split('.').fold(&mut tables, |table, name| &mut table[name]);
        *place = value.clone();
    }
    tables
}

fn told_of(error: &Error, code: &str) -> Value {
    let mut told = json!({ "code": code, "message": error.message() });
    if let Some(status) = error.status() {
        told["status"] = json!(status);
    }
    told
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

type Plain = fn(Value, WorkContext) -> Result<Reply, Failure>;

fn register(client: &DaemonClient, release: &Arc<Notify>, log: &Log) {
    let plain: [(&str, Plain); 9] = [
        ("h.data", |payload, context| {
            let ctx = json!({ "command": context.key(), "requestId": context.wire_id() });
            Ok(Reply::new().with_data(&json!({ "echo": payload, "ctx": ctx })))
        }),
        ("h.status", |_, _| {
            let reply = Reply::new().with_status(202).with_header("x-trace", "1");
            Ok(reply.with_data(&json!({ "removed": true })))
        }),
        ("h.empty", |_, _| Ok(Reply::new())),
        ("h.throw", |_, _| Err(Failure::new("secret detail"))),
        ("h.reject", |_, _| Err(Failure::rejected(409, "job already runs"))),
        ("h.buffer", |_, _| {
            let reply = Reply::new().with_header("content-type", "application/octet-stream");
            Ok(reply.with_body(&b"\x00\x01\x02\xfd\xfe\xff"[..]))
        }),
        ("h.stream", |_, _| {
            let reply = stream(&[b"hello ", b"world"], None);
            Ok(reply.with_status(206).with_header("content-type", "text/plain"))
        }),
        ("h.streamerr", |_, _| Ok(stream(&[b"\x01\x02\x03"], Some("disk gone")))),
        ("h.big", |_, _| Ok(Reply::new().with_data(&"x".repeat(5_000)))),
    ];
    for (command, handler) in plain {
        client.register_handler(command, move |payload: Value, context: WorkContext| {
            std::future::ready(handler(payload, context))
        });
    }
    client.register_handler("h.large", |payload: Value, _| async move {
        let parts = usize::try_from(payload["parts"].as_u64().unwrap()).unwrap();
        Ok(stream(&vec![&[0_u8; 65_536][..]; parts], None))
    });
    client.register_handler("h.function", |_: Value, _| async { Ok(json!({ "data": 1 })) });
    client.register_handler("h.bin", |payload: Raw, context: WorkContext| async move {
        let payload = payload.with_blobs(context.blobs().to_vec());
        let back = marked(&payload)["chunk"].clone();
        let len = STANDARD.decode(back["$bytes"].as_str().unwrap()).unwrap().len();
        Ok(Reply::new().with_raw(unmarked(&json!({ "len": len, "back": back }))))
    });
    let (release, log) = (Arc::clone(release), log.clone());
    client.register_handler("h.wait", move |_: Value, _| -> Answer {
        log.add(json!({ "kind": "handler", "command": "h.wait" }));
        let release = Arc::clone(&release);
        Box::pin(async move {
            release.notified().await;
            Ok(Reply::new())
        })
    });
}

fn stream(parts: &[&'static [u8]], failure: Option<&'static str>) -> Reply {
    let (sender, reply) = Reply::channel();
    let parts = parts.to_vec();
    tokio::spawn(async move {
        for part in parts {
            // Nobody may want it.
            let _ = sender.send(Bytes::from_static(part)).await;
        }
        if let Some(message) = failure {
            let _ = sender.fail(message).await;
        }
    });
    reply
}

/// Writes a value with its bytes as marks.
fn marked(raw: &Raw) -> Value {
    fn walk(value: Value, blobs: &[Bytes]) -> Value {
        match value {
            Value::Object(members) if members.contains_key("_placeholder") => {
                let number = usize::try_from(members["num"].as_u64().unwrap()).unwrap();
                json!({ "$bytes": STANDARD.encode(&blobs[number]) })
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(key, part)| (key, walk(part, blobs)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Value::Array(parts) => parts.into_iter().map(|part| walk(part, blobs)).collect(),
            other => other,
        }
    }
    walk(serde_json::from_str(raw.as_str()).unwrap(), raw.blobs())
}

/// Reads a value with marks for bytes.
fn unmarked(value: &Value) -> Raw {
    fn walk(value: &Value, blobs: &mut Vec<Bytes>) -> Value {
        match value {
            Value::Object(members) if members.contains_key("$bytes") => {
                blobs.push(STANDARD.decode(members["$bytes"].as_str().unwrap()).unwrap().into());
                json!({ "_placeholder": true, "num": blobs.len() - 1 })
            }
            Value::Object(members) => {
                let members = members.iter().map(|(key, part)| (key.clone(), walk(part, blobs)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Value::Array(parts) => parts.iter().map(|part| walk(part, blobs)).collect(),
            other => other.clone(),
        }
    }
    let mut blobs = Vec::new();
    let text = walk(value, &mut blobs).to_string();
    Raw::parse(text).unwrap().with_blobs(blobs)
}
