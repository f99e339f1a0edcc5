//! What clients ask to be run: enqueue, dispatch, and the same from inside the process.

use std::sync::Arc;

use super::auth_worker::AUTHENTICATION;
use super::item::{Item, ItemId, Lane, Order, State, Waiter};
use super::lookups::{Ordered, Want};
use super::registration::MAX_NAME;
use super::requests::Asked;
use super::wire::{self, HubSettings, WorkRequest};
use super::{Client, Coordinator, Timer};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::HttpId;
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::net::{HttpResponse, binary_frames};

/// The longest time limit of an item: a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// The pause before an item that failed runs again, unless its settings say otherwise; once per
/// failure so far. Source: `ultravisor` 1.3.24.
const RETRY_BACKOFF_MS: u64 = 5_000;

/// The most attempts that settings may ask for.
const MAX_ATTEMPTS: u64 = 1_000;

/// Why nothing is taken while the store fails.
pub(super) const NO_STORE: &str = "The store is not available.";

/// Why nothing is run.
#[derive(Debug)]
pub(crate) struct Denial {
    status: u16,
    /// For a call of this process.
    code: ErrorCode,
    /// What it says, for people.
    text: String,
    /// The answer's body, if it is not the text alone.
    body: Option<String>,
    retry_after_ms: Option<u64>,
}

impl Denial {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        let code = match status {
            503 => ErrorCode::NoWorker,
            400 | 409 => ErrorCode::ArgumentInvalid,
            413 => ErrorCode::TooLarge,
            _ => ErrorCode::RemoteError,
        };
        Self { status, code, text: text.into(), body: None, retry_after_ms: None }
    }

    /// The body is not JSON.
    fn content(error: &serde_json::Error) -> Self {
        let text = format!("Invalid JSON: {error}");
        Self { body: Some(wire::invalid_content(&text)), ..Self::new(400, text) }
    }

    /// There is too much already.
    pub(crate) fn later(reason: &'static str, retry_after_ms: u64) -> Self {
        let millis = retry_after_ms.max(1);
        let (code, body) = (ErrorCode::RateLimited, wire::admission_denied(reason, millis));
        let retry_after_ms = Some(millis);
        Self { code, body: Some(body), retry_after_ms, ..Self::new(429, reason) }
    }

    fn unavailable(text: &str) -> Self {
        let code = ErrorCode::Overloaded;
        Self { code, retry_after_ms: Some(1_000), ..Self::new(503, text) }
    }

    /// Makes the answer. Peer: the dispatch routes say `Success` too, `Enqueue` does not.
    pub(crate) fn response(self, with_success: bool) -> HttpResponse {
        let say = if with_success { wire::failure } else { wire::error };
        let body = self.body.unwrap_or_else(|| say(&self.text));
        let mut response = HttpResponse::json(self.status, body);
        if let Some(millis) = self.retry_after_ms {
            response.headers.push("retry-after", millis.div_ceil(1_000).to_string());
        }
        response
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        wire::failed(denial.code, &denial.text)
    }
}

/// What a request with an idempotency key leads to.
pub(super) enum Submitted {
    /// A new item, which is not placed yet.
    Item(ItemId),
    /// An item that is not finished, and the time that this request allows it.
    Known { id: ItemId, timeout_ms: u64 },
    /// The outcome of an item that is, if that is what was ordered.
    Done(Arc<str>, Ordered),
}

impl Coordinator {
    /// Answers `Enqueue`, unless the outcome of a known key is looked up first.
    pub(super) fn enqueue(
        &mut self,
        asked: Asked<'_>,
        client: Client,
    ) -> Result<Option<String>, Denial> {
        let submitted = self.submit(asked, false)?;
        if let Submitted::Item(id) = submitted {
            self.place(id, asked.now);
        }
        Ok(match submitted {
            Submitted::Item(id) | Submitted::Known { id, .. } => {
                let Some(item) = self.items.get(id) else {
                    let text = "it is larger than the worker takes that it was given to";
                    return Err(Denial::new(413, wire::too_large(text)));
                };
                let Order { run_id, hash, enqueued, .. } = &item.order;
                let status = item.status(self.is_reserved(item));
                Some(wire::enqueued(run_id, hash, status, *enqueued, item.priority))
            }
            Submitted::Done(hash, ordered) => {
                self.look_up(&hash, Want::Enqueued(client, ordered), asked.now);
                None
            }
        })
    }

    /// Answers `Dispatch` and `DispatchStream`, now or when the item ends.
    pub(super) fn dispatch(&mut self, http: HttpId, asked: Asked<'_>, stream: bool) {
        match self.submit(asked, true) {
            Ok(submitted) => {
                if stream {
                    // It promises nothing, and progress goes out behind it.
                    self.reply(http, binary_frames::head());
                }
                self.attach(submitted, Waiter::Http { http, stream }, asked.now);
            }
            Err(denial) => self.reply(http, denial.response(true)),
        }
    }

