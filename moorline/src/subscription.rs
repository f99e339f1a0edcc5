//! What is told to many, read as a stream: bounded, so that a slow reader loses the oldest.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender};

/// What a reader gets next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<T> {
    /// A value.
    Value(T),
    /// So many values are lost to it.
    Missed(u64),
}

/// A reader of everything that is sent from here on.
pub(crate) struct Subscription<T> {
    /// `None` while the future has it.
    receiver: Option<Receiver<T>>,
    waiting: Option<Waiting<T>>,
}

type Waiting<T> = Pin<Box<dyn Future<Output = (Result<T, RecvError>, Receiver<T>)> + Send + Sync>>;

impl<T: Clone + Send + Sync + 'static> Subscription<T> {
    pub(crate) fn new(sender: &Sender<T>) -> Self {
        Self { receiver: Some(sender.subscribe()), waiting: None }
    }

    /// Waits for what comes next; `None` when nobody is left to send.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Read<T>>> {
        if let Some(mut receiver) = self.receiver.take() {
            let read = match receiver.try_recv() {
                Ok(value) => Some(Read::Value(value)),
                Err(TryRecvError::Lagged(count)) => Some(Read::Missed(count)),
                Err(TryRecvError::Closed) => None,
                Err(TryRecvError::Empty) => return self.wait(receiver, cx),
            };
            self.receiver = Some(receiver);
            return Poll::Ready(read);
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let (result, receiver) = ready!(waiting.as_mut().poll(cx));
        self.receiver = Some(receiver);
        self.waiting = None;
        Poll::Ready(match result {
            Ok(value) => Some(Read::Value(value)),
            Err(RecvError::Lagged(count)) => Some(Read::Missed(count)),
            Err(RecvError::Closed) => None,
        })
    }

    fn wait(&mut self, mut receiver: Receiver<T>, cx: &mut Context<'_>) -> Poll<Option<Read<T>>> {
        self.waiting = Some(Box::pin(async move { (receiver.recv().await, receiver) }));
        self.poll_read(cx)
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::sync::broadcast;

    use super::*;

    #[tokio::test]
    async fn a_reader_waits_is_told_what_it_missed_and_sees_the_end() {
        let sender = broadcast::channel(2).0;
        let mut reader = Subscription::new(&sender);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(reader.poll_read(&mut cx).is_pending());
        let mut next = async || poll_fn(|cx| reader.poll_read(cx)).await;
        sender.send(1).unwrap();
        assert_eq!(next().await, Some(Read::Value(1)));
        for number in 2..=5 {
            sender.send(number).unwrap();
        }
        assert_eq!(next().await, Some(Read::Missed(2)));
        assert_eq!(next().await, Some(Read::Value(4)));
        assert_eq!(next().await, Some(Read::Value(5)));
        let (read, ()) = tokio::join!(next(), async { drop(sender) });
        assert_eq!(read, None);
    }
}
