//! What clients and the application ask of daemons: who there is, tokens, messages, calls.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::VoltServer;
use super::calls::{Answer, Asker, Order, Pending};
use crate::api::event::{CallEvent, Event};
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::Now;
use crate::dialect::volt::envelope::present;
use crate::machine::Output;
use crate::net::binary_frames::{self, Kind};
use crate::net::http::{NoRoute, only};
use crate::net::{HttpResponse, Method};

/// The longest time of a call: a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Daemons,
    Forget(String),
    Password(String),
    Call(String),
    Message(String),
    Tokens,
    CreateToken,
    Revoke(String),
}

impl Control {
    /// Finds what a request over HTTP asks, by the segments of its path below the hub's own.
    pub(crate) fn find(method: Method, segments: &[&str]) -> Result<Self, NoRoute> {
        let id = |id: &str| id.to_owned();
        let post = |route| only(method, Method::Post, route);
        match *segments {
            ["Daemons"] => only(method, Method::Get, Self::Daemons),
            ["Daemons", cluster] => only(method, Method::Delete, Self::Forget(id(cluster))),
            ["Daemons", cluster, "Password"] => post(Self::Password(id(cluster))),
            ["Daemons", cluster, "Call"] => post(Self::Call(id(cluster))),
            ["Daemons", cluster, "Message"] => post(Self::Message(id(cluster))),
            ["Tokens"] if method == Method::Get => Ok(Self::Tokens),
            ["Tokens"] if method == Method::Post => Ok(Self::CreateToken),
            ["Tokens"] => Err(NoRoute::Method("GET, POST")),
            ["Tokens", token] => only(method, Method::Delete, Self::Revoke(id(token))),
            _ => Err(NoRoute::Unknown),
        }
    }
}

/// The body of a call over HTTP.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CallBody<'a> {
    command: String,
    /// `null` is a payload; a key left out is none.
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    response_type: Option<String>,
    #[serde(default)]
    timeout_ms: u64,
    /// The byte strings that placeholders of the payload stand for, in base64.
    #[serde(default)]
    blobs: Vec<String>,
}

/// The body of a message over HTTP.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MessageBody<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(default)]
    blobs: Vec<String>,
}

/// What calls of the application about daemons and tokens name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(rename = "TeamClusterID")]
    cluster: Option<String>,
    #[serde(rename = "TokenID")]
    token: Option<String>,
}

impl Order {
    /// Reads the body of a call over HTTP.
    fn read(cluster: String, body: &ByteString) -> Result<Self, Error> {
        let request: CallBody<'_> = read("The call", body)?;
        let form = ResponseForm::find(request.response_type.as_deref().unwrap_or("json"))
            .ok_or_else(|| invalid("ResponseType must be \"json\", \"buffer\" or \"stream\"."))?;
        if request.command.is_empty() {
            return Err(invalid("Command is required."));
        }
        let payload = request.payload.map_or_else(Raw::absent, |raw| Raw::kept(body, raw));
        let payload = payload.with_base64(&request.blobs).map_err(not_base64)?;
        let timeout_ms = request.timeout_ms.min(MAX_TIMEOUT_MS);
        Ok(Self { cluster, command: request.command, payload, form, timeout_ms })
    }
}

