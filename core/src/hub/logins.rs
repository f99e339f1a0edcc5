//! Logins: decided at once, by an auth worker, or held until it has decided about others of the same address.
//!
//! What an auth worker has not decided yet counts as a wrong guess, so that guessing is bounded whoever decides.
//! A login that finds no guess left for that reason alone waits: it is refused only once others were wrong.

use std::collections::BTreeMap;

use super::Hub;
use super::accounts::{self, Claim, Login};
use crate::base::error::ErrorCode;
use crate::base::ids::HttpId;
use crate::base::time::Now;
use crate::dialect::beacon::coordinator::Decision;
use crate::net::HttpResponse;
use crate::parts::admission::address;

/// The most logins that are held, and the most of one address.
const MAX_HELD: usize = 1_000;
const MAX_HELD_OF_ONE: usize = MAX_HELD / 4;

/// Logins without an answer so far.
#[derive(Debug, Default)]
pub(super) struct Logins {
    asked: BTreeMap<HttpId, Asked>,
    /// In the order in which they came, which that of their ids is.
    held: BTreeMap<HttpId, (Claim, String)>,
}

/// One that an auth worker decides.
#[derive(Debug)]
struct Asked {
    name: String,
    remote: String,
    /// Whether it had a password and was counted.
    is_guess: bool,
}

impl Logins {
    /// Forgets a login whose client is gone. One that was counted stays so. Returns from where one came that
    /// was being judged: others may have waited for it.
    pub(super) fn forget(&mut self, http: HttpId) -> Option<String> {
        self.held.remove(&http);
        self.asked.remove(&http).map(|asked| asked.remote)
    }

    /// Tells whether a password from `client` is being judged.
    fn judges(&self, client: &str) -> bool {
        self.asked.values().any(|asked| asked.is_guess && address(&asked.remote) == client)
    }

    /// Tells whether one more login of `client` may be held.
    fn has_room(&self, client: &str) -> bool {
        self.held.len() < MAX_HELD && self.held_of(client).count() < MAX_HELD_OF_ONE
    }

    /// Returns the logins of `client` that are held.
    fn held_of(&self, client: &str) -> impl Iterator<Item = HttpId> {
        let held = self.held.iter();
        held.filter(move |(_, (_, remote))| address(remote) == client).map(|(http, _)| *http)
    }
}

impl Hub {
    /// Answers a login, unless its answer comes later.
    pub(super) fn log_in(
        &mut self,
        http: HttpId,
        claim: Claim,
        remote: String,
        now: Now,
    ) -> Option<HttpResponse> {
        let client = address(&remote);
        let is_guess = claim.is_a_guess();
        if is_guess
            && !self.accounts.may_guess(client, now.mono)
            && self.logins.has_room(client)
            && self.logins.judges(client)
        {
            self.logins.held.insert(http, (claim, remote));
            return None;
        }
        let name = claim.name.clone();
        let is_judged = self.coordinator.judges_logins();
        match self.accounts.login(claim, &remote, is_judged, now.mono) {
            Login::Right(user) => Some(self.accounts.begin(user, now.mono)),
            Login::Refused(response) => {
                self.warn_of_login(&name, &remote, now);
                Some(response)
            }
            Login::Undecided { password } => {
                if let Err(denial) = self.coordinator.ask_login(http, &name, password.expose(), now)
                {
                    self.accounts.was_no_guess(&remote, is_guess, now.mono);
                    return Some(denial.response(false));
                }
                self.logins.asked.insert(http, Asked { name, remote, is_guess });
                None
            }
        }
    }

    /// Answers logins that an auth worker has decided about, and goes on with those that were held for them.
    pub(super) fn check_decisions(&mut self, now: Now) {
        for Decision { http, user } in std::mem::take(&mut self.coordinator.decisions) {
            let Some(Asked { name, remote, is_guess }) = self.logins.asked.remove(&http) else {
                continue;
            };
            let response = match user {
                Ok(Some(user)) => {
                    self.accounts.was_no_guess(&remote, is_guess, now.mono);
                    self.accounts.begin(accounts::record(user, name), now.mono)
                }
                Ok(None) => {
                    self.warn_of_login(&name, &remote, now);
                    accounts::failed()
                }
                Err(problem) => {
                    self.accounts.was_no_guess(&remote, is_guess, now.mono);
                    let text = format!("the login of {name:?} is undecided: {problem}");
                    self.warn(ErrorCode::PeerProtocol, &remote, text, now);
                    accounts::undecided()
                }
            };
            self.reply(http, response);
            self.go_on(address(&remote), now);
        }
    }

    /// Takes up logins of `client` that were held, as far as they can be decided.
    pub(super) fn go_on(&mut self, client: &str, now: Now) {
        loop {
            let next = self.logins.held_of(client).next();
            let Some(http) = next else { return };
            if !self.accounts.may_guess(client, now.mono) && self.logins.judges(client) {
                return;
            }
            let Some((claim, remote)) = self.logins.held.remove(&http) else { return };
            if let Some(response) = self.log_in(http, claim, remote, now) {
                self.reply(http, response);
            }
        }
    }

    /// Tells of a login that failed.
    fn warn_of_login(&mut self, name: &str, remote: &str, now: Now) {
        // At an open hub workers ask, too, and need no answer.
        if self.options.is_secured() {
            self.logins_refused += 1;
            let text = format!("the login of {name:?} was refused");
            self.warn(ErrorCode::AuthenticationFailed, remote, text, now);
        }
    }
}
