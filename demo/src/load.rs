//! The load: dispatches items to every language at once, and checks each answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline::Dispatcher;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::task::Language;

/// An item whose call has ended.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Who had to do it.
    pub(crate) language: Language,
    /// Its number.
    pub(crate) number: u32,
    /// When its call ended, from the beginning of the load.
    pub(crate) at: Duration,
    /// How long its call took.
    pub(crate) latency: Duration,
    /// The right answer, or what came instead.
    pub(crate) result: Result<Answer, String>,
}

/// A right answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Which attempt gave it; the first is 1.
    pub(crate) attempt: u64,
}

/// The load on its way.
pub(crate) struct Load {
    dispatcher: Arc<Dispatcher>,
    languages: Vec<Language>,
    items: u32,
    began: Instant,
    answered: watch::Sender<usize>,
}

impl Load {
    /// Connects a dispatcher for `items` items.
    pub(crate) async fn new(url: &str, languages: &[Language], items: u32) -> Result<Self, String> {
        let dispatcher = Dispatcher::builder(url)
            .options(|options| options.reconnect.max_delay_ms = 1_000)
            .connect()
            .await
            .map_err(|e| format!("the dispatcher did not connect: {e}"))?;
        Ok(Self {
            dispatcher: Arc::new(dispatcher),
            languages: languages.to_vec(),
            items,
            began: Instant::now(),
            answered: watch::channel(0).0,
        })
    }

    /// Returns when the load began.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Returns the count of items whose call has ended.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.answered.subscribe()
    }

    /// Dispatches every item and returns how each ended.
    pub(crate) async fn run(&self) -> Result<Vec<Settled>, String> {
        let mut lanes = JoinSet::new();
        for (lane, language) in (0_u32..).zip(&self.languages) {
            // Each language has calls of its own: one that is down does not hold up the others.
            let numbers = (lane..self.items).step_by(self.languages.len());
            let lane = Lane {
                dispatcher: Arc::clone(&self.dispatcher),
                language: *language,
                began: self.began,
                answered: self.answered.clone(),
            };
            lanes.spawn(lane.run(numbers));
        }
        let mut settled = Vec::with_capacity(self.items as usize);
        while let Some(lane) = lanes.join_next().await {
            settled.extend(lane.map_err(|e| format!("a lane of the load failed: {e}"))?);
        }
        Ok(settled)
    }
}

/// The items of one language.
#[derive(Clone)]
struct Lane {
    dispatcher: Arc<Dispatcher>,
    language: Language,
    began: Instant,
    answered: watch::Sender<usize>,
}

impl Lane {
    async fn run(self, numbers: impl Iterator<Item = u32>) -> Vec<Settled> {
        let mut calls = JoinSet::new();
        let mut settled = Vec::new();
        for number in numbers {
            if calls.len() >= IN_FLIGHT {
                settled.extend(calls.join_next().await.and_then(Result::ok));
            }
            calls.spawn(self.clone().settle(number));
        }
        settled.extend(calls.join_all().await);
        settled
    }

    async fn settle(self, number: u32) -> Settled {
        let called = Instant::now();
        let result = self.call(number).await;
        let settled = Settled {
            language: self.language,
            number,
            at: self.began.elapsed(),
            latency: called.elapsed(),
            result,
        };
        self.answered.send_modify(|count| *count += 1);
        settled
    }

    async fn call(&self, number: u32) -> Result<Answer, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Outputs {
            answer: Value,
            attempt: u64,
        }
        let settings = self.language.settings(number);
        let call = self.dispatcher.call(self.language.key(), &settings).timeout(CALL_TIMEOUT);
        let reply = call.await.map_err(|e| e.to_string())?;
        let outputs: Outputs = reply.data().map_err(|e| e.to_string())?;
        let expected = self.language.answer(number);
        if outputs.answer == expected {
            Ok(Answer { attempt: outputs.attempt })
        } else {
            Err(format!("{} came instead of {expected}", outputs.answer))
        }
    }
}

/// Calls that wait for their answer, for each language: a few more than a worker takes at once.
const IN_FLIGHT: usize = 24;

/// Long enough for both faults.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