    /// Lets someone wait for an item, or answers at once.
    pub(super) fn attach(&mut self, submitted: Submitted, waiter: Waiter, now: Now) {
        let (id, patience_ms) = match submitted {
            Submitted::Item(id) => (id, None),
            Submitted::Known { id, timeout_ms } => (id, Some(timeout_ms)),
            Submitted::Done(hash, ordered) => {
                return self.look_up(&hash, Want::Answer(waiter, ordered), now);
            }
        };
        if let Some(client) = Client::of(&waiter) {
            // The item's own limit may be longer, or not have begun.
            let patience = patience_ms.map(|millis| (now.mono.after(millis), millis));
            if let Some((at, millis)) = patience {
                self.timers.add(Timer::Patience(client, millis), at);
            }
            self.clients.insert(client, (id, patience));
        }
        if let Some(item) = self.items.get_mut(id) {
            item.waiters.push(waiter);
        }
        if patience_ms.is_none() {
            self.place(id, now);
        }
    }

    /// Answers one who has waited for as long as it wanted; the item goes on for the others.
    pub(super) fn lose_patience(&mut self, client: Client, timeout_ms: u64) {
        if let Some((_, waiter)) = self.forget_client(client) {
            let text = format!("Direct dispatch timed out after {timeout_ms}ms.");
            self.turn_away(waiter, 500, ErrorCode::CallTimeout, &text);
        }
    }

