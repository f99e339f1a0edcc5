//! Calls of the application that holds the hub: the same as over HTTP, without HTTP.

use bytestring::ByteString;

use super::auth::Caller;
use super::item::{Ending, Waiter};
use super::routes::View;
use super::{Deferred, Hub};
use crate::api::event::CallEvent;
use crate::api::event::Event;
use crate::api::options::{self};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::Now;
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::beacon::wire::coordinator::ControlBody;
use crate::dialect::volt::server::{Asker, Order};

/// An administrative call that ended at once: status and text, as over HTTP.
type Answer = (u16, String);

impl Hub {
    /// Makes a call; it settles in one `CallDone`.
    pub(super) fn call(
        &mut self,
        call: CallId,
        name: &str,
        payload: Raw,
        options: &Raw,
        now: Now,
    ) -> Result<(), Error> {
        if !self.is_serving() {
            let code = match self.phase_name() {
                "ended" => ErrorCode::Stopped,
                _ => ErrorCode::NotStarted,
            };
            return Err(code.into());
        }
        let options = options::read::<CallOptions>(options.as_str()).map_err(|e| {
            Error::new(ErrorCode::ArgumentInvalid, format!("the call's options: {e}"))
        })?;
        if !options.team_cluster_id.is_empty() {
            let order = Order {
                cluster: options.team_cluster_id.clone(),
                command: name.to_owned(),
                payload,
                form: options.response_type,
                timeout_ms: options.timeout_ms,
            };
            return self.volt.call(Asker::Call(call), order, now);
        }
        let payload = &payload.or_empty_object();
        if !name.starts_with('$') {
            return self.call_worker(call, name, payload, &options, now);
        }
        if self.volt.administer(call, name, payload, now) {
            return Ok(());
        }
        let (status, text) = self.administer(name, payload, &options, now)?;
        let result = if status == 200 {
            Raw::parse(text).map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))
        } else {
            Err(refusal(status, &text))
        };
        self.later(Deferred::Event(Event::Call(CallEvent::Done { call, result })));
        Ok(())
    }

    /// Cancels a call, and its item if nobody else waits for it.
    pub(super) fn cancel_call(&mut self, call: CallId, now: Now) {
        if self.volt.cancel_call(call) {
            return;
        }
        let Some(id) = self.calls.remove(&call) else { return };
        let Some(item) = self.queue.get_mut(id) else { return };
        item.waiters.retain(|waiter| match waiter {
            Waiter::Call { call: waiting, .. } => *waiting != call,
            Waiter::Http { .. } | Waiter::Login { .. } | Waiter::Join { .. } => true,
        });
        let alone = item.waiters.is_empty();
        let result = Err(Error::from(ErrorCode::CallCancelled));
        self.event(Event::Call(CallEvent::Done { call, result }));
        if alone {
            self.withdraw(id, Ending::Cancelled, "The call was cancelled.", now);
        }
    }

    fn call_worker(
        &mut self,
        call: CallId,
        name: &str,
        payload: &Raw,
        options: &CallOptions,
        now: Now,
    ) -> Result<(), Error> {
        let (capability, action) = name.split_once('/').unwrap_or((name, "Execute"));
        let mut request = Object::with_capacity(payload.as_str().len() + 192)
            .text("Capability", capability)
            .text("Action", action)
            .raw("Settings", payload.as_str())
            .text("AffinityKey", &options.affinity_key)
            .flag("RequireAffinityMatch", options.require_affinity);
        if options.timeout_ms > 0 {
            request = request.number("TimeoutMs", options.timeout_ms);
        }
        let body = ByteString::from(request.end());
        let key = Some(options.idempotency_key.as_str()).filter(|key| !key.is_empty());
        let submitted = self
            .submit(&body, key, &own_caller(), true, now)
            .map_err(|denial| Error::new(denial.code(), denial.text()))?;
        self.attach(submitted, Waiter::Call { call, stream: options.stream }, now);
        Ok(())
    }

    fn administer(
        &mut self,
        name: &str,
        payload: &Raw,
        options: &CallOptions,
        now: Now,
    ) -> Result<Answer, Error> {
        let body = payload.clone().into_text();
        let control: ControlBody = payload.read().unwrap_or_default();
        let named = |value: Option<String>, field: &str| {
            value.ok_or_else(|| {
                Error::new(ErrorCode::ArgumentInvalid, format!("{name} needs {field}"))
            })
        };
        Ok(match name {
            "$status" => self.show(&View::MoorlineStatus, OWN_SESSION, now),
            "$beacons" => self.show(&View::Workers, OWN_SESSION, now),
            "$work" => self.show(&View::Items, OWN_SESSION, now),
            "$capabilities" => self.show(&View::Capabilities, OWN_SESSION, now),
            "$enqueue" => {
                let key = Some(options.idempotency_key.as_str()).filter(|key| !key.is_empty());
                match self.enqueue(&body, key, &own_caller(), now) {
                    Ok(text) => (200, text),
                    Err(denial) => return Err(Error::new(denial.code(), denial.text())),
                }
            }
            "$result" => self.result_of(&named(control.work_item_hash, "WorkItemHash")?),
            "$cancel" => {
                let hash = named(control.work_item_hash, "WorkItemHash")?;
                self.cancel_by_hash(&hash, &body, now)
            }
            "$run_start" => self.start_run(&body, now),
            "$run_end" => {
                let id = named(control.run_id, "RunID")?;
                self.end_run(&id, &body)
            }
            "$drain" => {
                let id = named(control.beacon_id, "BeaconID")?;
                self.drain_worker(&id, &body, OWN_SESSION, now)
            }
            other => {
                let text = format!("a hub has no call named {other:?}");
                return Err(Error::new(ErrorCode::ArgumentInvalid, text));
            }
        })
    }
}

/// The application sees what an open hub shows; sessions are others' own.
const OWN_SESSION: &str = super::auth::ANONYMOUS;

/// The application itself: no login, no rate limit of anybody else.
fn own_caller() -> Caller {
    Caller { session: OWN_SESSION.into(), user: "".into(), client: "in-process".to_owned() }
}

/// Makes an error of an answer that is none.
fn refusal(status: u16, text: &str) -> Error {
    let code = if status == 400 { ErrorCode::ArgumentInvalid } else { ErrorCode::RemoteError };
    let words: Option<ErrorWords> = serde_json::from_str(text).ok();
    Error::new(code, words.map_or_else(|| text.to_owned(), |words| words.error))
}

/// The error of an answer.
#[derive(serde::Deserialize)]
struct ErrorWords {
    #[serde(rename = "Error")]
    error: String,
}
