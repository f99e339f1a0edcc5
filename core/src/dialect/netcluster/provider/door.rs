//! Who may come: path, parameters, the application's word.

use super::peers::Peer;
use super::{Provider, ROUND_MS};
use crate::api::event::PeerEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, PeerId};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::netcluster::options::deflate;
use crate::dialect::netcluster::wire;
use crate::machine::Output;
use crate::net::http::path;
use crate::net::query;
use crate::net::{HttpRequest, HttpResponse, Method};
use crate::parts::admission::{Refusal, address};
use crate::parts::liveness::{Silence, Strikes};
use crate::parts::pacer::Outlet;

/// Someone that the application decides about.
#[derive(Debug)]
pub(super) struct Asked {
    address: String,
    /// What will be told when it joins.
    known: Raw,
}

impl Provider {
    /// Answers an upgrade request, now or when the application has decided.
    pub(super) fn offered(&mut self, conn: ConnId, request: &HttpRequest, remote: &str, now: Now) {
        let address = address(remote);
        if !self.listener.is_serving() {
            self.out.push_back(Output::Refuse { conn, response: wire::overloaded() });
            return;
        }
        if let Err((response, why)) = self.find_fault(request) {
            self.refuse(conn, address, response, why, now);
            return;
        }
        let parameters = query::parameters(&request.url);
        let ip = address.trim_matches(['[', ']']);
        if !wire::fit(&self.options.auth.parameters, &parameters) {
            self.refuse(conn, address, wire::unauthorized(), "its parameters do not fit", now);
            return;
        }
        let auth = &self.options.auth;
        let entered = if auth.asks && self.undecided.is_full() {
            Err("auth.max_pending is reached")
        } else {
            self.admission.enter(address).map_err(|refusal| match refusal {
                Refusal::Full => "max_connections is reached",
                Refusal::TooManyUnregistered => "max_unadmitted_per_address is reached",
            })
        };
        if let Err(why) = entered {
            self.refuse(conn, address, wire::overloaded(), why, now);
            return;
        }
        let known = query::describe_peer(ip, &parameters);
        if !auth.asks {
            self.admission.admitted(address);
            return self.admit(conn, known, now);
        }
        let (timeout_ms, peer) = (auth.timeout_ms, PeerId(conn.0));
        let asked = Asked { address: address.to_owned(), known };
        self.undecided.add(conn, asked, now.mono);
        let request = query::describe(request, ip, &parameters);
        self.event(PeerEvent::AdmissionAsked { peer, timeout_ms, request });
    }

    /// Returns the answer to who has come to the wrong place or from another site, and why.
    fn find_fault(&self, request: &HttpRequest) -> Result<(), (HttpResponse, &'static str)> {
        if path(&request.url) != self.options.path {
            return Err((wire::not_found(), "its path is not the provider's"));
        }
        if !self.options.strict {
            return Ok(());
        }
        let checked = self.visitors.check(&request.headers);
        checked.map_err(|(status, reason)| (HttpResponse::text(status, reason), reason))
    }

    /// Answers a request that is for no upgrade.
    pub(super) fn answer(&self, request: &HttpRequest, now: Now) -> HttpResponse {
        let path = path(&request.url);
        if self.options.alive && path == wire::ALIVE && request.method == Method::Get {
            wire::alive(now.unix)
        } else if path == self.options.path {
            HttpResponse::upgrade_required()
        } else {
            wire::not_found()
        }
    }

    /// Takes the application's word on who has asked. One that has left meanwhile is nobody any more.
    pub(super) fn decide(&mut self, peer: PeerId, is_admitted: bool, now: Now) {
        let conn = ConnId(peer.0);
        let Some(Asked { address, known }) = self.undecided.take(conn) else { return };
        if is_admitted {
            self.admission.admitted(&address);
            self.admit(conn, known, now);
        } else {
            self.admission.left(&address, true);
            let why = "the application refuses it";
            self.refuse(conn, &address, wire::unauthorized(), why, now);
        }
    }

    /// The time to decide about somebody is over, or there is nobody to decide: it may come back.
    pub(super) fn put_off(&mut self, conn: ConnId, asked: &Asked, why: &str, now: Now) {
        self.admission.left(&asked.address, true);
        self.refuse(conn, &asked.address, wire::overloaded(), why, now);
    }

    /// Someone left before it was decided about.
    pub(super) fn left(&mut self, conn: ConnId) {
        if let Some(asked) = self.undecided.take(conn) {
            self.admission.left(&asked.address, true);
        }
    }

    fn admit(&mut self, conn: ConnId, known: Raw, now: Now) {
        let (peer, limits) = (PeerId(conn.0), self.limits());
        let deflate = deflate(self.options.ws.compressor);
        self.out.push_back(Output::Admit { conn, limits, deflate, pulses: wire::PONGS });
        let auth = &self.options.auth;
        if auth.asks || !auth.parameters.is_empty() {
            // It has shown who it is: the bound for strangers of one address is not for it.
            self.out.push_back(Output::SetLimits { conn, limits });
        }
        if self.peers.is_empty() {
            // Rounds keep the time of the start: the first may come at once.
            let since = now.mono.since(self.life.since.mono) % ROUND_MS;
            self.round.next = Some(now.mono.after(ROUND_MS - since));
        }
        let is_greeted = !self.options.heartbeat.awaits_greet;
        let (strikes, silence) = (Strikes::default(), Silence::default());
        let outlet = Outlet::new(conn, Some(peer));
        self.peers.insert(conn, Peer { outlet, strikes, silence, is_greeted: false });
        self.counters.joined += 1;
        let name = self.entropy.uuid().to_string();
        self.event(PeerEvent::Joined { peer, name, meta: known });
        if is_greeted {
            self.greet(peer);
        }
    }

    /// Refuses somebody, and tells it unless there were too many of its address.
    fn refuse(&mut self, conn: ConnId, address: &str, response: HttpResponse, why: &str, now: Now) {
        self.counters.refused += 1;
        self.out.push_back(Output::Refuse { conn, response });
        let error = Error::new(ErrorCode::PeerRefused, format!("{address}: refused: {why}"));
        self.warnings.warn(address, error, now, &mut self.out);
    }
}
