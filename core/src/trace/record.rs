//! Inputs, commands and outputs as JSON.

mod target;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::command::Command;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, ListenId, StoreId};
use crate::base::json::Raw;
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::event;
use crate::machine::{CloseCause, Input, Output};
use crate::machine::{ConnInput, HttpInput, ServerInput};
use crate::net::target::UnixPeer;
use crate::net::{Frame, Headers, HttpBody, HttpRequest, HttpResponse, Method};
use crate::trace::redact::Redactor;

/// One input or output; which fields are there depends on the kind.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    millis: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<(String, Option<Body>)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framing: Option<String>,
    /// The permissions of a socket's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    /// User, group and process of a client.
    #[serde(skip_serializing_if = "Option::is_none")]
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
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(redactor.text(text)),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn of(body: &HttpBody, redactor: &mut Redactor) -> Self {
        match body {
            HttpBody::Full(bytes) => Self::new(bytes, redactor),
            HttpBody::Streaming => Self::Streaming,
        }
    }

    fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Base64(text) => STANDARD.decode(text).map(Bytes::from).map_err(|e| e.to_string()),
            Self::Streaming => Ok(Bytes::new()),
        }
    }
}

impl Record {
    fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    fn conn(kind: &str, conn: ConnId) -> Self {
        Self { conn: Some(conn.0), ..Self::new(kind) }
    }

    fn http(kind: &str, http: HttpId) -> Self {
        Self { http: Some(http.0), ..Self::new(kind) }
    }

    fn frame(mut self, frame: &Frame, redactor: &mut Redactor) -> Self {
        let (kind, body) = match frame {
            Frame::Text(text) => ("text", Body::Text(redactor.text(text))),
            Frame::Binary(bytes) => ("binary", Body::new(bytes, redactor)),
            Frame::Ping(bytes) => ("ping", Body::new(bytes, redactor)),
            Frame::Pong(bytes) => ("pong", Body::new(bytes, redactor)),
        };
        self.frame = Some(kind.to_owned());
        self.body = Some(body);
        self
    }

    fn request(mut self, request: &HttpRequest, redactor: &mut Redactor) -> Self {
        self.method = Some(request.method.as_str().to_owned());
        self.url = Some(redacted_url(&request.url, redactor));
        self.headers = redacted(&request.headers, redactor);
        self.body = Some(Body::new(&request.body, redactor));
        self
    }

    fn response(mut self, response: &HttpResponse, redactor: &mut Redactor) -> Self {
        self.status = Some(response.status);
        self.headers = redacted(&response.headers, redactor);
        self.body = Some(Body::of(&response.body, redactor));
        self
    }

    fn failed(mut self, error: &Error) -> Self {
        self.error = Some((error.code().name().to_owned(), error.message().to_owned()));
        self
    }

    fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Writes an input.
pub(super) fn input(input: &Input, redactor: &mut Redactor) -> String {
    let record = match input {
        Input::Conn(ConnInput::Opened { conn }) => Record::conn("opened", *conn),
        Input::Server(ServerInput::Offered { conn, request, remote }) => {
            let record = Record { address: Some(remote.clone()), ..Record::conn("offered", *conn) };
            record.request(request, redactor)
        }
        Input::Server(ServerInput::Accepted { conn, listen, remote, credentials }) => Record {
            listen: Some(listen.0),
            address: Some(remote.clone()),
            credentials: credentials.map(|UnixPeer { uid, gid, pid }| (uid, gid, pid)),
            ..Record::conn("accepted", *conn)
        },
        Input::Conn(ConnInput::Received { conn, frame }) => {
            Record::conn("received", *conn).frame(frame, redactor)
        }
        Input::Conn(ConnInput::Sent { conn }) => Record::conn("sent", *conn),
        Input::Conn(ConnInput::Closed { conn, cause }) => {
            let record = Record::conn("closed", *conn);
            match cause {
                CloseCause::Remote { code, reason } => {
                    Record { code: Some(*code), reason: Some(reason.clone()), ..record }
                }
                CloseCause::Refused { status } => Record { status: Some(*status), ..record },
                CloseCause::Local => record,
                CloseCause::Failed(error) => record.failed(error),
            }
        }
        Input::Http(HttpInput::Replied { http, result }) => {
            let record = Record::http("http_replied", *http);
            match result {
                Ok(response) => record.response(response, redactor),
                Err(error) => record.failed(error),
            }
        }
        Input::Http(HttpInput::Part { http, bytes }) => {
            let body = Some(Body::new(bytes, redactor));
            Record { body, ..Record::http("http_part", *http) }
        }
        Input::Server(ServerInput::Asked { http, request, remote }) => {
            let record =
                Record { address: Some(remote.clone()), ..Record::http("http_asked", *http) };
            record.request(request, redactor)
        }
        Input::Server(ServerInput::Gone { http }) => Record::http("http_gone", *http),
        Input::Stored { store, result } => {
            let record = Record { store: Some(store.0), ..Record::new("stored") };
            match result {
                Ok(StoreReply::Loaded(records)) => {
                    let records = records
                        .iter()
                        .map(|(key, value)| (key.clone(), Some(Body::new(value, redactor))));
                    Record { records: Some(records.collect()), ..record }
                }
                Ok(StoreReply::Committed) => record,
                Err(error) => record.failed(error),
            }
        }
        Input::Server(ServerInput::Listening { listen, address }) => Record {
            listen: Some(listen.0),
            address: Some(address.clone()),
            ..Record::new("listening")
        },
        Input::Server(ServerInput::ListenFailed { listen, error }) => {
            Record { listen: Some(listen.0), ..Record::new("listen_failed") }.failed(error)
        }
        Input::HostLag { millis } => Record { millis: Some(*millis), ..Record::new("host_lag") },
    };
    record.write()
}

/// Reads an input.
pub(super) fn read_input(raw: &RawValue) -> Result<Input, String> {
    let record: Record = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    let missing = |what: &str| format!("{what} is missing");
    let conn = record.conn.map(ConnId).ok_or_else(|| missing("conn"));
    let http = record.http.map(HttpId).ok_or_else(|| missing("http"));
    let listen = record.listen.map(ListenId).ok_or_else(|| missing("listen"));
    let error = record.error.as_ref().map(|(name, message)| {
        let code = ErrorCode::ALL.iter().find(|code| code.name() == name);
        Error::new(code.copied().unwrap_or(ErrorCode::Internal), message)
    });
    let mut headers = Headers::new();
    for (name, value) in record.headers {
        headers.push(&name, value);
    }
    let is_streaming = matches!(record.body, Some(Body::Streaming));
    let body = record.body.map_or_else(|| Ok(Bytes::new()), Body::bytes)?;
    let remote = record.address.unwrap_or_default();
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string());
    let method = match record.method.as_deref() {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("PUT") => Method::Put,
        Some("DELETE") => Method::Delete,
        Some(_) | None => Method::Other,
    };
    let url = record.url.unwrap_or_default();
    Ok(match record.kind.as_str() {
        "opened" => Input::Conn(ConnInput::Opened { conn: conn? }),
        "offered" => {
            let request = HttpRequest { method, url, headers, body };
            Input::Server(ServerInput::Offered { conn: conn?, request, remote })
        }
        "accepted" => {
            let credentials = record.credentials.map(|(uid, gid, pid)| UnixPeer { uid, gid, pid });
            let (conn, listen) = (conn?, listen?);
            Input::Server(ServerInput::Accepted { conn, listen, remote, credentials })
        }
        "received" => {
            let frame = match record.frame.as_deref() {
                Some("text") => Frame::Text(text(&body)?.into()),
                Some("binary") => Frame::Binary(body),
                Some("ping") => Frame::Ping(body),
                Some("pong") => Frame::Pong(body),
                Some(_) | None => return Err(missing("frame")),
            };
            Input::Conn(ConnInput::Received { conn: conn?, frame })
        }
        "sent" => Input::Conn(ConnInput::Sent { conn: conn? }),
        "closed" => {
            let reason = record.reason.unwrap_or_default();
            let cause = match (error, record.code, record.status) {
                (Some(error), _, _) => CloseCause::Failed(error),
                (None, Some(code), _) => CloseCause::Remote { code, reason },
                (None, None, Some(status)) => CloseCause::Refused { status },
                (None, None, None) => CloseCause::Local,
            };
            Input::Conn(ConnInput::Closed { conn: conn?, cause })
        }
        "http_replied" => {
            let full = if is_streaming { HttpBody::Streaming } else { HttpBody::Full(body) };
            let status = record.status.unwrap_or_default();
            let result = error.map_or(Ok(HttpResponse { status, headers, body: full }), Err);
            Input::Http(HttpInput::Replied { http: http?, result })
        }
        "http_part" => Input::Http(HttpInput::Part { http: http?, bytes: body }),
        "http_asked" => {
            let request = HttpRequest { method, url, headers, body };
            Input::Server(ServerInput::Asked { http: http?, request, remote })
        }
        "http_gone" => Input::Server(ServerInput::Gone { http: http? }),
        "stored" => {
            let store = record.store.map(StoreId).ok_or_else(|| missing("store"))?;
            let result = match (error, record.records) {
                (Some(error), _) => Err(error),
                (None, Some(records)) => {
                    let value = |body: Option<Body>| body.map_or(Ok(Bytes::new()), Body::bytes);
                    let records = records
                        .into_iter()
                        .map(|(key, body)| value(body).map(|bytes| (key, bytes)))
                        .collect::<Result<_, _>>()?;
                    Ok(StoreReply::Loaded(records))
                }
                (None, None) => Ok(StoreReply::Committed),
            };
            Input::Stored { store, result }
        }
        "listening" => Input::Server(ServerInput::Listening { listen: listen?, address: remote }),
        "listen_failed" => {
            let error = error.ok_or_else(|| missing("error"))?;
            Input::Server(ServerInput::ListenFailed { listen: listen?, error })
        }
        "host_lag" => Input::HostLag { millis: record.millis.unwrap_or_default() },
        other => return Err(format!("no input is named {other:?}")),
    })
}

