//! Whoever comes to the hub: which child it belongs to, and whether it may.

use bytes::Bytes;
use bytestring::ByteString;

use super::routes::{Public, Route};
use super::{Hub, page};
use crate::base::error::ErrorCode;
use crate::base::ids::{ConnId, HttpId};
use crate::base::time::Now;
use crate::dialect::beacon::coordinator::wire::{self, LoginRequest};
use crate::dialect::beacon::coordinator::{Asked, Route as BeaconRoute};
use crate::dialect::beacon::wire::ListPart;
use crate::machine::{Input, Machine as _, Output, ServerInput};
use crate::net::http::NoRoute;
use crate::net::{Headers, HttpBody, HttpRequest, HttpResponse, Method};

impl Hub {
    /// Answers an upgrade request.
    pub(super) fn handle_offer(
        &mut self,
        conn: ConnId,
        request: HttpRequest,
        remote: String,
        now: Now,
    ) {
        let checked = self.visitors.check(&request.headers);
        if let Some(refusal) = self.turn_away(checked, &request.headers, &remote, now) {
            self.refuse(conn, refusal);
        } else if !self.phase.is_serving() {
            self.refuse(conn, self.unavailable());
        } else if !self.volt.claims(&request.url) {
            let caller = self.accounts.caller(&request.headers, &remote, now.mono);
            // Whoever may only look joins like a stranger: with the secret.
            let caller = caller.filter(|caller| !caller.reads_only);
            self.coordinator.offer(conn, &remote, caller, now);
        } else if self.connections() as u64 >= self.options.max_connections {
            let text = "Too many connections.";
            self.warn(ErrorCode::Overloaded, &remote, text, now);
            self.refuse(conn, HttpResponse::json(503, wire::error(text)).retry_later());
        } else {
            let offer = ServerInput::Offered { conn, request, remote };
            self.volt.handle_input(Input::Server(offer), now);
        }
    }

    /// Returns the answer to a request, unless it comes later.
    pub(super) fn answer(
        &mut self,
        http: HttpId,
        request: HttpRequest,
        remote: String,
        now: Now,
    ) -> Option<HttpResponse> {
        if let Some(response) = self.probe(&request) {
            return Some(response);
        }
        let headers = &request.headers;
        let file = page::file(&request);
        // A link on another site may lead to the page.
        let checked = match &file {
            Some(_) => self.visitors.check_host(headers),
            None => self.visitors.check(headers),
        };
        let refusal = self.turn_away(checked, headers, &remote, now);
        if refusal.is_some() || file.is_some() {
            return refusal.or(file);
        }
        if let Some(origin) = headers.first("origin") {
            self.origins.insert(http, origin.to_owned());
            if headers.first("access-control-request-method").is_some() {
                return Some(preflight());
            }
        }
        let is_serving = self.phase.is_serving();
        if is_serving && self.volt.claims(&request.url) {
            let asked = ServerInput::Asked { http, request, remote };
            self.volt.handle_input(Input::Server(asked), now);
            return None;
        }
        if self.volt.claims(&request.url) {
            return Some(self.unavailable());
        }
        let caller = self.accounts.caller(headers, &remote, now.mono);
        let route = match Route::find(request.method, &request.url) {
            Ok(route) => route,
            Err(no_route) => return Some(answer_nowhere(no_route, caller.is_some())),
        };
        if !is_serving && route != Route::Public(Public::Status) {
            return Some(self.unavailable());
        }
        let is_public = matches!(route, Route::Public(_));
        match &caller {
            None if !is_public => return Some(unauthenticated()),
            Some(caller) if caller.reads_only && request.method != Method::Get && !is_public => {
                return Some(HttpResponse::json(403, wire::error("Your role may only look.")));
            }
            None | Some(_) => {}
        }
        let body = match read_body(&request, &route) {
            Ok(body) => body,
            Err(text) => {
                // A recording hides such a login whole, and a replay finds something else wrong with it.
                let is_login = route == Route::Public(Public::Login);
                let text = if is_login { "Invalid JSON" } else { text.as_str() };
                return Some(HttpResponse::json(400, wire::invalid_content(text)));
            }
        };
        match (route, caller) {
            (Route::Public(route), _) => Some(match route {
                Public::Login => {
                    let request: LoginRequest = serde_json::from_str(&body).unwrap_or_default();
                    if let Some(Err(wait)) =
                        request.worker().map(|name| self.readmission.enter(name, now.mono))
                    {
                        let mut response = HttpResponse::json(503, wire::come_back_later(wait));
                        let seconds = wait.div_ceil(1_000).to_string();
                        response.headers.push("retry-after", seconds);
                        return Some(response);
                    }
                    return self.log_in(http, request.into(), remote, now);
                }
                Public::Status => {
                    HttpResponse::json(200, wire::hub_status(self.options.is_secured()))
                }
                Public::CheckSession => self.accounts.check_session(headers, now.mono),
                Public::Logout => self.accounts.log_out(headers),
            }),
            (route, Some(caller)) => {
                let key = headers.first_text("x-idempotency-key");
                let key = key.as_deref().filter(|key| !key.is_empty());
                let page = &ListPart::of_url(&request.url);
                self.ask(http, route, Asked { body: &body, key, caller: &caller, page, now })
            }
            (_, None) => Some(unauthenticated()),
        }
    }

