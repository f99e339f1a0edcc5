//! What this program is when it is a contestant.

use moorline::{Hub, Worker};
use serde_json::{Value, json};

use crate::process::Failure;
use crate::volt::memory;

/// Runs a hub until the process is ended; prints its address once it listens.
pub(crate) fn hub(store: &str) -> Result<(), Failure> {
    let hub = Hub::builder().listen("127.0.0.1:0").store_path(store).options(|options| {
        options.max_unadmitted_per_address = 4_096;
        options.enqueue_rate = 0;
    });
    let hub = (0..memory::KNOWN)
        .fold(hub, |hub, number| hub.daemon(&memory::id(number), memory::PASSWORD));
    runtime()?.block_on(async {
        let hub = hub.start().await?;
        println!("{}", hub.address());
        Ok(hub.ended().await?)
    })
}

/// Runs a worker until the process is ended; prints a line once it is registered.
pub(crate) fn worker(url: &str, max_concurrent: u64) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let worker = Worker::builder(url)
            .name("rust-worker")
            .max_concurrent(max_concurrent)
            .handle("Bench/Echo", |settings: Value, _| async move {
                Ok(json!({"Result": settings.get("Text")}))
            })
            .connect()
            .await?;
        println!("{}", worker.id());
        Ok(worker.ended().await?)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