    /// Takes work in. With a known idempotency key it finds the item or outcome of that key.
    pub(super) fn submit(&mut self, asked: Asked<'_>, direct: bool) -> Result<Submitted, Denial> {
        let Asked { body, key, now, .. } = asked;
        if !self.is_open {
            let denial = Denial::unavailable("The hub is not taking work.");
            return Err(Denial { code: ErrorCode::Stopped, ..denial });
        }
        if self.journal.is_failing {
            return Err(Denial::unavailable(NO_STORE));
        }
        let request: WorkRequest<'_> =
            serde_json::from_str(body).map_err(|e| Denial::content(&e))?;
        let Some(capability) = request.capability.as_deref().filter(|name| !name.is_empty()) else {
            return Err(Denial::new(400, "Capability is required."));
        };
        if capability == AUTHENTICATION && self.options.is_secured() {
            return Err(Denial::new(403, "Capability Authentication is the hub's own."));
        }
        let action = request.action.as_deref().unwrap_or("Execute");
        check_names(&request, key)?;
        let timeout_ms = wire::count(request.timeout_ms)
            .filter(|timeout| *timeout > 0)
            .unwrap_or(self.options.work_timeout_ms)
            .min(MAX_TIMEOUT_MS);
        let key = asked.owned_key();
        if let Some(known) = self.find_key(key.as_deref(), capability, action, timeout_ms)? {
            return Ok(known);
        }
        if direct && self.registry.len() == 0 {
            return Err(Denial::new(503, "No Beacon workers are registered."));
        }
        let settings = match request.settings {
            None => Raw::empty_object(),
            Some(raw) if wire::object(Some(raw)).is_some() => Raw::kept(body, raw),
            Some(_) => return Err(Denial::new(400, "Settings must be an object.")),
        };
        let full = || Denial::later("queued_depth_exceeded", 1_000);
        if self.items.waiting().saturating_sub(self.items.internal) as u64
            >= self.options.max_queued
        {
            return Err(full());
        }
        let own = HubSettings::find(settings.as_str());
        let priority = wire::number(request.priority.or(own.priority)).unwrap_or(0.0) as i64;
        let run_id = match request.run_id.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None if direct => String::new(),
            None => self.runs.mint(now.unix),
        };
        let run_hash = request.run_hash.unwrap_or_default();
        let node_hash = request.node_hash.unwrap_or_default();
        let max_attempts = wire::count(own.max_retries).unwrap_or(1).clamp(1, MAX_ATTEMPTS);
        let backoff = wire::count(own.retry_backoff_ms).unwrap_or(RETRY_BACKOFF_MS);
        let hash = self.mint_hash(&run_hash, &node_hash, now);
        let order = Order {
            run_id,
            run_hash,
            node_hash,
            operation_hash: request.operation_hash.unwrap_or_default(),
            affinity_key: request.affinity_key.unwrap_or_default(),
            strict: wire::truthy(request.require_affinity_match),
            timeout_ms,
            max_attempts,
            retry_backoff_ms: backoff.min(MAX_TIMEOUT_MS),
            key,
            direct,
            ..Order::new(hash, capability, action, settings, now.unix)
        };
        let item = Item::new(order, priority, self.items.next);
        if self.items.bytes.saturating_add(item.size()) > self.options.max_queued_bytes {
            return Err(full());
        }
        self.fits(&item, None).map_err(|problem| Denial::new(413, problem))?;
        Ok(Submitted::Item(self.insert(item, now)))
    }

    /// Puts an item into the queue, stored; it must be placed next.
    pub(super) fn insert(&mut self, mut item: Item, now: Now) -> ItemId {
        item.order.strict &= !item.order.affinity_key.is_empty();
        let direct = item.order.direct;
        let id = self.items.insert(item);
        if direct {
            self.limit(id, now);
        }
        self.store_work(id);
        id
    }

    /// Makes a hash. Peer: `wi-<run|unknown>-<node|unknown>-<ms>-<n>`.
    pub(super) fn mint_hash(&mut self, run: &str, node: &str, now: Now) -> Arc<str> {
        let [run, node] = [run, node].map(|id| if id.is_empty() { "unknown" } else { id });
        let stem = format!("wi-{run}-{node}-{}", now.unix.0);
        loop {
            self.minted += 1;
            let hash = format!("{stem}-{}", self.minted);
            if self.items.find(&hash).is_none() && self.results.find(&hash).is_none() {
                return hash.into();
            }
        }
    }

    /// Tells whether the worker that an item waits for is here.
    pub(super) fn is_reserved(&self, item: &Item) -> bool {
        match &item.state {
            State::Pending(Lane { capability, name }) => {
                let worker = name.as_ref().and_then(|name| self.registry.by_name(name));
                let worker = worker.and_then(|worker| self.registry.get(worker));
                worker.is_some_and(|worker| worker.offers(capability))
            }
            State::Running(_) | State::Held | State::Retry(_) => false,
        }
    }

    /// Notes that a client does not wait any more; returns for what it did.
    pub(super) fn wait_no_longer(&mut self, client: Client) -> Option<ItemId> {
        if let Client::Http(http) = client {
            self.slow.remove(&http);
        }
        let (id, patience) = self.clients.remove(&client)?;
        if let Some((at, millis)) = patience {
            self.timers.remove(Timer::Patience(client, millis), at);
        }
        Some(id)
    }

    /// Lets a client wait no longer; its item goes on, and its outcome is kept.
    pub(super) fn forget_client(&mut self, client: Client) -> Option<(ItemId, Waiter)> {
        let id = self.wait_no_longer(client)?;
        let waiters = &mut self.items.get_mut(id)?.waiters;
        let place = waiters.iter().position(|waiter| Client::of(waiter) == Some(client))?;
        Some((id, waiters.remove(place)))
    }

    fn find_key(
        &self,
        key: Option<&str>,
        capability: &str,
        action: &str,
        timeout_ms: u64,
    ) -> Result<Option<Submitted>, Denial> {
        let Some(key) = key else { return Ok(None) };
        let item = self.items.find_key(key).and_then(|id| Some((id, self.items.get(id)?)));
        let (known, before) = match (item, self.results.find_key(key)) {
            (Some((id, Item { order, .. })), _) => {
                (Submitted::Known { id, timeout_ms }, (&order.capability, &order.action))
            }
            (None, Some(kept)) => {
                let ordered = (capability.to_owned(), action.to_owned());
                return Ok(Some(Submitted::Done(kept.hash.clone(), ordered)));
            }
            (None, None) => return Ok(None),
        };
        if (&**before.0, &**before.1) == (capability, action) {
            Ok(Some(known))
        } else {
            Err(Denial::new(409, "The idempotency key was used for other work."))
        }
    }
}

fn check_names(request: &WorkRequest<'_>, key: Option<&str>) -> Result<(), Denial> {
    let names = [
        ("Capability", request.capability.as_deref()),
        ("Action", request.action.as_deref()),
        ("AffinityKey", request.affinity_key.as_deref()),
        ("RunID", request.run_id.as_deref()),
        ("RunHash", request.run_hash.as_deref()),
        ("NodeHash", request.node_hash.as_deref()),
        ("OperationHash", request.operation_hash.as_deref()),
        ("X-Idempotency-Key", key),
    ];
    if key.is_some_and(|key| key.contains(char::is_control)) {
        return Err(Denial::new(400, "X-Idempotency-Key holds a control character."));
    }
    for (name, value) in names {
        if value.is_some_and(|value| value.len() > MAX_NAME) {
            return Err(Denial::new(400, format!("{name} is longer than {MAX_NAME} bytes.")));
        }
    }
    Ok(())
}
