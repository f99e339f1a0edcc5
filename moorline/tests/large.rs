//! Messages of every size over real sockets: what cannot pass fails by itself.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::time::Duration;

use moorline::core::options::WorkerTransport;
use moorline::{Dispatcher, ErrorCode, Hub, WorkContext, Worker};
use serde_json::{Value, json};

#[tokio::test]
async fn a_result_that_cannot_pass_fails_its_item_and_no_other() {
    let hub = Hub::builder().listen("127.0.0.1:0").start().await.unwrap();
    for transport in [WorkerTransport::WebSocket, WorkerTransport::Polling] {
        let worker = Worker::builder(&hub.url())
            .name(transport.as_str())
            .max_concurrent(4)
            .options(|options| {
                options.transport = transport;
                options.poll_interval_ms = 10;
            })
            .handle("Echo/Fill", |settings: Value, _: WorkContext| async move {
                Ok("x".repeat(settings["Bytes"].as_u64().unwrap() as usize))
            })
            .connect()
            .await
            .unwrap();
        let dispatcher = Dispatcher::connect(&hub.url()).await.unwrap();
        let fill = |bytes: u64| {
            let dispatcher = &dispatcher;
            async move { dispatcher.call("Echo/Fill", &json!({ "Bytes": bytes })).await }
        };
        let limit = 16 * 1024 * 1024;
        let (small, edge, large) =
            tokio::join!(fill(1_000_000), fill(limit - 26), fill(limit + 4_000_000));
        small.unwrap();
        for error in [edge.unwrap_err(), large.unwrap_err()] {
            assert_eq!(error.code(), ErrorCode::TooLarge, "{transport:?}: {error}");
        }
        let work = json!({ "Bytes": 1, "Pad": "p".repeat(limit as usize - 150) });
        let error = dispatcher.call("Echo/Fill", &work).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge, "{transport:?}: {error}");
        fill(10).await.unwrap();
        worker.drain(Duration::from_secs(5)).await.unwrap();
    }
}