/// Writes an output.
pub(super) fn output(output: &Output, redactor: &mut Redactor) -> String {
    let record = match output {
        Output::Dial { conn, target } => Record::conn("dial", *conn).dial(target, redactor),
        Output::Admit { conn, limits, .. } => {
            Record { limits: target::frame_limits(limits), ..Record::conn("admit", *conn) }
        }
        Output::Refuse { conn, response } => {
            Record::conn("refuse", *conn).response(response, redactor)
        }
        Output::SetLimits { conn, limits } => {
            Record { limits: target::frame_limits(limits), ..Record::conn("set_limits", *conn) }
        }
        Output::Send { conn, frame } => Record::conn("send", *conn).frame(frame, redactor),
        Output::AskSent { conn } => Record::conn("ask_sent", *conn),
        Output::Close { conn, code, reason } => Record {
            code: Some(*code),
            reason: Some(reason.clone()),
            ..Record::conn("close", *conn)
        },
        Output::HttpCall { http, request, timeout_ms, max_body, streams } => Record {
            millis: Some(*timeout_ms),
            limits: vec![*max_body as u64, u64::from(*streams)],
            ..Record::http("http_call", *http).request(request, redactor)
        },
        Output::HttpCancel { http } => Record::http("http_cancel", *http),
        Output::HttpReply { http, response } => {
            Record::http("http_reply", *http).response(response, redactor)
        }
        Output::HttpPart { http, bytes } => {
            let body = Some(Body::new(bytes, redactor));
            Record { body, ..Record::http("http_part", *http) }
        }
        Output::HttpEnd { http } => Record::http("http_end", *http),
        Output::Store { store, request } => {
            let record = Record { store: Some(store.0), ..Record::new("store") };
            match request {
                StoreRequest::Load { space } => {
                    Record { space: Some((*space).to_owned()), ..record }
                }
                StoreRequest::Commit { writes } => {
                    let writes = writes.iter().map(|write| match write {
                        Write::Put { space, key, value } => {
                            (format!("{space}/{key}"), Some(Body::new(value, redactor)))
                        }
                        Write::Delete { space, key } => (format!("{space}/{key}"), None),
                    });
                    Record { records: Some(writes.collect()), ..record }
                }
            }
        }
        Output::Listen { listen, target } => {
            Record { listen: Some(listen.0), ..Record::new("listen") }.listen(target)
        }
        Output::Unlisten { listen } => Record { listen: Some(listen.0), ..Record::new("unlisten") },
        Output::ProbeHost => Record::new("probe_host"),
        Output::Event(event) => {
            let mut text = String::new();
            event::write(event, &mut text);
            Record { event: Some(Raw::trusted(redactor.text(&text))), ..Record::new("event") }
        }
    };
    record.write()
}

/// Writes a command as a triple of a batch.
pub(super) fn command(command: &Command, redactor: &mut Redactor) -> String {
    redactor.text(&serde_json::to_string(command).unwrap_or_default())
}

fn redacted(headers: &Headers, redactor: &mut Redactor) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let shown = match value {
                crate::net::HeaderValue::Plain(text) => text.clone(),
                crate::net::HeaderValue::Secret(secret) => redactor.header(name, secret.expose()),
            };
            (name.to_owned(), shown)
        })
        .collect()
}

/// Peer: a login may come as `GET /1.0/Authenticate/:username/:password`.
fn redacted_url(url: &str, redactor: &mut Redactor) -> String {
    match url.split_once("/1.0/Authenticate/") {
        Some((before, secret)) => {
            format!("{before}/1.0/Authenticate/{}", redactor.secret(secret))
        }
        None => url.to_owned(),
    }
}
