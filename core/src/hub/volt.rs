//! VOLT daemons: the hub's routes to them, and what its child machine wants done.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::auth::Caller;
use super::clients::Denial;
use super::routes::VoltRoute;
use super::stream::{self, Part};
use super::wire::retry_later;
use super::{Deferred, Hub};
use crate::api::event::CallEvent;
use crate::api::event::Event;
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::beacon::hub_wire::{self, Object};
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::beacon::wire::{base64_list, bytes_part};
use crate::dialect::volt::server::{Act, Answer, Asker, NewToken, Order, Settled};
use crate::machine::Output;
use crate::net::HttpResponse;

/// The longest time of a call: a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

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

/// Decodes byte strings that were given in base64.
fn bytes(blobs: &[String]) -> Result<Vec<Bytes>, Error> {
    blobs
        .iter()
        .map(|text| STANDARD.decode(text).map(Bytes::from))
        .collect::<Result<_, _>>()
        .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("Blobs: {e}")))
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What administrative calls of the application take.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    #[serde(rename = "TeamClusterID")]
    cluster: Option<String>,
    #[serde(rename = "TokenID")]
    token: Option<String>,
}

impl Hub {
    /// Does what the child machine wants done.
    pub(super) fn run_volt(&mut self) {
        while let Some(act) = self.volt.take() {
            match act {
                Act::Output(output) => self.out.push_back(output),
                Act::Reply { http, response } => self.reply(http, response),
                Act::ReplyStored { http, response } => {
                    self.later(Deferred::Reply { http, response });
                }
                Act::Put { space, key, value } => self.journal.put(space, &key, value),
                Act::Delete { space, key } => self.journal.delete(space, &key),
                Act::Settled(Asker::Http(http), settled) => self.settle_http(http, settled),
                Act::Settled(Asker::Call(call), settled) => self.settle_call(call, settled),
                Act::Event(event) => self.event(event),
            }
        }
    }

    /// Answers a request about daemons.
    pub(super) fn ask_volt(
        &mut self,
        http: HttpId,
        route: VoltRoute,
        body: &ByteString,
        caller: &Caller,
        now: Now,
    ) {
        if let Err(wait) = self.rate.take(&caller.client, now.mono) {
            self.reply(http, Denial::later("client_rate_limit", wait).response(false));
            return;
        }
        let result = match route {
            VoltRoute::Daemons => Ok(self.volt.show_daemons()),
            VoltRoute::Tokens => Ok(self.volt.show_tokens(now)),
            VoltRoute::CreateToken => self.create_token(body, now),
            VoltRoute::Revoke(id) => self.revoke_token(&id),
            VoltRoute::Forget(cluster) => self.forget_daemon(&cluster),
            VoltRoute::Password(cluster) => self.volt.rotate_password(&cluster, now),
            VoltRoute::Message(cluster) => self
                .send_message(&cluster, body)
                .map(|()| Object::new().flag("Success", true).end()),
            VoltRoute::Call(cluster) => match self.call_over_http(http, cluster, body, now) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
        };
        // What was written must be stored before it is promised.
        self.run_volt();
        let response = match result {
            Ok(text) => HttpResponse::json(200, text),
            Err(error) => failure(&error),
        };
        self.later(Deferred::Reply { http, response });
    }

