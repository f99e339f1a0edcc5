//! The worker's side of the beacon wire: what a session says and hears, in beacon words.

use bytestring::ByteString;

use crate::api::event::Withdrawal;
use crate::api::options::ConfigError;
use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::dialect::beacon::options::WorkerOptions;
use crate::dialect::beacon::policy;
use crate::dialect::beacon::wire::{
    Announcement, Authorship, HandlerMeta, HubFrame, LoginAnswer, PollAnswer, RecordAnswer,
    WireItem, error_text, event, farewell, heartbeat, item_meta, login, outcome, poll, progress,
};
use crate::dialect::{Asked, Dialect, Meaning, Outgoing, Parcel, Policy, Preflight, Transport};
use crate::net::origin::{Origin, path};
use crate::net::target::{DialAddress, DialTarget, FrameLimits};
use crate::net::{Frame, Headers, HttpRequest, HttpResponse, Method, cookies};
use crate::parts::credentials::Credentials;
use crate::parts::work::Inbound;

/// Peer: items are thrown away after 120 s without an event, and waiting in the queue counts. One
/// that waited for half of it gets its first sign of life at once.
const STALE_AFTER_MS: u64 = 60_000;

/// Peer: the hub fills in this action when a dispatcher names none.
const UNNAMED_ACTION: &str = "Execute";

/// Peer: an item without a capability is a shell command.
const UNNAMED_CAPABILITY: &str = "Shell";

/// The worker's codec.
#[derive(Debug)]
pub(crate) struct BeaconWorker {
    options: WorkerOptions,
    policy: Policy,
    origin: Origin,
    host: String,
    id: String,
}

impl BeaconWorker {
    /// Makes the codec; `host` is the operating system's host name.
    pub(crate) fn new(options: WorkerOptions, host: &str) -> Result<Self, ConfigError> {
        let mut problems = ConfigError::default();
        let origin = Origin::parse(&options.server_url)
            .map_err(|problem| problems.add("server_url", problem))
            .ok();
        let shapes = [
            ("tags", &options.tags, '{'),
            ("contexts", &options.contexts, '{'),
            ("operations", &options.operations, '['),
            ("bind_addresses", &options.bind_addresses, '['),
            ("shared_mounts", &options.shared_mounts, '['),
        ];
        for (name, value, first) in shapes {
            if !value.as_str().starts_with(first) {
                let kind = if first == '{' { "object" } else { "list" };
                problems.add(name, format!("must be a JSON {kind}"));
            }
        }
        let Some(origin) = origin else { return Err(problems) };
        let policy = policy::worker(&options);
        let host = if options.host_id.is_empty() { host } else { options.host_id.as_str() };
        let host = host.to_owned();
        problems.check(Self { options, policy, origin, host, id: String::new() })
    }

    /// Returns who logs in, and with what.
    pub(crate) fn credentials(&self) -> Credentials {
        let user = &self.options.user_name;
        let user = if user.is_empty() { &self.options.name } else { user };
        Credentials::new(user.clone(), self.options.password.clone())
    }

    fn post(&self, segments: &[&str], credentials: &Credentials, body: String) -> Parcel {
        let path = path(segments);
        Parcel::Http(self.origin.request(Method::Post, &path, credentials.session(), body))
    }

    fn inbound(item: &WireItem<'_>, frame: &ByteString) -> Option<Inbound> {
        if item.hash.is_empty() {
            return None;
        }
        let capability = item.capability.as_str();
        let capability = if capability.is_empty() { UNNAMED_CAPABILITY } else { capability };
        let action = item.action.as_str();
        let queued_ms = item.queue.as_ref().map(|queue| queue.wait_ms.0);
        Some(Inbound {
            wire: item.hash.as_str().into(),
            attempt: u32::try_from(item.attempt.0).unwrap_or(u32::MAX).max(1),
            capability: capability.to_owned(),
            action: action.to_owned(),
            or_first: action.is_empty() || action == UNNAMED_ACTION,
            payload: item.settings.map_or_else(Raw::empty_object, |raw| Raw::span(frame, raw)),
            timeout_ms: Some(item.timeout_ms.0).filter(|millis| *millis > 0),
            meta: Raw::trusted(item_meta(item)),
            is_stale: queued_ms.is_none_or(|millis| millis >= STALE_AFTER_MS),
        })
    }