    /// Acts on a request whose body was too large: the item that it reported about ends.
    pub(super) fn handle_excess(&mut self, request: &HttpRequest, remote: &str, now: Now) {
        let checked = self.visitors.check(&request.headers);
        let headers = &request.headers;
        if !self.phase.is_serving() || self.turn_away(checked, headers, remote, now).is_some() {
            return;
        }
        let caller = self.accounts.caller(&request.headers, remote, now.mono);
        let caller = caller.filter(|caller| !caller.reads_only);
        if let (Some(caller), Ok(Route::Beacon(route))) =
            (caller, Route::find(request.method, &request.url))
        {
            self.coordinator.handle_large_report(&route, &request.body, &caller, now);
        }
    }

    /// Refuses whom a page of another site has sent.
    fn turn_away(
        &mut self,
        checked: Result<(), (u16, &'static str)>,
        headers: &Headers,
        remote: &str,
        now: Now,
    ) -> Option<HttpResponse> {
        let (status, reason) = checked.err()?;
        let [host, origin] = ["host", "origin"].map(|name| headers.first(name).unwrap_or_default());
        let text = format!("refused: {reason} The request has Host {host:?} and Origin {origin:?}");
        self.warn(ErrorCode::PeerRefused, remote, text, now);
        Some(HttpResponse::json(status, wire::error(reason)))
    }

    /// Answers a request of someone who is known.
    fn ask(&mut self, http: HttpId, route: Route, asked: Asked<'_>) -> Option<HttpResponse> {
        let Asked { body, caller, now, .. } = asked;
        if matches!(route, Route::Beacon(BeaconRoute::Enqueue) | Route::Volt(_))
            && let Err(denial) = self.accounts.count(&caller.client, now.mono)
        {
            return Some(denial.response(false));
        }
        match route {
            // Answered before: it needs no caller.
            Route::Public(_) => {}
            Route::Status => return Some(HttpResponse::json(200, self.show_status(now))),
            Route::Metrics => return Some(self.show_metrics(now)),
            Route::Events => return self.watch(http, caller, now),
            Route::Beacon(route) => self.coordinator.ask(http, route, asked),
            Route::Volt(control) => self.volt.control(http, control, body, now),
        }
        None
    }

    /// Returns how many connections and sessions the children have.
    pub(super) fn connections(&self) -> usize {
        self.coordinator.connections() + self.volt.len()
    }

    /// The answer while there is nothing to answer with.
    pub(super) fn unavailable(&self) -> HttpResponse {
        let text = format!("The hub is {}.", self.phase.name());
        HttpResponse::json(503, wire::error(&text)).retry_later()
    }

    /// Answers a request.
    pub(super) fn reply(&mut self, http: HttpId, response: HttpResponse) {
        let response = self.let_read(http, response);
        self.out.push_back(Output::HttpReply { http, response });
    }

    /// Lets the page that waits for an answer read it.
    pub(super) fn let_read(&mut self, http: HttpId, mut response: HttpResponse) -> HttpResponse {
        if let Some(origin) = self.origins.remove(&http) {
            response.headers.push("access-control-allow-origin", origin);
            response.headers.push("vary", "Origin");
        }
        response
    }

    fn refuse(&mut self, conn: ConnId, response: HttpResponse) {
        self.out.push_back(Output::Refuse { conn, response });
    }
}

/// Reads a body: `{}` if there is none.
///
/// # Errors
/// What is wrong with it.
fn read_body(request: &HttpRequest, route: &Route) -> Result<ByteString, String> {
    let Ok(body) = ByteString::try_from(request.body.clone()) else {
        return Err("Not UTF-8".to_owned());
    };
    let body = if body.trim().is_empty() { ByteString::from_static("{}") } else { body };
    if !route.checks_body()
        && request.method == Method::Post
        && let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(&body)
    {
        return Err(format!("Invalid JSON: {e}"));
    }
    Ok(body)
}

/// Answers a request that has no route.
fn answer_nowhere(no_route: NoRoute, is_known: bool) -> HttpResponse {
    match no_route {
        NoRoute::Unknown if is_known => HttpResponse::json(404, wire::error("Not found.")),
        NoRoute::Unknown => unauthenticated(),
        NoRoute::Method(allow) => {
            let mut response = HttpResponse::json(405, wire::error("Method not allowed."));
            response.headers.push("allow", allow);
            response
        }
    }
}

/// The answer to a browser that asks whether a page of an allowed origin may ask.
fn preflight() -> HttpResponse {
    HttpResponse {
        status: 204,
        headers: Headers::new()
            .with("access-control-allow-methods", "GET, POST, DELETE")
            .with("access-control-allow-headers", "content-type, x-idempotency-key")
            .with("access-control-max-age", "600"),
        body: HttpBody::Full(Bytes::new()),
    }
}

fn unauthenticated() -> HttpResponse {
    HttpResponse::json(401, wire::authentication_required())
}
