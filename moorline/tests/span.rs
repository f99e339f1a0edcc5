//! The span of a work item, in a process of its own: what is enabled is cached for all of one.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use moorline::{Dispatcher, Hub, WorkContext, Worker};
use serde_json::{Value, json};

#[tokio::test]
async fn a_handler_runs_in_a_span_that_names_its_item() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("moorline::work=info,span=info")
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // Tasks of this runtime run on this thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    let hub = Hub::builder().listen("127.0.0.1:0").start().await.unwrap();
    let _worker = Worker::builder(&hub.url())
        .name("spanned")
        .handle("Echo/Say", |_: Value, work: WorkContext| async move {
            tokio::task::yield_now().await;
            tracing::info!("heard");
            Ok(work.wire_id())
        })
        .connect()
        .await
        .unwrap();
    let dispatcher = Dispatcher::connect(&hub.url()).await.unwrap();
    let reply = dispatcher.call("Echo/Say", &json!({})).await.unwrap();
    let outputs: Value = reply.data().unwrap();
    let hash = outputs["Result"].as_str().unwrap();
    assert!(!hash.is_empty());
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let span = format!(
        "work{{dialect=\"beacon\" handler=\"Echo/Say\" work=1 wire_id=\"{hash}\"}}: span: heard"
    );
    assert!(text.contains(&span), "{text}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
