//! Streams out of handlers: parts are taken no faster than they leave.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_core::Stream;
use moorline_core::words::MAX_CHUNKS_IN_FLIGHT;
use moorline_core::{Command, Outcome, Raw, WorkCommand};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::handler::ItemState;
use crate::reply::{Failure, Parts};
use crate::work::WorkContext;

/// Takes the parts of a streamed reply.
#[derive(Debug)]
pub struct ByteSender(mpsc::Sender<Result<Bytes, Failure>>);

impl ByteSender {
    /// Waits until there is room, then sends a part. Dropping the sender ends the stream.
    ///
    /// # Errors
    /// Nobody wants the stream any more.
    pub async fn send(&self, part: impl Into<Bytes>) -> Result<(), Failure> {
        self.0.send(Ok(part.into())).await.map_err(|_| gone())
    }

    /// Ends the stream with a failure.
    ///
    /// # Errors
    /// Nobody wants the stream any more.
    pub async fn fail(self, message: impl Into<String>) -> Result<(), Failure> {
        self.0.send(Err(Failure::new(message))).await.map_err(|_| gone())
    }
}

fn gone() -> Failure {
    Failure::new("nobody wants the stream any more")
}

struct Receiving(mpsc::Receiver<Result<Bytes, Failure>>);

impl Stream for Receiving {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Makes a stream and the sender of its parts.
pub(crate) fn channel() -> (ByteSender, impl Stream<Item = Result<Bytes, Failure>> + Send) {
    let (sender, receiver) = mpsc::channel(1);
    (ByteSender(sender), Receiving(receiver))
}

/// Writes bytes as they cross.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Sends a stream to its end and returns the outcome of its item.
pub(crate) async fn deliver(item: &WorkContext, opening: Raw, mut parts: Parts) -> Outcome {
    let (endpoint, work, mut state) = (item.endpoint(), item.work_id(), item.state());
    endpoint.submit_with_turn(Command::Work(WorkCommand::Progress { work, report: opening }));
    let mut sent = 0;
    loop {
        let part = tokio::select! {
            biased;
            () = item.unwanted() => return Outcome::Cancelled,
            part = poll_fn(|cx| parts.as_mut().poll_next(cx)) => part,
        };
        let report = match part {
            None => break,
            Some(Ok(bytes)) => Raw::from_value(&Chunk { chunk: base64(&bytes) }),
            Some(Err(failure)) => {
                return Outcome::Failed { message: failure.message().to_owned() };
            }
        };
        let Ok(report) = report else { continue };
        let room = |state: &ItemState| {
            state.withdrawn.is_some() || sent < state.drained + MAX_CHUNKS_IN_FLIGHT
        };
        if state.wait_for(room).await.is_err() {
            return Outcome::Cancelled;
        }
        endpoint.submit_with_turn(Command::Work(WorkCommand::Progress { work, report }));
        sent += 1;
    }
    Outcome::Done { value: Raw::empty_object(), log: Raw::empty_list() }
}

#[derive(Serialize)]
struct Chunk {
    chunk: String,
}
