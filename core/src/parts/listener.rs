//! The one listener of a role that listens by itself.

use std::collections::VecDeque;

use crate::api::event::{Event, SessionEvent, Transport};
use crate::api::options::ConfigError;
use crate::base::ids::ListenId;
use crate::machine::Output;
use crate::net::proxies::is_network;
use crate::net::target::ListenTarget;

/// The number of the listener.
pub(crate) const LISTENER: ListenId = ListenId(0);

/// The largest body of a request where none has any.
pub(crate) const NO_BODY: u64 = 1_024;

/// Adds a problem for each that is no address or network.
pub(crate) fn check_proxies(proxies: &[String], problems: &mut ConfigError) {
    for (index, _) in proxies.iter().enumerate().filter(|(_, it)| !is_network(it)) {
        let text = "must be an address, or a network such as 10.0.0.0/8";
        problems.add(&format!("trusted_proxies[{index}]"), text);
    }
}

/// A listener that clients upgrade at.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    /// It was asked for, and may be bound.
    is_open: bool,
    /// Where it is bound.
    address: Option<String>,
}

impl Listener {
    /// Asks for it.
    pub(crate) fn open(&mut self, target: ListenTarget, out: &mut VecDeque<Output>) {
        self.is_open = true;
        out.push_back(Output::Listen { listen: LISTENER, target });
    }

    /// It is bound: tells so.
    pub(crate) fn bound(&mut self, address: String, out: &mut VecDeque<Output>) {
        if self.is_open {
            self.address = Some(address.clone());
            let transport = Transport::Listener;
            let ready = SessionEvent::Ready { id: address, transport, max_message: None };
            out.push_back(Output::Event(Event::Session(ready)));
        }
    }

    /// Tells whether new clients are taken.
    pub(crate) const fn is_serving(&self) -> bool {
        self.is_open && self.address.is_some()
    }

    /// Takes no new clients.
    pub(crate) fn close(&mut self, out: &mut VecDeque<Output>) {
        if std::mem::take(&mut self.is_open) {
            out.push_back(Output::Unlisten { listen: LISTENER });
        }
    }

    /// Returns where it is bound, or was; empty for nowhere.
    pub(crate) fn address(&self) -> &str {
        self.address.as_deref().unwrap_or_default()
    }

    pub(crate) const fn state(&self) -> &'static str {
        if self.address.is_some() { "serving" } else { "opening" }
    }
}
