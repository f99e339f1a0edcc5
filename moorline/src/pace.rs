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
    /// The bytes of all messages so far, and up to how many of these all has left.
    total: u64,
    gone: u64,
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

    /// Hands over a message for `to`, emitted under `name`; the call `$sent` with these `options` asks about it.
    ///
    /// # Errors
    /// `OVERLOADED` where as much waits as may; `STOPPED`.
    pub(crate) fn emit(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        [to, name]: [&str; 2],
        options: impl FnOnce() -> Raw,
        payload: Raw,
    ) -> Result<(), Error> {
        let cost = payload.len() as u64 + UNSENT_OVERHEAD_BYTES;
        let mut loads = lock(&self.loads);
        let load = loads.entry(to.to_owned()).or_default();
        let unsent = load.total - load.gone;
        if unsent >= self.most {
            let text = format!(
                "{} bytes wait to be sent, and limits.max_send_queue_bytes is {}: await flushed()",
                unsent, self.most
            );
            return Err(Error::new(ErrorCode::Overloaded, text));
        }
        load.total += cost;
        let asks = !load.is_asking && load.total - load.gone >= self.due();
        load.is_asking |= asks;
        drop(loads);
        let submitted = endpoint.submit_soon(Command::Emit { name: name.to_owned(), payload });
        if asks {
            let (pace, endpoint, to) = (Arc::clone(self), Arc::clone(endpoint), to.to_owned());
            let options = options();
            endpoint.runtime.clone().spawn(async move {
                loop {
                    // Whether it has left or will not: it waits no longer.
                    let _ = pace.flushed(&endpoint, &to, options.clone()).await;
                    if !pace.goes_on(&to) {
                        return;
                    }
                }
            });
        }
        submitted
    }

    /// Waits until everything has left that was handed over for `to` before.
    pub(crate) async fn flushed(
        &self,
        endpoint: &Arc<Endpoint>,
        to: &str,
        options: Raw,
    ) -> Result<(), Error> {
        let total = lock(&self.loads).get(to).map_or(0, |load| load.total);
        let (name, payload) = (words::SENT.to_owned(), Raw::absent());
        let command = |call| Command::Call(CallCommand::Make { call, name, payload, options });
        let result = endpoint.call(command).await;
        if let Some(load) = lock(&self.loads).get_mut(to) {
            // It may have been counted anew meanwhile.
            load.gone = load.gone.max(total).min(load.total);
        }
        result.map(drop)
    }

    /// Tells whether so much waits that it is to be asked again; else nobody asks any more.
    fn goes_on(&self, to: &str) -> bool {
        let mut loads = lock(&self.loads);
        let Some(load) = loads.get_mut(to) else { return false };
        let unsent = load.total - load.gone;
        load.is_asking = unsent >= self.due();
        let goes_on = load.is_asking;
        if unsent == 0 {
            loads.remove(to);
        }
        goes_on
    }

    fn due(&self) -> u64 {
        ASK_UNSENT_BYTES.min(self.most / 2)
    }
}