impl VoltServer {
    /// Answers a client that may ask, now or when a call settles.
    pub(crate) fn control(&mut self, http: HttpId, asked: Control, body: &ByteString, now: Now) {
        self.clock = now;
        let result = match asked {
            Control::Call(cluster) => {
                let order = Order::read(cluster, body);
                match order.and_then(|order| self.call(Asker::Http(http), order)) {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            Control::Message(cluster) => self.send_message(&cluster, body),
            Control::CreateToken => self.create_token(body),
            Control::Daemons => Ok(self.show_daemons()),
            Control::Tokens => Ok(self.show_tokens()),
            Control::Revoke(id) => self.revoke_token(&id),
            Control::Forget(cluster) => self.forget_daemon(&cluster),
            Control::Password(cluster) => self.rotate_password(&cluster),
        };
        let response =
            result.map_or_else(|error| failure(&error), |text| HttpResponse::json(200, text));
        // What was written must be stored before it is promised.
        self.hold(Output::HttpReply { http, response });
    }

    /// Carries out a call of the application about daemons and tokens. Tells whether it is one.
    pub(crate) fn administer(&mut self, call: CallId, name: &str, payload: &Raw, now: Now) -> bool {
        self.clock = now;
        let named: Named = payload.read().unwrap_or_default();
        let missing = |field: &str| invalid(format!("{name} needs {field}"));
        let cluster = named.cluster.ok_or_else(|| missing("TeamClusterID"));
        let token = named.token.ok_or_else(|| missing("TokenID"));
        let result = match name {
            "$daemons" => Ok(self.show_daemons()),
            "$tokens" => Ok(self.show_tokens()),
            "$enroll" => self.create_token(&payload.clone().into_text()),
            "$revoke" => token.and_then(|id| self.revoke_token(&id)),
            "$forget" => cluster.and_then(|cluster| self.forget_daemon(&cluster)),
            "$rotate" => cluster.and_then(|cluster| self.rotate_password(&cluster)),
            _ => return false,
        };
        let result = result.map(Raw::trusted);
        self.hold(Output::Event(Event::Call(CallEvent::Done { call, result })));
        true
    }

    fn send_message(&mut self, cluster: &str, body: &ByteString) -> Result<String, Error> {
        let request: MessageBody<'_> = read("The message", body)?;
        let message = Raw::span(body, request.message).with_base64(&request.blobs);
        self.message(cluster, &message.map_err(not_base64)?)?;
        Ok(Object::new().flag("Success", true).end())
    }

    /// Tells who called that a streamed answer begins.
    pub(super) fn tell_open(&mut self, asker: Asker, status: u16, headers: Option<&Raw>) {
        let head = head(status, headers, 160).end();
        match asker {
            Asker::Http(http) => {
                self.reply(http, binary_frames::head());
                self.part(http, Kind::Progress, head.as_bytes());
            }
            Asker::Call(call) => {
                self.event(CallEvent::Part { call, part: Raw::trusted(head) });
            }
        }
    }

    /// Passes a part of a streamed answer on.
    pub(super) fn tell_part(&mut self, asker: Asker, bytes: &[u8]) {
        match asker {
            Asker::Http(http) => self.part(http, Kind::Bytes, bytes),
            Asker::Call(call) => {
                let part = binary_frames::bytes_part(bytes);
                self.event(CallEvent::Part { call, part });
            }
        }
    }

    /// Tells who called what the call came to.
    pub(super) fn tell_settled(&mut self, pending: &Pending, settled: Result<Answer, Error>) {
        match (pending.asker, settled) {
            (Asker::Http(http), settled) if pending.stream.is_some() => {
                let (kind, text) = match settled {
                    Ok(answer) => (Kind::Result, head(answer.status, None, 160).end()),
                    Err(error) => (Kind::Error, words(&error)),
                };
                self.part(http, kind, text.as_bytes());
                self.out.push_back(Output::HttpEnd { http });
            }
            (Asker::Http(http), Ok(answer)) => {
                let text = show(&answer, answer.data.blobs());
                self.reply(http, HttpResponse::json(200, text));
            }
            (Asker::Http(http), Err(error)) => self.reply(http, failure(&error)),
            (Asker::Call(call), settled) => {
                let result = settled.map(|answer| {
                    Raw::trusted(show(&answer, &[])).with_blobs(answer.data.blobs().to_vec())
                });
                self.event(CallEvent::Done { call, result });
            }
        }
    }

    /// Ends a stream whose caller reads more slowly than its parts come: none of them may be left out, and no
    /// daemon can be held back.
    pub(crate) fn backlog(&mut self, http: HttpId, is_full: bool) {
        let call = self.askers.get(&Asker::Http(http)).copied();
        if let Some(call) = call.filter(|_| is_full) {
            let text = "the caller reads the stream more slowly than its parts come";
            self.settle(call, Err(Error::new(ErrorCode::Overloaded, text)));
        }
    }

    fn part(&mut self, http: HttpId, kind: Kind, payload: &[u8]) {
        let bytes = binary_frames::frame(kind, payload);
        self.out.push_back(Output::HttpPart { http, bytes });
    }
}

/// Reads a body; `what` is what it should be, in complaints.
pub(super) fn read<'a, T: Deserialize<'a>>(what: &str, body: &'a str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|e| invalid(format!("{what}: {e}")))
}

/// Begins an answer.
fn not_base64(error: base64::DecodeError) -> Error {
    invalid(format!("Blobs: {error}"))
}

fn head(status: u16, headers: Option<&Raw>, capacity: usize) -> Object {
    let object = Object::with_capacity(capacity).number("Status", status);
    object.given(headers, |object, headers| object.raw("Headers", headers.as_str()))
}

/// Writes an answer; `blobs` are what placeholders of the value stand for.
fn show(answer: &Answer, blobs: &[Bytes]) -> String {
    let data = Some(answer.data.as_str()).filter(|_| !answer.data.is_absent());
    head(answer.status, answer.headers.as_ref(), answer.data.as_str().len() + 64)
        .given(data, |object, data| object.raw("Data", data))
        .blobs("Blobs", blobs)
        .given(answer.body.as_ref(), |object, bytes| object.plain("Body", bytes))
        .end()
}

/// Writes an error of a call.
fn words(error: &Error) -> String {
    let object = Object::new().text("Error", error.message()).text("Code", error.code().name());
    object.given(error.status(), |object, status| object.number("Status", status)).end()
}

/// Answers a request that came to nothing.
fn failure(error: &Error) -> HttpResponse {
    const STATUSES: [(ErrorCode, u16); 7] = [
        (ErrorCode::ArgumentInvalid, 400),
        (ErrorCode::NoWorker, 404),
        (ErrorCode::TooLarge, 413),
        (ErrorCode::NotReady, 503),
        (ErrorCode::Overloaded, 503),
        (ErrorCode::Stopped, 503),
        (ErrorCode::CallTimeout, 504),
    ];
    let known = STATUSES.iter().find(|(code, _)| *code == error.code());
    // What remains is the daemon's doing.
    let status = known.map_or(502, |(_, status)| *status);
    let response = HttpResponse::json(status, words(error));
    if status == 503 { response.retry_later() } else { response }
}
