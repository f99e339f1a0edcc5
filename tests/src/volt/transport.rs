//! What a daemon does to the network, and what the server's transports make of it.

use bytestring::ByteString;
use moorline_core::ConnInput;
use moorline_core::frame::engineio::{self, PROBE, Packet, RequestError};
use moorline_core::{
    CloseCause, ConnId, DialTarget, Error, ErrorCode, Frame, HttpId, HttpRequest, Input, Method,
};

use super::session::{Session, Transport};
use super::{Daemon, Told, failed, ok, parameter, replied};

impl Daemon {
    pub(super) fn dial(&mut self, conn: ConnId, target: DialTarget) {
        self.conns.insert(conn);
        let url = target.address.url().into_owned();
        let sid = parameter(&url, "sid");
        let session = self.sessions.iter().position(|it| sid.is_some_and(|sid| it.is_polling(sid)));
        if !self.network.is_up {
            self.close(conn, CloseCause::Failed(Error::from(ErrorCode::ConnectFailed)));
        } else if !self.network.web_sockets {
            self.close(conn, CloseCause::Refused { status: 403 });
        } else if let Some(it) = session.and_then(|index| self.sessions.get_mut(index)) {
            it.probe = Some(conn);
            self.inputs.push_back(Input::Conn(ConnInput::Opened { conn }));
        } else if sid.is_some() {
            self.close(conn, CloseCause::Refused { status: 400 });
        } else {
            self.ask(Transport::Dialing(conn), url);
        }
    }

    fn ask(&mut self, transport: Transport, url: String) {
        self.sessions.push(Session::new(transport));
        self.told.push_back(Told::Asked { session: self.sessions.len() - 1, url });
    }

    pub(super) fn sent(&mut self, conn: ConnId, frame: Frame) {
        let Some(session) = self.sessions.iter().position(|it| it.is_on(conn)) else {
            if !self.conns.contains(&conn) {
                self.faults.push(format!("sent on {conn:?}, which is closed"));
            }
            return;
        };
        let it = &mut self.sessions[session];
        match engineio::decode(&frame) {
            Ok(Packet::Ping(content)) if it.probe == Some(conn) && content == PROBE => {
                let pong = Packet::Pong(ByteString::from_static(PROBE)).to_frame();
                self.inputs.push_back(Input::Conn(ConnInput::Received { conn, frame: pong }));
                it.release(&mut self.inputs);
            }
            Ok(Packet::Upgrade) if it.probe == Some(conn) => {
                if it.exchanges() > 0 {
                    self.faults.push(String::from("upgraded with requests under way"));
                }
                it.probe = None;
                it.transport = Transport::Socket(conn);
                it.flush(&mut self.inputs);
            }
            _ if it.probe == Some(conn) => {
                self.faults.push(String::from("a message on a connection that is probed"));
            }
            _ => self.told.push_back(Told::Said { session, frame }),
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.iter().position(|it| it.is_on(conn)) {
            let it = &mut self.sessions[session];
            if it.probe == Some(conn) {
                it.probe = None;
            } else {
                it.transport = Transport::Over;
                self.told.push_back(Told::Left { session });
            }
        }
        self.close(conn, CloseCause::Local);
    }

    pub(super) fn called(&mut self, http: HttpId, request: HttpRequest) {
        if !self.network.is_up {
            self.inputs.push_back(failed(http));
            return;
        }
        if parameter(&request.url, "transport") != Some("polling") {
            self.told.push_back(Told::Http { http, request });
            return;
        }
        let Some(sid) = parameter(&request.url, "sid") else {
            self.ask(Transport::Asking(http), request.url);
            return;
        };
        let Some(session) = self.sessions.iter().position(|it| it.is_polling(sid)) else {
            let mut response = ok(RequestError::SessionUnknown.to_json());
            response.status = 400;
            self.inputs.push_back(replied(http, response));
            return;
        };
        let it = &mut self.sessions[session];
        if request.method == Method::Get {
            if it.poll.replace(http).is_some() {
                self.faults.push(String::from("a second poll"));
            }
            if it.probe.is_some() {
                it.release(&mut self.inputs);
            }
            it.flush(&mut self.inputs);
        } else {
            self.posted(session, http, &request);
        }
    }

    fn posted(&mut self, session: usize, http: HttpId, request: &HttpRequest) {
        let body = ByteString::try_from(request.body.clone()).unwrap_or_default();
        if request.headers.first("content-type") != Some("text/plain;charset=UTF-8") {
            self.faults.push(String::from("a post of another content type"));
        }
        if self.posts.iter().any(|(_, of)| *of == session) {
            self.faults.push(String::from("a second post"));
        }
        if self.network.is_slow {
            self.posts.push((http, session));
        } else {
            self.inputs.push_back(replied(http, ok(String::from("ok"))));
        }
        for packet in engineio::split(&body) {
            match packet {
                Ok(Packet::Close) => {
                    let it = &mut self.sessions[session];
                    it.release(&mut self.inputs);
                    it.transport = Transport::Over;
                    self.told.push_back(Told::Left { session });
                }
                Ok(packet) => {
                    let frame = packet.to_frame();
                    self.told.push_back(Told::Said { session, frame });
                }
                Err(error) => self.faults.push(format!("posted {error}")),
            }
        }
    }

    pub(super) fn cancelled(&mut self, http: HttpId) {
        self.posts.retain(|(post, _)| *post != http);
        let found = self.sessions.iter().position(|it| it.has(http));
        let Some(session) = found else { return };
        let it = &mut self.sessions[session];
        it.poll = None;
        if let Some(conn) = it.probe.take() {
            self.close(conn, CloseCause::Local);
        }
        let it = &mut self.sessions[session];
        if !matches!(std::mem::replace(&mut it.transport, Transport::Over), Transport::Over) {
            self.told.push_back(Told::Left { session });
        }
    }
}
