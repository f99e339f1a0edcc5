//! Inputs, commands and outputs as JSON.

mod target;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::command::{self, Command};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, ListenId, StoreId};
use crate::base::json::object::Object;
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::event::{self, Event, PeerEvent};
use crate::machine::{CloseCause, ConnInput, HttpInput, Input, Output, ServerInput};
use crate::net::target::UnixPeer;
use crate::net::{Frame, HeaderValue, Headers, HttpBody, HttpRequest, HttpResponse, Method};
use crate::trace::redact::Redactor;

/// What inputs are read from; which fields are there depends on the kind.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record {
    kind: String,
    conn: Option<ConnId>,
    http: Option<HttpId>,
    store: Option<StoreId>,
    listen: Option<ListenId>,
    millis: u64,
    is_full: bool,
    code: Option<u16>,
    status: Option<u16>,
    reason: String,
    method: String,
    address: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Body>,
    frame: String,
    /// Name of the code, and message.
    error: Option<(String, String)>,
    records: Option<Vec<(String, Body)>>,
    /// User, group and process of a client.
    credentials: Option<(u32, u32, Option<i32>)>,
}

/// Bytes: as text where they are text, as base64 elsewhere.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Text(String),
    Base64(String),
    Streaming,
}

impl Body {
    fn new(bytes: &[u8], redactor: &mut Redactor) -> Self {
        Self::with(bytes, |bytes| Some(redactor.text(std::str::from_utf8(bytes).ok()?)))
    }

    /// Takes what `redact` makes of the bytes, if it makes text of them.
    fn with(bytes: &[u8], redact: impl FnOnce(&[u8]) -> Option<String>) -> Self {
        redact(bytes).map_or_else(|| Self::Base64(STANDARD.encode(bytes)), Self::Text)
    }

    fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Base64(text) => STANDARD.decode(text).map(Bytes::from).map_err(|e| e.to_string()),
            Self::Streaming => Ok(Bytes::new()),
        }
    }
}

/// Begins a record of what an id stands for.
fn of(kind: &str, what: &str, id: u64) -> Object {
    Object::new().text("kind", kind).number(what, id)
}

fn add_frame(record: Object, frame: &Frame, redactor: &mut Redactor) -> Object {
    let (kind, body) = match frame {
        Frame::Text(text) => ("text", Body::Text(redactor.text(text))),
        Frame::Binary(bytes) => ("binary", Body::new(bytes, redactor)),
        Frame::Ping(bytes) => ("ping", Body::new(bytes, redactor)),
        Frame::Pong(bytes) => ("pong", Body::new(bytes, redactor)),
    };
    record.value("body", &body).text("frame", kind)
}

fn add_request(record: Object, request: &HttpRequest, redactor: &mut Redactor) -> Object {
    let record = record.text("url", &redactor.url(&request.url));
    let record = add_headers(record, &request.headers, redactor);
    record.value("body", &Body::with(&request.body, |bytes| redactor.body(&request.url, bytes)))
}

fn add_response(mut record: Object, response: &HttpResponse, redactor: &mut Redactor) -> Object {
    record = record.number("status", response.status);
    record = add_headers(record, &response.headers, redactor);
    let body = match &response.body {
        HttpBody::Full(bytes) => Body::new(bytes, redactor),
        HttpBody::Streaming => Body::Streaming,
    };
    record.value("body", &body)
}

