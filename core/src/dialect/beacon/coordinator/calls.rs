//! Calls of the application that holds the hub: the same as over HTTP, without HTTP.

use bytestring::ByteString;

use super::item::{Ending, Waiter};
use super::routes::View;
use super::wire::ControlBody;
use super::{ANONYMOUS, Caller, Coordinator};
use crate::api::event::{CallEvent, Event};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::Now;
use crate::dialect::beacon::options::CallOptions;
use crate::machine::Output;

impl Coordinator {
    /// Runs a work item for the application.
    ///
    /// # Errors
    /// Why nothing is run.
    pub(crate) fn call(
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
            .submit(&body, key, &Caller::in_process(), true, now)
            .map_err(|denial| Error::new(denial.code(), denial.text()))?;
        self.attach(submitted, Waiter::Call { call, stream: options.stream }, now);
        Ok(())
    }

    /// Carries out an administrative call of the application.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` for an unknown one and for one that lacks an argument.
    pub(crate) fn administer(
        &mut self,
        call: CallId,
        name: &str,
        payload: &Raw,
        options: &CallOptions,
        now: Now,
    ) -> Result<(), Error> {
        let body = payload.clone().into_text();
        let control: ControlBody = payload.read().unwrap_or_default();
        let named = |value: Option<String>, field: &str| {
            value.ok_or_else(|| {
                Error::new(ErrorCode::ArgumentInvalid, format!("{name} needs {field}"))
            })
        };
        let (status, text) = match name {
            "$beacons" => self.show(&View::Workers, ANONYMOUS),
            "$work" => self.show(&View::Items, ANONYMOUS),
            "$capabilities" => self.show(&View::Capabilities, ANONYMOUS),
            "$enqueue" => {
                let key = Some(options.idempotency_key.as_str()).filter(|key| !key.is_empty());
                match self.enqueue(&body, key, &Caller::in_process(), now) {
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
                self.drain_worker(&id, &body, ANONYMOUS, now)
            }
            other => {
                let text = format!("a hub has no call named {other:?}");
                return Err(Error::new(ErrorCode::ArgumentInvalid, text));
            }
        };
        self.settle(call, status, text);
        Ok(())
    }

    /// Settles an administrative call once everything written so far is stored.
    pub(crate) fn settle(&mut self, call: CallId, status: u16, text: String) {
        let result = if status == 200 {
            Raw::parse(text).map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))
        } else {
            Err(refusal(status, &text))
        };
        self.promise(Output::Event(Event::Call(CallEvent::Done { call, result })));
    }

    /// Cancels a call, and its item if nobody else waits for it.
    pub(crate) fn cancel_call(&mut self, call: CallId, now: Now) {
        let Some(id) = self.calls.remove(&call) else { return };
        let Some(item) = self.items.get_mut(id) else { return };
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
