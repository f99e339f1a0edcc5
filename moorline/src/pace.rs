//! How much was handed over and is not known to have left: what is too much is refused at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use moorline_core::words::{ASK_UNSENT_BYTES, UNSENT_OVERHEAD_BYTES};
use moorline_core::{CallCommand, Command, Raw, words};

use crate::endpoint::{Endpoint, lock};
use crate::{Error, ErrorCode};

/// What one receiver of messages was handed.
#[derive(Debug, Default)]
struct Load {
    unsent: u64,
    is_asking: bool,
}

/// Counts messages, by whom they are for.
#[derive(Debug)]
pub(crate) struct Pace {
    most: u64,
    loads: Mutex<HashMap<String, Load>>,
}

impl Pace {
    /// Makes one where at most so many bytes wait for each receiver; one message always may.
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, loads: Mutex::default() })
    }

    /// Hands over a message for `to`, which the call `$sent` with these `options` asks about.
    ///
    /// # Errors
    /// `OVERLOADED` where as much waits as may; `STOPPED`.
    pub(crate) fn emit(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        to: &str,
        options: impl FnOnce() -> Raw,
        payload: Raw,
    ) -> Result<(), Error> {
        let cost = payload.len() as u64 + UNSENT_OVERHEAD_BYTES;
        let mut loads = lock(&self.loads);
        let load = loads.entry(to.to_owned()).or_default();
        if load.unsent >= self.most {
            let text = format!(
                "{} bytes wait to be sent, and limits.max_send_queue_bytes is {}: await flushed()",
                load.unsent, self.most
            );
            return Err(Error::new(ErrorCode::Overloaded, text));
        }
        load.unsent += cost;
        let asked = load.unsent;
        let asks = !load.is_asking && asked >= ASK_UNSENT_BYTES.min(self.most / 2);
        load.is_asking |= asks;
        drop(loads);
        let name = if endpoint.role.name == "hub" { to.to_owned() } else { String::new() };
        let submitted = endpoint.submit_soon(Command::Emit { name, payload });
        if asks {
            let (pace, endpoint, to) = (Arc::clone(self), Arc::clone(endpoint), to.to_owned());
            let options = options();
            endpoint.runtime.clone().spawn(async move {
                // Whether it has left or will not: it waits no longer.
                let _ = flushed(&endpoint, options).await;
                pace.left(&to, asked);
            });
        }
        submitted
    }

    fn left(&self, to: &str, asked: u64) {
        let mut loads = lock(&self.loads);
        if let Some(load) = loads.get_mut(to) {
            load.is_asking = false;
            load.unsent = load.unsent.saturating_sub(asked);
            if load.unsent == 0 {
                loads.remove(to);
            }
        }
    }
}

/// Waits until everything has left that was handed over before.
pub(crate) async fn flushed(endpoint: &Arc<Endpoint>, options: Raw) -> Result<(), Error> {
    let (name, payload) = (words::SENT.to_owned(), Raw::absent());
    let command = |call| Command::Call(CallCommand::Make { call, name, payload, options });
    endpoint.call(command).await.map(drop)
}