    fn send_message(&mut self, cluster: &str, body: &ByteString) -> Result<(), Error> {
        let request: MessageBody<'_> = serde_json::from_str(body)
            .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("The message: {e}")))?;
        let message = Raw::span(body, request.message).with_blobs(bytes(&request.blobs)?);
        self.volt.message(cluster, &message)
    }

    fn call_over_http(
        &mut self,
        http: HttpId,
        cluster: String,
        body: &ByteString,
        now: Now,
    ) -> Result<(), Error> {
        let invalid = |text: String| Error::new(ErrorCode::ArgumentInvalid, text);
        let request: CallBody<'_> =
            serde_json::from_str(body).map_err(|e| invalid(format!("The call: {e}")))?;
        let form = match request.response_type.as_deref() {
            None | Some("json") => ResponseForm::Json,
            Some("buffer") => ResponseForm::Buffer,
            Some("stream") => ResponseForm::Stream,
            Some(_) => {
                let text = "ResponseType must be \"json\", \"buffer\" or \"stream\".";
                return Err(invalid(text.to_owned()));
            }
        };
        if request.command.is_empty() {
            return Err(invalid("Command is required.".to_owned()));
        }
        let payload = request.payload.map_or_else(Raw::absent, |raw| Raw::span(body, raw));
        let payload = payload.with_blobs(bytes(&request.blobs)?);
        let timeout_ms = request.timeout_ms.min(MAX_TIMEOUT_MS);
        let order = Order { cluster, command: request.command, payload, form, timeout_ms };
        self.volt.call(Asker::Http(http), order, now)
    }

    /// Calls a daemon for the application.
    pub(super) fn call_daemon(
        &mut self,
        call: CallId,
        command: &str,
        payload: &Raw,
        options: &CallOptions,
        now: Now,
    ) -> Result<(), Error> {
        let order = Order {
            cluster: options.team_cluster_id.clone(),
            command: command.to_owned(),
            payload: payload.clone(),
            form: options.response_type,
            timeout_ms: options.timeout_ms,
        };
        self.volt.call(Asker::Call(call), order, now)
    }

    /// Carries out an administrative call about daemons; `None` for any other.
    pub(super) fn administer_volt(
        &mut self,
        name: &str,
        payload: &Raw,
        now: Now,
    ) -> Option<Result<String, Error>> {
        let named: Named = payload.read().unwrap_or_default();
        let missing =
            |field: &str| Error::new(ErrorCode::ArgumentInvalid, format!("{name} needs {field}"));
        let cluster = named.cluster.ok_or_else(|| missing("TeamClusterID"));
        let token = named.token.ok_or_else(|| missing("TokenID"));
        let result = match name {
            "$daemons" => Ok(self.volt.show_daemons()),
            "$tokens" => Ok(self.volt.show_tokens(now)),
            "$enroll" => self.create_token(&payload.clone().into_text(), now),
            "$revoke" => token.and_then(|id| self.revoke_token(&id)),
            "$forget" => cluster.and_then(|cluster| self.forget_daemon(&cluster)),
            "$rotate" => cluster.and_then(|cluster| self.volt.rotate_password(&cluster, now)),
            _ => return None,
        };
        self.run_volt();
        Some(result)
    }

    fn create_token(&mut self, body: &ByteString, now: Now) -> Result<String, Error> {
        let new: NewToken = serde_json::from_str(body)
            .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("The token: {e}")))?;
        self.volt.create_token(new, now)
    }

    fn revoke_token(&mut self, id: &str) -> Result<String, Error> {
        if !self.volt.revoke_token(id) {
            return Err(Error::new(ErrorCode::NoWorker, "No token has this id."));
        }
        Ok(Object::new().text("TokenID", id).flag("Revoked", true).end())
    }

    fn forget_daemon(&mut self, cluster: &str) -> Result<String, Error> {
        if !self.volt.forget_daemon(cluster) {
            let text = "No daemon of this id can be removed.";
            return Err(Error::new(ErrorCode::NoWorker, text));
        }
        Ok(Object::new().text("TeamClusterID", cluster).flag("Removed", true).end())
    }

    /// Answers a client that called a daemon.
    fn settle_http(&mut self, http: HttpId, settled: Settled) {
        match settled {
            Settled::Open { status, headers } => {
                self.streaming.insert(http);
                self.reply(http, stream::head());
                let text = head(status, headers.as_ref()).end();
                self.part(http, Part::Progress, text.as_bytes());
            }
            Settled::Part(bytes) => self.part(http, Part::Bytes, &bytes),
            Settled::Done(answer) if self.streaming.remove(&http) => {
                let text = head(answer.status, None).end();
                self.part(http, Part::Result, text.as_bytes());
                self.out.push_back(Output::HttpEnd { http });
            }
            Settled::Done(answer) => {
                let blobs = base64_list(answer.data.blobs());
                self.reply(http, HttpResponse::json(200, show(&answer, blobs.as_deref())));
            }
            Settled::Failed(error) if self.streaming.remove(&http) => {
                self.part(http, Part::Error, words(&error).as_bytes());
                self.out.push_back(Output::HttpEnd { http });
            }
            Settled::Failed(error) => self.reply(http, failure(&error)),
        }
    }

    fn part(&mut self, http: HttpId, part: Part, payload: &[u8]) {
        self.out.push_back(Output::HttpPart { http, bytes: stream::frame(part, payload) });
    }

    /// Answers the application that called a daemon.
    fn settle_call(&mut self, call: CallId, settled: Settled) {
        let part = |text: String| Event::Call(CallEvent::Part { call, part: Raw::trusted(text) });
        let event = match settled {
            Settled::Open { status, headers } => part(head(status, headers.as_ref()).end()),
            Settled::Part(bytes) => Event::Call(CallEvent::Part { call, part: bytes_part(&bytes) }),
            Settled::Done(answer) => {
                let value =
                    Raw::trusted(show(&answer, None)).with_blobs(answer.data.blobs().to_vec());
                Event::Call(CallEvent::Done { call, result: Ok(value) })
            }
            Settled::Failed(error) => Event::Call(CallEvent::Done { call, result: Err(error) }),
        };
        self.event(event);
    }
}

fn head(status: u16, headers: Option<&Raw>) -> Object {
    let object = Object::new().number("Status", status);
    match headers {
        Some(headers) => object.raw("Headers", headers.as_str()),
        None => object,
    }
}

/// Writes an answer; `blobs` is the list of what placeholders of the value stand for.
fn show(answer: &Answer, blobs: Option<&str>) -> String {
    let mut object =
        Object::with_capacity(answer.data.as_str().len() + 64).number("Status", answer.status);
    if let Some(headers) = &answer.headers {
        object = object.raw("Headers", headers.as_str());
    }
    if !answer.data.is_absent() {
        object = object.raw("Data", answer.data.as_str());
    }
    if let Some(blobs) = blobs {
        object = object.raw("Blobs", blobs);
    }
    if let Some(bytes) = &answer.body {
        object = object.plain("Body", bytes);
    }
    object.end()
}

/// Writes an error of a call.
fn words(error: &Error) -> String {
    let object = Object::new().text("Error", error.message()).text("Code", error.code().name());
    match error.status() {
        Some(status) => object.number("Status", status).end(),
        None => object.end(),
    }
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
    if status == 503 { retry_later(response) } else { response }
}

/// The refusal of a connection beyond the limit.
pub(super) fn unavailable() -> HttpResponse {
    retry_later(HttpResponse::json(503, hub_wire::error("Too many connections.")))
}