fn add_headers(record: Object, headers: &Headers, redactor: &mut Redactor) -> Object {
    let shown = headers.iter().map(|(name, value)| match value {
        HeaderValue::Plain(text) => (name, text.clone()),
        HeaderValue::Secret(secret) => (name, redactor.header(name, secret.expose())),
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() { record } else { record.value("headers", &shown) }
}

fn add_error(record: Object, error: &Error) -> Object {
    record.value("error", &(error.code().name(), error.message()))
}

/// Writes an input.
pub(super) fn input(input: &Input, redactor: &mut Redactor) -> String {
    let record = match input {
        Input::Conn(ConnInput::Opened { conn }) => of("opened", "conn", conn.0),
        Input::Server(ServerInput::Offered { conn, request, remote }) => {
            let record = of("offered", "conn", conn.0).text("method", request.method.as_str());
            add_request(record.text("address", remote), request, redactor)
        }
        Input::Server(ServerInput::Accepted { conn, listen, remote, credentials }) => {
            let record = of("accepted", "conn", conn.0).number("listen", listen.0);
            let record = record.text("address", remote);
            record.given(credentials.as_ref(), |record, UnixPeer { uid, gid, pid }| {
                record.value("credentials", &(uid, gid, pid))
            })
        }
        Input::Conn(ConnInput::Received { conn, frame }) => {
            add_frame(of("received", "conn", conn.0), frame, redactor)
        }
        Input::Conn(ConnInput::Sent { conn }) => of("sent", "conn", conn.0),
        Input::Conn(ConnInput::Held { conn }) => of("held", "conn", conn.0),
        Input::Conn(ConnInput::Closed { conn, cause }) => {
            let record = of("closed", "conn", conn.0);
            match cause {
                CloseCause::Remote { code, reason } => {
                    record.number("code", *code).text("reason", reason)
                }
                CloseCause::Refused { status } => record.number("status", *status),
                CloseCause::Local => record,
                CloseCause::Failed(error) => add_error(record, error),
                CloseCause::Exceeded { error, beginning } => {
                    add_error(record.value("body", &Body::new(beginning, redactor)), error)
                }
            }
        }
        Input::Http(HttpInput::Replied { http, result }) => {
            let record = of("http_replied", "http", http.0);
            match result {
                Ok(response) => add_response(record, response, redactor),
                Err(error) => add_error(record, error),
            }
        }
        Input::Http(HttpInput::Part { http, bytes }) => {
            of("http_part", "http", http.0).value("body", &Body::new(bytes, redactor))
        }
        Input::Server(ServerInput::Asked { http, request, remote }) => {
            let record = of("http_asked", "http", http.0).text("method", request.method.as_str());
            add_request(record.text("address", remote), request, redactor)
        }
        Input::Server(ServerInput::Exceeded { request, remote }) => {
            let record = Object::new().text("kind", "http_exceeded");
            let record = record.text("method", request.method.as_str());
            add_request(record.text("address", remote), request, redactor)
        }
        Input::Server(ServerInput::Gone { http }) => of("http_gone", "http", http.0),
        Input::Server(ServerInput::Backlog { http, is_full }) => {
            of("http_backlog", "http", http.0).flag("is_full", *is_full)
        }
        Input::Stored { store, result } => {
            let record = of("stored", "store", store.0);
            match result {
                Ok(StoreReply::Loaded(records)) => {
                    let records =
                        records.iter().map(|(key, value)| (key, Body::new(value, redactor)));
                    record.value("records", &records.collect::<Vec<_>>())
                }
                Ok(StoreReply::Committed) => record,
                Err(error) => add_error(record, error),
            }
        }
        Input::Server(ServerInput::Listening { listen, address }) => {
            of("listening", "listen", listen.0).text("address", address)
        }
        Input::Server(ServerInput::ListenFailed { listen, error }) => {
            add_error(of("listen_failed", "listen", listen.0), error)
        }
        Input::HostLag { millis } => of("host_lag", "millis", *millis),
    };
    record.end()
}

/// Reads an input.
pub(super) fn read_input(raw: &RawValue) -> Result<Input, String> {
    let record: Record = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    let missing = |what: &str| format!("{what} is missing");
    let conn = record.conn.ok_or_else(|| missing("conn"));
    let http = record.http.ok_or_else(|| missing("http"));
    let listen = record.listen.ok_or_else(|| missing("listen"));
    let error = record.error.as_ref().map(|(name, message)| {
        let code = ErrorCode::ALL.iter().find(|code| code.name() == name);
        Error::new(code.copied().unwrap_or(ErrorCode::Internal), message)
    });
    let mut headers = Headers::new();
    for (name, value) in record.headers {
        headers.push(&name, value);
    }
    let is_streaming = matches!(record.body, Some(Body::Streaming));
    let has_body = record.body.is_some();
    let body = record.body.map_or_else(|| Ok(Bytes::new()), Body::bytes)?;
    let method = Method::find(&record.method).unwrap_or(Method::Other);
    let request = HttpRequest { method, url: record.url, headers, body };
    let remote = record.address;
    Ok(match record.kind.as_str() {
        "opened" => Input::Conn(ConnInput::Opened { conn: conn? }),
        "offered" => Input::Server(ServerInput::Offered { conn: conn?, request, remote }),
        "accepted" => {
            let credentials = record.credentials.map(|(uid, gid, pid)| UnixPeer { uid, gid, pid });
            let (conn, listen) = (conn?, listen?);
            Input::Server(ServerInput::Accepted { conn, listen, remote, credentials })
        }
        "received" => {
            let frame = match record.frame.as_str() {
                "text" => Frame::Text(
                    request.body.try_into().map_err(|e: std::str::Utf8Error| e.to_string())?,
                ),
                "binary" => Frame::Binary(request.body),
                "ping" => Frame::Ping(request.body),
                "pong" => Frame::Pong(request.body),
                _ => return Err(missing("frame")),
            };
            Input::Conn(ConnInput::Received { conn: conn?, frame })
        }
        "sent" => Input::Conn(ConnInput::Sent { conn: conn? }),
        "held" => Input::Conn(ConnInput::Held { conn: conn? }),
        "closed" => {
            let cause = match (error, record.code, record.status) {
                (Some(error), _, _) if has_body => {
                    CloseCause::Exceeded { error, beginning: request.body }
                }
                (Some(error), _, _) => CloseCause::Failed(error),
                (None, Some(code), _) => CloseCause::Remote { code, reason: record.reason },
                (None, None, Some(status)) => CloseCause::Refused { status },
                (None, None, None) => CloseCause::Local,
            };
            Input::Conn(ConnInput::Closed { conn: conn?, cause })
        }
        "http_replied" => {
            let HttpRequest { headers, body, .. } = request;
            let body = if is_streaming { HttpBody::Streaming } else { HttpBody::Full(body) };
            let status = record.status.unwrap_or_default();
            let result = error.map_or(Ok(HttpResponse { status, headers, body }), Err);
            Input::Http(HttpInput::Replied { http: http?, result })
        }
        "http_part" => Input::Http(HttpInput::Part { http: http?, bytes: request.body }),
        "http_asked" => Input::Server(ServerInput::Asked { http: http?, request, remote }),
        "http_exceeded" => Input::Server(ServerInput::Exceeded { request, remote }),
        "http_gone" => Input::Server(ServerInput::Gone { http: http? }),
        "http_backlog" => {
            Input::Server(ServerInput::Backlog { http: http?, is_full: record.is_full })
        }
        "stored" => {
            let store = record.store.ok_or_else(|| missing("store"))?;
            let loaded = record.records.map(|records| {
                let read = |(key, body): (String, Body)| Ok((key, body.bytes()?));
                records.into_iter().map(read).collect::<Result<_, String>>()
            });
            let reply = loaded.transpose()?.map_or(StoreReply::Committed, StoreReply::Loaded);
            Input::Stored { store, result: error.map_or(Ok(reply), Err) }
        }
        "listening" => Input::Server(ServerInput::Listening { listen: listen?, address: remote }),
        "listen_failed" => {
            let error = error.ok_or_else(|| missing("error"))?;
            Input::Server(ServerInput::ListenFailed { listen: listen?, error })
        }
        "host_lag" => Input::HostLag { millis: record.millis },
        other => return Err(format!("no input is named {other:?}")),
    })
}

/// Writes an output.
pub(super) fn output(output: &Output, redactor: &mut Redactor) -> String {
    let record = match output {
        Output::Dial { conn, target } => {
            target::add_dial(of("dial", "conn", conn.0), target, redactor)
        }
        Output::Admit { conn, limits, deflate, .. } => {
            target::add_frame_limits(of("admit", "conn", conn.0), limits)
                .given(deflate.as_ref(), target::add_deflate)
        }
        Output::Refuse { conn, response } => {
            add_response(of("refuse", "conn", conn.0), response, redactor)
        }
        Output::SetLimits { conn, limits } => {
            target::add_frame_limits(of("set_limits", "conn", conn.0), limits)
        }
        Output::Send { conn, frame } => add_frame(of("send", "conn", conn.0), frame, redactor),
        Output::SendCompressed { conn, frame } => {
            add_frame(of("send_compressed", "conn", conn.0), frame, redactor)
        }
        Output::AskSent { conn } => of("ask_sent", "conn", conn.0),
        Output::Close { conn, code, reason } => {
            of("close", "conn", conn.0).number("code", *code).text("reason", reason)
        }
        Output::HttpCall { http, request, timeout_ms, max_body, streams } => {
            let record = of("http_call", "http", http.0).number("millis", *timeout_ms);
            let record = record.text("method", request.method.as_str());
            let limits = (max_body, u8::from(*streams));
            add_request(record, request, redactor).value("limits", &limits)
        }
        Output::HttpCancel { http } => of("http_cancel", "http", http.0),
        Output::HttpReply { http, response } => {
            add_response(of("http_reply", "http", http.0), response, redactor)
        }
        Output::HttpPart { http, bytes } => {
            of("http_part", "http", http.0).value("body", &Body::new(bytes, redactor))
        }
        Output::HttpEnd { http } => of("http_end", "http", http.0),
        Output::Store { store, request } => {
            let record = of("store", "store", store.0);
            match request {
                StoreRequest::Load { space } => record.text("space", space),
                StoreRequest::Find { space, from, limit, bytes } => {
                    let limits = (limit, bytes);
                    record.text("space", space).text("from", from).value("limits", &limits)
                }
                StoreRequest::Commit { writes } => {
                    let writes = writes.iter().map(|write| match write {
                        Write::Put { space, key, value } => {
                            let value = Body::with(value, |bytes| redactor.stored(bytes));
                            (format!("{space}/{key}"), Some(value))
                        }
                        Write::Delete { space, key } => (format!("{space}/{key}"), None),
                    });
                    record.value("records", &writes.collect::<Vec<_>>())
                }
            }
        }
        Output::Listen { listen, target } => {
            target::add_listen(of("listen", "listen", listen.0), target)
        }
        Output::Unlisten { listen } => of("unlisten", "listen", listen.0),
        Output::ProbeHost => Object::new().text("kind", "probe_host"),
        Output::Event(event) => {
            let mut text = String::new();
            event::write(event, &mut text);
            let is_of_request = matches!(
                event,
                Event::Peer(PeerEvent::AdmissionAsked { .. } | PeerEvent::Joined { .. })
            );
            let text = if is_of_request { redactor.request(&text) } else { redactor.text(&text) };
            Object::new().text("kind", "event").raw("event", &text)
        }
    };
    record.end()
}

/// Writes a command as a triple of a batch.
pub(super) fn command(command: &Command, redactor: &mut Redactor) -> String {
    redactor.text(&command::write(command))
}