    fn decode_text(&mut self, text: &ByteString, out: &mut Vec<Meaning>) {
        let Ok(frame) = serde_json::from_str::<HubFrame<'_>>(text) else {
            out.push(Meaning::Noise);
            return;
        };
        match frame.event.as_str() {
            event::WORK => {
                let inbound = frame.item.and_then(|item| Self::inbound(&item, text));
                out.push(inbound.map_or(Meaning::Noise, |item| Meaning::Work(Box::new(item))));
            }
            event::TAKEN => out.extend(frame.items.into_iter().map(|item| Meaning::Taken {
                wire: item.hash.into(),
                refusal: (!item.taken).then(|| item.reason.unwrap_or_default()),
            })),
            event::REGISTERED => {
                let id = frame.beacon_id.0.into_owned();
                if !id.is_empty() {
                    self.id.clone_from(&id);
                }
                let acks = frame.moorline.is_some_and(|extension| extension.acks);
                out.push(Meaning::Registered { id: Some(id).filter(|id| !id.is_empty()), acks });
            }
            event::REJECTED => out.push(Meaning::Rejected(frame.reason.0.into_owned())),
            event::DEREGISTERED => out.push(Meaning::Unregistered),
            event::CANCEL => out.push(Meaning::Withdraw {
                wire: frame.hash.as_str().into(),
                why: Withdrawal::from_word(frame.why.as_str()),
            }),
            _ => out.push(Meaning::Noise),
        }
    }

    fn decode_ok(&mut self, asked: &Asked, response: &HttpResponse, out: &mut Vec<Meaning>) {
        let protocol = |what: &str| {
            let message = format!("the control plane's answer to {what} was not understood");
            Meaning::Failed(Error::new(ErrorCode::PeerProtocol, message))
        };
        match asked {
            Asked::Registration => match serde_json::from_slice::<RecordAnswer>(response.bytes()) {
                Ok(record) => {
                    self.id.clone_from(&record.beacon_id);
                    let acks = record.moorline.is_some_and(|extension| extension.acks);
                    out.push(Meaning::Registered { id: Some(record.beacon_id), acks });
                }
                Err(_) => out.push(protocol("the registration")),
            },
            Asked::Poll => {
                let text = std::str::from_utf8(response.bytes()).unwrap_or_default();
                let text = ByteString::from(text);
                match serde_json::from_str::<PollAnswer<'_>>(&text) {
                    Ok(PollAnswer { item: Some(item) }) => {
                        let inbound = Self::inbound(&item, &text);
                        out.push(
                            inbound.map_or(Meaning::NoWork, |item| Meaning::Work(Box::new(item))),
                        );
                    }
                    Ok(PollAnswer { item: None }) => out.push(Meaning::NoWork),
                    Err(_) => out.push(protocol("a poll")),
                }
            }
            Asked::Outcome(wire) => {
                out.push(Meaning::Taken { wire: wire.clone(), refusal: None });
            }
            Asked::Preflight
            | Asked::Heartbeat
            | Asked::Verify
            | Asked::Progress
            | Asked::Farewell => out.push(Meaning::Alive),
        }
    }
}

impl Dialect for BeaconWorker {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn check_handler(&self, meta: &Raw) -> Result<(), Error> {
        let meta = meta.read::<HandlerMeta>().map_err(|e| e.to_string());
        let is_list = |schema: &Raw| schema.as_str().starts_with('[');
        let problem = match meta {
            Ok(meta) if meta.settings_schema.as_ref().is_none_or(is_list) => return Ok(()),
            Ok(_) => String::from("settings_schema is a list"),
            Err(problem) => problem,
        };
        Err(Error::new(ErrorCode::ArgumentInvalid, format!("the handler's meta: {problem}")))
    }

    fn preflight(
        &mut self,
        last: Option<Result<HttpResponse, Error>>,
        credentials: &mut Credentials,
    ) -> Preflight {
        let Some(last) = last else {
            let body = login(credentials.user(), credentials.password().expose());
            return Preflight::Ask(self.origin.request(
                Method::Post,
                "/1.0/Authenticate",
                None,
                body,
            ));
        };
        let response = match last {
            Ok(response) => response,
            Err(error) => return Preflight::Fail(error),
        };
        if response.status >= 400 {
            let message = error_text(&response);
            return Preflight::Fail(Error::new(ErrorCode::AuthenticationFailed, message));
        }
        if response.bytes().is_empty() {
            credentials.keep(cookies::first(&response));
            return Preflight::Go(None);
        }
        let Ok(answer) = serde_json::from_slice::<LoginAnswer>(response.bytes()) else {
            let message = "the control plane's answer to the login was not JSON";
            return Preflight::Fail(Error::new(ErrorCode::PeerProtocol, message));
        };
        credentials.keep(cookies::first(&response));
        // Peer: an open hub refuses every login, so a refusal matters only to those who have a
        // password to be refused.
        let is_refusal = !answer.logged_in && !credentials.password().is_empty();
        Preflight::Go(is_refusal.then(|| {
            let said = answer.error.unwrap_or_default();
            Error::new(ErrorCode::AuthenticationFailed, said)
        }))
    }

