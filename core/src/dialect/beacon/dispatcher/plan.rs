//! From the name of a call to the request that carries it.

use crate::api::options::ResponseForm;
use crate::base::error::{Error, invalid};
use crate::base::json::Raw;
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::beacon::wire::{ListPart, Subject, cancellation, command, keyed_run, order};
use crate::dialect::beacon::words::{split, subject};
use crate::net::Method;
use crate::net::origin::path;

/// What a call asks for.
#[derive(Debug)]
pub(super) enum Plan {
    /// Run work and wait for its result.
    Work { capability: String, action: String, settings: Raw, options: CallOptions },
    /// Have a VOLT daemon carry a command out. It is asked once: nobody knows whether a command that
    /// was lost on the way was carried out.
    Command { request: Request, is_stream: bool },
    /// Something else: one request, whose answer is the result.
    Request(Request),
}

/// A request to the control plane.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: String,
}

impl Request {
    fn post(segments: &[&str], body: String) -> Self {
        Self { method: Method::Post, path: path(segments), body }
    }

    /// Makes the request that cancels the work item of a key.
    pub(super) fn cancel() -> Self {
        let body = cancellation("the caller cancelled the call");
        Self::post(&["Beacon", "Work", "Cancel"], body)
    }
}

impl Plan {
    /// Understands a call.
    pub(super) fn new(
        name: &str,
        payload: Raw,
        options: CallOptions,
        key: &str,
    ) -> Result<Self, Error> {
        if !options.team_cluster_id.is_empty() {
            let is_stream = options.response_type == ResponseForm::Stream;
            let timeout_ms = sooner(options.timeout_ms);
            let body = command(name, &payload, &CallOptions { timeout_ms, ..options.clone() });
            let path = ["Moorline", "Volt", "Daemons", &options.team_cluster_id, "Call"];
            return Ok(Self::Command { request: Request::post(&path, body), is_stream });
        }
        let payload = payload.or_empty_object();
        if !payload.as_str().starts_with('{') {
            return Err(invalid(format!("the payload of {name} is a JSON object")));
        }
        let Some(name) = name.strip_prefix('$') else {
            let (capability, action) = split(name)
                .ok_or_else(|| invalid(format!("work is named Capability/Action, not {name:?}")))?;
            let (capability, action) = (capability.to_owned(), action.to_owned());
            return Ok(Self::Work { capability, action, settings: payload, options });
        };
        let about = payload.read::<Subject>().unwrap_or_default();
        let named = |field: &str, value: &str| match value {
            "" => Err(invalid(format!("${name} needs {field} in its payload"))),
            value => Ok(value.to_owned()),
        };
        let token = || named(subject::TOKEN, &about.token);
        let daemon = || named(subject::TEAM_CLUSTER, &about.cluster);
        let run = || named(subject::RUN, &about.run);
        let item = || named(subject::WORK_ITEM, &about.hash);
        let worker = || named(subject::BEACON, &about.beacon);
        // Nothing is said to hubs of others unless it is asked for.
        let part = || match payload.as_str() {
            "{}" => String::new(),
            _ => payload.read::<ListPart>().unwrap_or_default().query(),
        };
        let (method, path) = match name {
            "status" => (Method::Get, path(&["Moorline", "Status"])),
            "beacons" => (Method::Get, path(&["Beacon"]) + &part()),
            "work" => (Method::Get, path(&["Beacon", "Work"]) + &part()),
            "daemons" => (Method::Get, path(&["Moorline", "Volt", "Daemons"])),
            "tokens" => (Method::Get, path(&["Moorline", "Volt", "Tokens"])),
            "enroll" => (Method::Post, path(&["Moorline", "Volt", "Tokens"])),
            "revoke" => (Method::Delete, path(&["Moorline", "Volt", "Tokens", &token()?])),
            "rotate" => {
                (Method::Post, path(&["Moorline", "Volt", "Daemons", &daemon()?, "Password"]))
            }
            "forget" => (Method::Delete, path(&["Moorline", "Volt", "Daemons", &daemon()?])),
            "capabilities" => (Method::Get, path(&["Beacon", "Capabilities"])),
            "enqueue" => (Method::Post, path(&["Beacon", "Work", "Enqueue"])),
            "run_start" => (Method::Post, path(&["Beacon", "Run", "Start"])),
            "run_end" => (Method::Post, path(&["Beacon", "Run", &run()?, "End"])),
            "result" => (Method::Get, path(&["Beacon", "Work", &item()?, "Result"])),
            "cancel" => (Method::Post, path(&["Beacon", "Work", &item()?, "Cancel"])),
            "drain" => (Method::Post, path(&["Beacon", &worker()?, "Drain"])),
            other => return Err(invalid(format!("no administrative call is named ${other}"))),
        };
        let body = match method {
            Method::Post if name == "run_start" => keyed_run(&payload, key),
            Method::Post => payload.as_str().to_owned(),
            Method::Get | Method::Delete | Method::Put | Method::Other => String::new(),
        };
        Ok(Self::Request(Request { method, path, body }))
    }

    /// Makes the request; work gets `timeout_ms`, the time that is left for it.
    pub(super) fn request(&self, timeout_ms: u64) -> Request {
        match self {
            Self::Work { capability, action, settings, options } => {
                let verb = if options.stream { "DispatchStream" } else { "Dispatch" };
                let body = order(capability, action, settings, timeout_ms, options);
                Request::post(&["Beacon", "Work", verb], body)
            }
            Self::Command { request, .. } | Self::Request(request) => request.clone(),
        }
    }
}

/// Returns the time that the hub has for a command: it says why there is no answer, which the caller would
/// not learn by itself, while the caller still listens.
fn sooner(timeout_ms: u64) -> u64 {
    timeout_ms - (timeout_ms / 10).min(250)
}
