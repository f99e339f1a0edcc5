//! Logins, and what an auth worker decides.

use bytestring::ByteString;

use super::item::Waiter;
use super::registration::AUTHENTICATION;
use super::results::Finished;
use super::{Hub, auth};
use crate::base::ids::{ConnId, HttpId};
use crate::base::time::Now;
use crate::dialect::beacon::wire::coordinator::{
    self as wire, JoinOutputs, LoginOutputs, LoginRequest, UserRecord,
};
use crate::net::HttpResponse;

/// The longest user name and password, in bytes.
const MAX_CREDENTIAL: usize = 1_024;

impl Hub {
    /// Answers a login, now or when an auth worker has decided.
    pub(super) fn login(&mut self, http: HttpId, body: &ByteString, remote: &str, now: Now) {
        let request: LoginRequest = serde_json::from_str(body).unwrap_or_default();
        let Some(name) = request.user_name.filter(|name| !name.is_empty()) else {
            self.refuse_login(http, "UserName is required.");
            return;
        };
        let password = request.password.unwrap_or_default();
        let address = crate::parts::accepted::address(remote).to_owned();
        if self.auth.check_failures(&address, now.mono).is_err() {
            let text = wire::login_refused("Too many failed logins.");
            self.reply(http, HttpResponse::json(429, text).retry_later());
            return;
        }
        if name.len() > MAX_CREDENTIAL || password.expose().len() > MAX_CREDENTIAL {
            self.refuse_login(http, "Authentication failed.");
        } else if self.auth.has_users() {
            match self.auth.check(&name, &password) {
                Some(user) => self.log_in(http, user, now),
                None => {
                    self.auth.failed(&address, now.mono);
                    self.refuse_login(http, "Authentication failed.");
                }
            }
        } else if self.is_secured() && self.registry.offers(AUTHENTICATION) {
            let question = wire::login_question(&name, password.expose());
            self.ask_auth_worker("AUTH_Login", &question, Waiter::Login { http }, now);
        } else {
            self.refuse_login(http, "Authentication failed.");
        }
    }

    /// Answers a login as an auth worker decided.
    pub(super) fn decide_login(&mut self, http: HttpId, done: &Finished, now: Now) {
        self.queue.unwait(http);
        let outputs: LoginOutputs =
            done.outputs.as_ref().and_then(|(outputs, _)| outputs.read().ok()).unwrap_or_default();
        if outputs.success {
            let context = outputs.user_context.unwrap_or_default();
            self.log_in(http, auth::record(context, ""), now);
        } else {
            self.refuse_login(http, "Authentication failed.");
        }
    }

    /// Lets a worker in, or not, as an auth worker decided.
    pub(super) fn decide_join(&mut self, conn: ConnId, done: &Finished, now: Now) {
        let verdict = match &done.outputs {
            Some((outputs, _)) => {
                let outputs: JoinOutputs = outputs.read().unwrap_or_default();
                if outputs.allowed {
                    Ok(())
                } else {
                    Err(outputs.reason.unwrap_or_else(|| "Join denied".to_owned()))
                }
            }
            None => Err("The auth beacon did not answer".to_owned()),
        };
        self.joined(conn, verdict, now);
    }

    fn log_in(&mut self, http: HttpId, user: UserRecord, now: Now) {
        let id = self.auth.begin(user.clone(), &mut self.entropy, now.mono);
        let mut response = HttpResponse::json(200, wire::logged_in(&id, &user));
        response.headers.push("set-cookie", format!("{}={id}; Path=/; HttpOnly", auth::COOKIE));
        self.reply(http, response);
    }

    fn refuse_login(&mut self, http: HttpId, text: &str) {
        self.reply(http, HttpResponse::json(200, wire::login_refused(text)));
    }
}
