//! VOLT daemons from the command line: a hub as a process of its own, a daemon in this one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use moorline::volt::DaemonClient;
use moorline::{Failure, Reply, WorkContext};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Finished, Running, finish, moorline, start};
use tokio::runtime::Runtime;

/// How many MiB a long stream has: more than a message may.
const FLOOD: usize = 17;

struct Fleet {
    hub: Running,
    url: String,
    runtime: Runtime,
    daemon: Option<DaemonClient>,
}

impl Fleet {
    /// Starts a hub, and a daemon that enrolls with a token from the command line.
    fn start() -> Self {
        let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0"]));
        let line = hub.line_with("moorline hub listening on ");
        let url = line.rsplit(' ').next().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut fleet = Self { hub, url, runtime, daemon: None };
        let end = fleet.moorline(&["enroll", "lab", "--name", "rack 7", "--expires", "1h"]);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.err.contains("good once, until "), "{end:?}");
        let builder = DaemonClient::builder(&fleet.url.replacen("http", "ws", 1), "lab")
            .enroll(&fleet.url, end.out.trim(), "1.4.2")
            .include_credentials(true)
            .handle("echo", |payload: Value, _: WorkContext| async move {
                Ok::<_, Failure>(Reply::new().with_data(&json!({ "payload": payload })))
            })
            .handle("bytes", |_: Value, _| async {
                Ok::<_, Failure>(Reply::new().with_body("b\0dy"))
            })
            .handle("stream", |_: Value, _| async {
                let (parts, reply) = Reply::channel();
                tokio::spawn(async move {
                    parts.send("one ").await?;
                    parts.send("two").await
                });
                Ok::<_, Failure>(reply)
            })
            .handle("flood", |_: Value, _| async {
                let (parts, reply) = Reply::channel();
                tokio::spawn(async move {
                    for _ in 0..FLOOD {
                        parts.send(vec![b'x'; 1 << 20]).await?;
                    }
                    Ok::<_, Failure>(())
                });
                Ok::<_, Failure>(reply)
            })
            .handle("never", |_: Value, context: WorkContext| async move {
                context.cancelled().await;
                Ok::<_, Failure>(Reply::new())
            })
            .handle("refuse", |_: Value, _| async {
                Err::<Reply, _>(Failure::rejected(409, "busy"))
            });
        fleet.daemon = Some(fleet.runtime.block_on(builder.connect()).unwrap());
        fleet
    }

    /// Runs `moorline` beside the daemon.
    fn moorline(&self, arguments: &[&str]) -> Finished {
        let mut command = moorline(arguments);
        command.args(["--url", &self.url]);
        let run = self.runtime.spawn_blocking(move || finish(&mut command));
        self.runtime.block_on(run).unwrap()
    }
}

#[test]
fn commands_are_called_and_their_answers_printed() {
    let fleet = Fleet::start();
    let end = fleet.moorline(&["call", "lab", "echo", "--payload", r#"{"n":1.0}"#]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.json(), json!({"Status": 200, "Data": {"payload": {"n": 1.0}}}));
    let end = fleet.moorline(&["call", "lab", "bytes", "--response-type", "buffer"]);
    assert_eq!((end.code, end.out.as_str()), (Some(0), "b\0dy"));
    let end = fleet.moorline(&["call", "lab", "stream", "--response-type", "stream"]);
    assert_eq!((end.code, end.out.as_str()), (Some(0), "one two"));

    let end = fleet.moorline(&["call", "lab", "refuse"]);
    assert_eq!(end.code, Some(5), "{end:?}");
    assert!(end.err.contains("busy"), "{end:?}");
    let end = fleet.moorline(&["call", "nobody", "echo"]);
    assert_eq!(end.code, Some(7), "{end:?}");
    let end = fleet.moorline(&["call", "lab", "echo", "--payload", "{"]);
    assert_eq!(end.code, Some(2), "{end:?}");
}

/// K20: whoever has not been asked can be asked again, whoever may have done it not so lightly.
#[test]
fn a_command_that_nobody_answers_says_whether_it_may_have_been_carried_out() {
    let fleet = Fleet::start();
    let end = fleet.moorline(&["call", "lab", "never", "--timeout", "1s"]);
    assert_eq!(end.code, Some(6), "{end:?}");
    assert!(end.err.contains("may have been carried out") && !end.err.contains("key"), "{end:?}");
    fleet.runtime.block_on(fleet.daemon.as_ref().unwrap().disconnect());
    let end = fleet.moorline(&["call", "lab", "echo", "--timeout", "1s"]);
    assert_eq!(end.code, Some(7), "{end:?}");
    assert!(end.err.contains("No daemon registered"), "{end:?}");
}

/// K18.2: a stream has no length of its own.
#[test]
fn a_stream_is_printed_however_long_it_is() {
    let fleet = Fleet::start();
    let end = fleet.moorline(&["call", "lab", "flood", "--response-type", "stream"]);
    assert_eq!((end.code, end.out.len()), (Some(0), FLOOD << 20), "{}", end.err);
}

#[test]
fn daemons_and_tokens_are_shown() {
    let fleet = Fleet::start();
    let end = fleet.moorline(&["status"]);
    assert!(end.out.contains("rack 7") && end.out.contains("connected"), "{end:?}");
    let end = fleet.moorline(&["enroll", "--list"]);
    assert_eq!(end.json()[0]["State"], "used", "{end:?}");
    let made = fleet.moorline(&["enroll", "other", "--json"]);
    let id = made.json()["TokenID"].as_str().unwrap().to_owned();
    let end = fleet.moorline(&["enroll", "--revoke", &id]);
    assert_eq!(end.code, Some(0), "{end:?}");
    let end = fleet.moorline(&["enroll", "--revoke", &id]);
    assert_ne!(end.code, Some(0), "{end:?}");
    let end = fleet.moorline(&["enroll", "lab", "--rotate"]);
    assert_eq!(end.out.trim().len(), 64, "{end:?}");
}

#[test]
fn a_hub_with_daemons_ends_in_order() {
    let Fleet { hub, runtime, daemon, .. } = Fleet::start();
    let mut events = daemon.as_ref().unwrap().events();
    hub.signal(Signal::SIGTERM);
    let ended = runtime.spawn_blocking(|| hub.wait());
    let (status, lines) = runtime.block_on(ended).unwrap();
    assert!(status.success(), "{lines}");
    let told = format!("{:?}", runtime.block_on(events.next()));
    assert!(told.contains("io server disconnect"), "{told}");
}
