//! The two directions between tasks and the machine: what arrived becomes an input, what the machine
//! says is performed.

use std::sync::Arc;

use moorline_core::{CloseCause, ConnId, Event, Frame, Input, Now, Output};
use moorline_core::{ConnInput, HttpInput, ServerInput, SessionEvent};

use crate::body::answer;
use crate::dial::dial;
use crate::drive::Driver;
use crate::http_client::Bounds;
use crate::inbox::Arrival;
use crate::listen::HEALTH;
use crate::transport::Packing;

impl Driver {
    /// Feeds the machine what a task has reported.
    pub(super) fn arrived(&mut self, arrival: Arrival, now: Now) {
        match arrival {
            Arrival::Input(input) => self.arrived_input(input, now),
            Arrival::Dialed { conn, carrier, limits } => {
                if self.links.open(conn, carrier, limits, now.mono) {
                    self.feed(Input::Conn(ConnInput::Opened { conn }), now);
                }
            }
            Arrival::Offered { conn, request, remote, decision } => {
                self.links.offered(conn, decision);
                self.feed(Input::Server(ServerInput::Offered { conn, request, remote }), now);
            }
            Arrival::Upgraded { conn, carrier, limits } => {
                self.links.open(conn, carrier, limits, now.mono);
            }
            Arrival::Accepted { conn, listen, remote, credentials, accepted } => {
                self.links.accepted(conn, accepted);
                let input = ServerInput::Accepted { conn, listen, remote, credentials };
                self.feed(Input::Server(input), now);
            }
            Arrival::Asked { listen: HEALTH, request, asker, .. } => {
                self.answer_health(&request, asker, now);
            }
            Arrival::Asked { http, request, remote, asker, .. } => {
                self.answers.insert(http, asker);
                self.feed(Input::Server(ServerInput::Asked { http, request, remote }), now);
            }
            #[cfg(feature = "scripted")]
            Arrival::Scripted(step) => self.scripted(step, now),
        }
    }

    fn arrived_input(&mut self, input: Input, now: Now) {
        match &input {
            Input::Server(ServerInput::Listening { listen: HEALTH, address }) => {
                return tracing::info!(address, "/live, /ready and /metrics are answered");
            }
            Input::Server(ServerInput::ListenFailed { listen: HEALTH, error }) => {
                let error = error.clone();
                return self.tell(Event::Session(SessionEvent::Notice { error }));
            }
            Input::Http(HttpInput::Replied { http, .. }) => {
                if !self.http.settle(*http) {
                    return;
                }
            }
            Input::Http(HttpInput::Part { http, .. }) => {
                if !self.http.is_open(*http) {
                    return;
                }
            }
            Input::Server(ServerInput::Gone { http }) => {
                self.answers.remove(http);
                self.parts.remove(http);
            }
            Input::Conn(ConnInput::Closed { conn, .. }) => {
                if !self.links.forget(*conn) {
                    return;
                }
            }
            Input::Conn(ConnInput::Opened { .. })
            | Input::Conn(ConnInput::Received { .. })
            | Input::Conn(ConnInput::Sent { .. })
            | Input::Conn(ConnInput::Held { .. })
            | Input::Server(ServerInput::Offered { .. })
            | Input::Server(ServerInput::Accepted { .. })
            | Input::Server(
                ServerInput::Asked { .. }
                | ServerInput::Exceeded { .. }
                | ServerInput::Backlog { .. },
            )
            | Input::Stored { .. }
            | Input::Server(ServerInput::Listening { .. })
            | Input::Server(ServerInput::ListenFailed { .. })
            | Input::HostLag { .. } => {}
        }
        self.feed(input, now);
    }

    /// Performs one output. What can be answered at once becomes an input of the same turn.
    pub(super) fn perform(&mut self, output: Output, now: Now) {
        #[cfg(feature = "scripted")]
        if let Some(script) = &self.shared.script
            && !matches!(output, Output::Event(_))
        {
            return script.perform(&output);
        }
        match output {
            Output::Dial { conn, target } => {
                let connector = Arc::clone(&self.connector);
                let inbox = Arc::clone(&self.shared.inbox);
                let pulses = target.pulses;
                let task = tokio::spawn(dial(conn, target, connector, inbox));
                self.links.dialing(conn, task.abort_handle(), pulses);
            }
            Output::Admit { conn, limits, pulses, deflate } => {
                self.links.admit(conn, limits, pulses, deflate, now.mono);
            }
            Output::Refuse { conn, response } => self.links.refuse(conn, answer(response).0),
            Output::SetLimits { conn, limits } => self.links.set_limits(conn, limits),
            Output::Send { conn, frame } => self.send(conn, frame, Packing::Usual),
            Output::SendCompressed { conn, frame } => self.send(conn, frame, Packing::Compressed),
            Output::AskSent { conn } => {
                if self.links.ask_sent(conn) {
                    self.inputs.push_back(Input::Conn(ConnInput::Sent { conn }));
                }
            }
            Output::Close { conn, code, reason } => {
                if self.links.close(conn, code, reason, now.mono) {
                    self.inputs.push_back(Input::Conn(ConnInput::Closed {
                        conn,
                        cause: CloseCause::Local,
                    }));
                }
            }
            Output::HttpCall { http, request, timeout_ms, max_body, streams } => {
                self.http.call(http, request, Bounds { timeout_ms, max_body, streams });
            }
            Output::HttpCancel { http } => self.http.cancel(http),
            Output::HttpReply { http, response } => {
                if let Some(asker) = self.answers.remove(&http) {
                    let (answer, writer) = answer(response);
                    if let Some(writer) = writer {
                        self.parts.insert(http, writer);
                    }
                    asker.answer(answer);
                }
            }
            Output::HttpPart { http, bytes } => {
                if let Some(writer) = self.parts.get(&http) {
                    writer.write(bytes);
                }
            }
            Output::HttpEnd { http } => drop(self.parts.remove(&http)),
            Output::Store { store, request } => {
                if let Some(result) = self.store.ask(store, request) {
                    self.inputs.push_back(Input::Stored { store, result });
                }
            }
            Output::Listen { listen, target } => self.listeners.listen(listen, target),
            Output::Unlisten { listen } => self.listeners.unlisten(listen),
            Output::ProbeHost => {
                self.is_probing = true;
                self.sink.probe(now.mono);
            }
            Output::Event(event) => self.tell(event),
        }
    }

    fn send(&mut self, conn: ConnId, frame: Frame, packing: Packing) {
        self.frames_out += 1;
        if let Some(cause) = self.links.send(conn, frame, packing) {
            self.inputs.push_back(Input::Conn(ConnInput::Closed { conn, cause }));
        }
    }
}
