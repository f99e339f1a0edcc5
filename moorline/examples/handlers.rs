//! A handler with progress, a log and an ear for its withdrawal, and who calls it.

#![allow(clippy::print_stdout)]

use moorline::{Dispatcher, Failure, Report, WorkContext, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resize {
    files: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resized {
    count: usize,
}

async fn resize(settings: Resize, work: WorkContext) -> Result<Resized, Failure> {
    let count = settings.files.len();
    work.log(format!("resizing {count} files"));
    for (index, file) in settings.files.iter().enumerate() {
        tokio::select! {
            () = make_small(file) => {}
            why = work.cancelled() => return Err(Failure::new(format!("given up: {why:?}"))),
        }
        let percent = (index + 1) as f64 / count as f64 * 100.0;
        work.progress(&Report { percent: Some(percent), ..Report::default() });
    }
    Ok(Resized { count })
}

async fn make_small(_file: &str) {
    tokio::task::yield_now().await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), moorline::Error> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:54321".into());
    let _worker = Worker::builder(&url)
        .name("renderer")
        .max_concurrent(4)
        .describe("Images/Resize", "Makes small copies of images.")
        .handle("Images/Resize", resize)
        .connect()
        .await?;

    let dispatcher = Dispatcher::connect(&url).await?;
    let files = Resize { files: vec!["a.png".into(), "b.png".into()] };
    let reply = dispatcher
        .call("Images/Resize", &files)
        .on_progress(|report| println!("{}", report.as_str()))
        .await?;
    println!("{} resized; {:?}", reply.data::<Resized>()?.count, reply.log());
    Ok(())
}
