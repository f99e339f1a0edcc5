//! Calls of the application that holds the hub: the same as over HTTP, without HTTP.

use bytestring::ByteString;

use super::item::Waiter;
use super::requests::{Answer, Asked};
use super::routes::View;
use super::wire::ControlBody;
use super::{ANONYMOUS, Caller, Client, Coordinator};
use crate::api::event::{CallEvent, Event};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::beacon::wire::ListPart;
use crate::dialect::beacon::wire::{keyed_run, order, stream_error};
use crate::dialect::beacon::words::{split, subject};
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
        let (capability, action) = split(name)
            .ok_or_else(|| invalid(format!("work is named Capability/Action, not {name:?}")))?;
        let order = order(capability, action, payload, options.timeout_ms, options);
        let (body, caller) = (ByteString::from(order), Caller::in_process());
        let page = &ListPart::default();
        let asked = Asked { body: &body, key: options.key(), caller: &caller, page, now };
        let submitted = self.submit(asked, true)?;
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
        let body = match options.key().filter(|_| name == "$run_start") {
            Some(key) => keyed_run(payload, key).into(),
            None => payload.clone().into_text(),
        };
        let caller = Caller::in_process();
        let page = &payload.read::<ListPart>().unwrap_or_default();
        let asked = Asked { body: &body, key: options.key(), caller: &caller, page, now };
        let control: ControlBody = payload.read().unwrap_or_default();
        let named = |value: Option<String>, field: &str| {
            value.ok_or_else(|| invalid(format!("{name} needs {field}")))
        };
        let item = control.work_item_hash;
        let answer = match name {
            "$beacons" => self.show(&View::Workers, page, ANONYMOUS, now),
            "$work" => self.show(&View::Items, page, ANONYMOUS, now),
            "$capabilities" => self.show(&View::Capabilities, page, ANONYMOUS, now),
            "$enqueue" => match self.enqueue(asked, Client::Call(call))? {
                Some(text) => Ok(text),
                None => return Ok(()),
            },
            "$result" => {
                let hash = named(item, subject::WORK_ITEM)?;
                self.show_result(&hash, Client::Call(call), now);
                return Ok(());
            }
            "$cancel" => self.cancel_by_hash(&named(item, subject::WORK_ITEM)?, asked),
            "$run_start" => self.start_run(asked),
            "$run_end" => self.end_run(&named(control.run_id, subject::RUN)?, &body),
            "$drain" => self.drain_worker(&named(control.beacon_id, subject::BEACON)?, asked),
            other => return Err(invalid(format!("a hub has no call named {other:?}"))),
        };
        self.settle(call, answer);
        Ok(())
    }

    /// Settles an administrative call once everything written so far is stored.
    pub(crate) fn settle(&mut self, call: CallId, answer: Answer) {
        let result = match answer {
            Ok(text) => {
                Raw::parse(text).map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))
            }
            Err((status, text)) => Err(refusal(status, &text)),
        };
        let promises = result.is_ok();
        let done = Output::Event(Event::Call(CallEvent::Done { call, result }));
        if promises { self.promise(done) } else { self.out.push_back(done) }
    }

    /// Cancels a call, and its item if nobody else waits for it.
    pub(crate) fn cancel_call(&mut self, call: CallId, now: Now) {
        let Some((id, _)) = self.forget_client(Client::Call(call)) else { return };
        let alone = self.items.get(id).is_some_and(|item| item.waiters.is_empty());
        let result = Err(Error::from(ErrorCode::CallCancelled));
        self.event(Event::Call(CallEvent::Done { call, result }));
        if alone {
            self.cancel(id, "the caller cancelled the call", now);
        }
    }
}

/// Makes an error of an answer that is none.
fn refusal(status: u16, text: &str) -> Error {
    let code = match status {
        400 | 409 => ErrorCode::ArgumentInvalid,
        503 => ErrorCode::Overloaded,
        _ => ErrorCode::RemoteError,
    };
    Error::new(code, stream_error(text.as_bytes()).as_deref().unwrap_or(text))
}
