//! Calls of the application that holds the hub: the same as over HTTP, without HTTP.

use super::{Hub, Phase};
use crate::api::options;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::beacon::coordinator::Caller;
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::volt::server::{Asker, Order};

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
        if !self.phase.is_serving() {
            let is_over = matches!(self.phase, Phase::Ended);
            return Err(if is_over { ErrorCode::Stopped } else { ErrorCode::NotStarted }.into());
        }
        let options = options::read::<CallOptions>(options.as_str())
            .map_err(|e| invalid(format!("the call's options: {e}")))?;
        if !options.team_cluster_id.is_empty() {
            let order = Order {
                cluster: options.team_cluster_id.clone(),
                command: name.to_owned(),
                payload,
                form: options.response_type,
                timeout_ms: options.timeout_ms,
            };
            return self.volt.call(Asker::Call(call), order);
        }
        let payload = &payload.or_empty_object();
        if !name.starts_with('$') {
            return self.coordinator.call(call, name, payload, &options, now);
        }
        if self.volt.administer(call, name, payload, now) {
            return Ok(());
        }
        if name == "$status" {
            let text = self.show_status(now);
            self.coordinator.settle(call, Ok(text));
            return Ok(());
        }
        if name == "$enqueue" {
            self.accounts.count(&Caller::in_process().client, now.mono)?;
        }
        self.coordinator.administer(call, name, payload, &options, now)
    }

    /// Cancels a call.
    pub(super) fn cancel_call(&mut self, call: CallId, now: Now) {
        if !self.volt.cancel_call(call) {
            self.coordinator.cancel_call(call, now);
        }
    }
}
