//! What a worker says: the recorded one and ours, in one form that can be compared.

use moorline_core::{ConnId, Frame, HttpId, Output};
use moorline_tests::transcript::{Body, What, differences, generic_text, value};
use serde_json::Value;

/// Fields that our worker adds; other control planes ignore them.
const EXTENSIONS: [&str; 6] =
    ["Moorline", "AttemptNumber", "BeaconID", "HostLagMs", "InFlight", "Draining"];

/// Something that a worker says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// A request over HTTP; ours has its id.
    Request { http: Option<HttpId>, method: String, path: String, cookie: String, body: Value },
    /// A dial.
    Dial { conn: Option<ConnId>, cookie: String },
    /// A text frame.
    Text { conn: Option<ConnId>, frame: Value },
    /// The end of a connection.
    Close { conn: Option<ConnId> },
}

impl Said {
    /// Understands a recorded line; `None` for what is no saying of the worker's.
    pub(crate) fn recorded(what: &What) -> Option<Self> {
        Some(match what {
            What::Request { method, path, headers, body, .. } => {
                let cookie = headers.first("cookie").unwrap_or_default().to_owned();
                if headers.first("upgrade").is_some() {
                    return Some(Self::Dial { conn: None, cookie });
                }
                let body = match body {
                    Body::Empty => Value::Null,
                    body => value(body.as_str()),
                };
                let (method, path) = (method.clone(), path.clone());
                Self::Request { http: None, method, path, cookie, body }
            }
            What::Text { text, .. } => Self::Text { conn: None, frame: value(text) },
            What::Close { .. } => Self::Close { conn: None },
            What::Response { .. } | What::Failure { .. } | What::Binary { .. } => return None,
        })
    }

    /// Understands an output of ours; `None` for what says nothing to the control plane.
    pub(crate) fn ours(output: &Output) -> Option<Self> {
        Some(match output {
            Output::HttpCall { http, request, .. } => Self::Request {
                http: Some(*http),
                method: request.method.as_str().to_owned(),
                path: request.url.trim_start_matches("http://hub.example:54321").to_owned(),
                cookie: request.headers.first("cookie").unwrap_or_default().to_owned(),
                body: match std::str::from_utf8(&request.body) {
                    Ok("") | Err(_) => Value::Null,
                    Ok(text) => value(text),
                },
            },
            Output::Dial { conn, target } => Self::Dial {
                conn: Some(*conn),
                cookie: target
                    .address
                    .headers()
                    .and_then(|headers| headers.first("cookie"))
                    .unwrap_or_default()
                    .to_owned(),
            },
            Output::Send { conn, frame: Frame::Text(text) } => {
                Self::Text { conn: Some(*conn), frame: value(text) }
            }
            Output::Close { conn, .. } => Self::Close { conn: Some(*conn) },
            Output::Send { .. }
            | Output::HttpCancel { .. }
            | Output::ProbeHost
            | Output::Event(_) => return None,
            other => panic!("a worker has no use for {other:?}"),
        })
    }

    /// Returns what two sayings must share to be about the same thing.
    pub(crate) fn topic(&self) -> String {
        match self {
            Self::Request { method, path, .. } => format!("{method} {path}"),
            Self::Dial { .. } => String::from("dial"),
            Self::Text { frame, .. } => {
                format!("{} {}", frame["Action"], frame["WorkItemHash"])
            }
            Self::Close { .. } => String::from("close"),
        }
    }

    pub(crate) fn is_poll(&self) -> bool {
        matches!(self, Self::Request { path, .. } if path == "/Beacon/Work/Poll")
    }

    /// Lists what differs between the recorded saying and ours.
    pub(crate) fn differences(&self, ours: &Self) -> Vec<String> {
        let (wanted, seen, their_cookie, our_cookie) = match (self, ours) {
            (Self::Text { frame: wanted, .. }, Self::Text { frame: seen, .. }) => {
                (wanted, seen, "", "")
            }
            (
                Self::Request { body: wanted, cookie, .. },
                Self::Request { body: seen, cookie: our_cookie, .. },
            ) => (wanted, seen, cookie.as_str(), our_cookie.as_str()),
            (Self::Dial { cookie, .. }, Self::Dial { cookie: our_cookie, .. }) => {
                (&Value::Null, &Value::Null, cookie.as_str(), our_cookie.as_str())
            }
            (Self::Close { .. }, Self::Close { .. }) => return Vec::new(),
            _ => return vec![format!("{ours:?} instead of {self:?}")],
        };
        // What the original says itself is compared; only what it leaves out is ours to add.
        let ignored: Vec<_> =
            EXTENSIONS.into_iter().filter(|name| wanted.get(name).is_none()).collect();
        let empty = Value::Object(Default::default());
        let wanted = if wanted.is_null() && !seen.is_null() { &empty } else { wanted };
        let mut found = differences(wanted, seen, &ignored);
        if generic_text(their_cookie) != generic_text(our_cookie) {
            found.push(format!("the cookie is {our_cookie:?} instead of {their_cookie:?}"));
        }
        found
    }

    /// Tells whether this holds everything that `fields` names.
    pub(crate) fn holds(&self, fields: &Value) -> bool {
        let mut seen = match self {
            Self::Text { frame, .. } => frame.clone(),
            Self::Request { method, path, body, .. } => {
                let mut seen = body.clone();
                if !seen.is_object() {
                    seen = Value::Object(Default::default());
                }
                seen["request"] = format!("{method} {path}").into();
                seen
            }
            Self::Dial { .. } => serde_json::json!({"dial": true}),
            Self::Close { .. } => serde_json::json!({"close": true}),
        };
        let Some(fields) = fields.as_object() else { return false };
        fields.iter().all(|(name, wanted)| {
            let seen = seen[name.as_str()].take();
            differences(wanted, &seen, &[]).is_empty()
        })
    }
}