    fn target(&self, credentials: &Credentials) -> DialTarget {
        let mut headers = Headers::new();
        if let Some(session) = credentials.session() {
            headers.push("cookie", session.expose());
        }
        let limits = &self.policy.limits;
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        DialTarget {
            address: DialAddress::WebSocket { url: self.origin.web_socket(), headers },
            timeout_ms: self.policy.connect_timeout_ms,
            limits: FrameLimits {
                max_message: size(limits.max_message_bytes),
                max_fragments: size(limits.max_fragments),
                max_send_queue: size(limits.max_send_queue_bytes),
            },
            pulses: &[],
        }
    }

    fn encode(
        &mut self,
        what: Outgoing<'_>,
        carrier: Transport,
        credentials: &Credentials,
    ) -> Option<Parcel> {
        let is_frame = carrier == Transport::WebSocket;
        let author = if is_frame { Authorship::Frame } else { Authorship::Body(self.id.as_str()) };
        let frame = |text: String| Some(Parcel::Frame(Frame::Text(text.into())));
        match what {
            Outgoing::Registration { handlers, held } => {
                let options = &self.options;
                let host = &self.host;
                let text = Announcement { options, host, handlers, held, is_frame }.write();
                if is_frame {
                    return frame(text);
                }
                Some(self.post(&["Beacon", "Register"], credentials, text))
            }
            Outgoing::Poll => {
                Some(self.post(&["Beacon", "Work", "Poll"], credentials, poll(&self.id)))
            }
            Outgoing::Heartbeat { host_lag_ms, in_flight, is_draining } => {
                let id = is_frame.then_some(self.id.as_str());
                let text = heartbeat(id, host_lag_ms, in_flight, is_draining);
                if is_frame {
                    return frame(text);
                }
                Some(self.post(&["Beacon", &self.id, "Heartbeat"], credentials, text))
            }
            Outgoing::Verify => {
                let path = path(&["Beacon", &self.id]);
                let session = credentials.session();
                let request: HttpRequest =
                    self.origin.request(Method::Get, &path, session, String::new());
                Some(Parcel::Http(request))
            }
            Outgoing::Progress { wire, attempt, report } => {
                let text = progress(author, wire, attempt, report);
                if is_frame {
                    return frame(text);
                }
                Some(self.post(&["Beacon", "Work", wire, "Progress"], credentials, text))
            }
            Outgoing::Outcome { wire, attempt, outcome: what } => {
                let text = outcome(author, wire, attempt, what);
                if is_frame {
                    return frame(text);
                }
                let verb = match what {
                    crate::api::command::Outcome::Done { .. } => "Complete",
                    crate::api::command::Outcome::Failed { .. }
                    | crate::api::command::Outcome::Cancelled => "Error",
                };
                Some(self.post(&["Beacon", "Work", wire, verb], credentials, text))
            }
            Outgoing::Farewell if self.id.is_empty() => None,
            Outgoing::Farewell if is_frame => frame(farewell(&self.id)),
            Outgoing::Farewell => {
                let path = path(&["Beacon", &self.id]);
                let session = credentials.session();
                let request = self.origin.request(Method::Delete, &path, session, String::new());
                Some(Parcel::Http(request))
            }
        }
    }

    fn decode(&mut self, frame: &Frame, out: &mut Vec<Meaning>) {
        match frame {
            Frame::Text(text) => self.decode_text(text, out),
            Frame::Binary(_) => out.push(Meaning::Noise),
            Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }

    fn decode_reply(&mut self, asked: &Asked, response: &HttpResponse, out: &mut Vec<Meaning>) {
        let status = response.status;
        let failed = || Meaning::Failed(Error::new(ErrorCode::RemoteError, error_text(response)));
        match (status, asked) {
            (200..=299, _) => self.decode_ok(asked, response, out),
            (401, _) => out.push(Meaning::Unauthorized),
            (..=399 | 407 | 408 | 425 | 429 | 500.., _) => out.push(failed()),
            // What stands before a control plane that is starting answers so.
            (404 | 405, Asked::Registration) => out.push(failed()),
            (_, Asked::Registration) => out.push(Meaning::Rejected(error_text(response))),
            (404, Asked::Heartbeat | Asked::Verify | Asked::Poll) => {
                out.push(Meaning::Unregistered);
            }
            (_, Asked::Outcome(wire)) => {
                let refusal = Some(error_text(response));
                out.push(Meaning::Taken { wire: wire.clone(), refusal });
            }
            // Peer: progress of an item in state `Dispatched` is refused with 404 while it runs.
            (_, Asked::Progress | Asked::Farewell) => out.push(Meaning::Alive),
            (_, Asked::Preflight | Asked::Poll | Asked::Heartbeat | Asked::Verify) => {
                out.push(failed());
            }
        }
    }
}
