//! From the name of a call to the request that carries it.

use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::base::secret::Secret;
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::beacon::wire::{Subject, cancellation, command, keyed_run, order};
use crate::net::origin::{Origin, path};
use crate::net::{HttpRequest, Method};

/// The header that makes a repeated request find its first one.
const IDEMPOTENCY_KEY: &str = "x-idempotency-key";

/// What a call asks for.
#[derive(Debug)]
pub(super) enum Plan {
    /// Run work and wait for its result.
    Work { capability: String, action: String, settings: Raw, options: CallOptions },
    /// Have a VOLT daemon carry a command out. It is asked once: nobody knows whether a command that
    /// was lost on the way was carried out.
    Command { path: String, body: String, is_stream: bool },
    /// Something else: one request, whose answer is the result.
    Request { method: Method, path: String, body: String },
}

impl Plan {
    /// Understands a call.
    pub(super) fn new(
        name: &str,
        payload: Raw,
        options: CallOptions,
        key: &str,
    ) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorCode::ArgumentInvalid, message);
        if !options.team_cluster_id.is_empty() {
            let is_stream = match options.response_type {
                ResponseForm::Stream => true,
                ResponseForm::Json | ResponseForm::Buffer => false,
            };
            let path = path(&["Moorline", "Volt", "Daemons", &options.team_cluster_id, "Call"]);
            return Ok(Self::Command { path, body: command(name, &payload, &options), is_stream });
        }
        let payload = payload.or_empty_object();
        if !payload.as_str().starts_with('{') {
            return Err(invalid(format!("the payload of {name} is a JSON object")));
        }
        let Some(name) = name.strip_prefix('$') else {
            let (capability, action) = name
                .split_once('/')
                .filter(|(capability, action)| !capability.is_empty() && !action.is_empty())
                .ok_or_else(|| invalid(format!("work is named Capability/Action, not {name:?}")))?;
            let (capability, action) = (capability.to_owned(), action.to_owned());
            return Ok(Self::Work { capability, action, settings: payload, options });
        };
        let subject = payload.read::<Subject>().unwrap_or_default();
        let named = |field: &str, value: &str| {
            if value.is_empty() {
                return Err(invalid(format!("${name} needs {field} in its payload")));
            }
            Ok(())
        };
        let get = |path: String| Self::Request { method: Method::Get, path, body: String::new() };
        let post = |path: String, body: String| Self::Request { method: Method::Post, path, body };
        let delete =
            |path: String| Self::Request { method: Method::Delete, path, body: String::new() };
        let text = payload.as_str().to_owned();
        Ok(match name {
            "status" => get(path(&["Moorline", "Status"])),
            "beacons" => get(path(&["Beacon"])),
            "work" => get(path(&["Beacon", "Work"])),
            "daemons" => get(path(&["Moorline", "Volt", "Daemons"])),
            "tokens" => get(path(&["Moorline", "Volt", "Tokens"])),
            "enroll" => post(path(&["Moorline", "Volt", "Tokens"]), text),
            "revoke" => {
                named("TokenID", &subject.token)?;
                delete(path(&["Moorline", "Volt", "Tokens", &subject.token]))
            }
            "rotate" => {
                named("TeamClusterID", &subject.cluster)?;
                post(path(&["Moorline", "Volt", "Daemons", &subject.cluster, "Password"]), text)
            }
            "forget" => {
                named("TeamClusterID", &subject.cluster)?;
                delete(path(&["Moorline", "Volt", "Daemons", &subject.cluster]))
            }
            "capabilities" => get(path(&["Beacon", "Capabilities"])),
            "enqueue" => post(path(&["Beacon", "Work", "Enqueue"]), text),
            "run_start" => post(path(&["Beacon", "Run", "Start"]), keyed_run(&payload, key)),
            "run_end" => {
                named("RunID", &subject.run)?;
                post(path(&["Beacon", "Run", &subject.run, "End"]), text)
            }
            "result" => {
                named("WorkItemHash", &subject.hash)?;
                get(path(&["Beacon", "Work", &subject.hash, "Result"]))
            }
            "cancel" => {
                named("WorkItemHash", &subject.hash)?;
                post(path(&["Beacon", "Work", &subject.hash, "Cancel"]), text)
            }
            "drain" => {
                named("BeaconID", &subject.beacon)?;
                post(path(&["Beacon", &subject.beacon, "Drain"]), text)
            }
            other => return Err(invalid(format!("no administrative call is named ${other}"))),
        })
    }

    /// Makes the request; work gets `timeout_ms`, the time that is left for it.
    pub(super) fn request(
        &self,
        origin: &Origin,
        session: Option<&Secret>,
        key: &str,
        timeout_ms: u64,
    ) -> HttpRequest {
        let mut request = match self {
            Self::Work { capability, action, settings, options } => {
                let verb = if options.stream { "DispatchStream" } else { "Dispatch" };
                let body = order(capability, action, settings, timeout_ms, options);
                let path = path(&["Beacon", "Work", verb]);
                origin.request(Method::Post, &path, session, body)
            }
            Self::Command { path, body, .. } => {
                origin.request(Method::Post, path, session, body.clone())
            }
            Self::Request { method, path, body } => {
                origin.request(*method, path, session, body.clone())
            }
        };
        if request.method == Method::Post {
            request.headers.push(IDEMPOTENCY_KEY, key);
        }
        request
    }

    /// Makes the request that finds the work item of this call: ordered again under its key, the
    /// item is found, not made.
    pub(super) fn find(
        &self,
        origin: &Origin,
        session: Option<&Secret>,
        key: &str,
        timeout_ms: u64,
    ) -> Option<HttpRequest> {
        let Self::Work { capability, action, settings, options } = self else { return None };
        let body = order(capability, action, settings, timeout_ms, options);
        let path = path(&["Beacon", "Work", "Enqueue"]);
        let mut request = origin.request(Method::Post, &path, session, body);
        request.headers.push(IDEMPOTENCY_KEY, key);
        Some(request)
    }
}

/// Makes the request that asks whether the control plane honours idempotency keys.
pub(super) fn extensions(origin: &Origin, session: Option<&Secret>) -> HttpRequest {
    origin.request(Method::Get, &path(&["Moorline", "Status"]), session, String::new())
}

/// Makes the request that cancels a work item.
pub(super) fn cancel(origin: &Origin, session: Option<&Secret>, hash: &str) -> HttpRequest {
    let path = path(&["Beacon", "Work", hash, "Cancel"]);
    origin.request(Method::Post, &path, session, cancellation("the caller cancelled the call"))
}
