//! Who may ask: users, logins, sessions, and how often each client may ask.
//!
//! A session begins with a login, holds for a fixed time whatever it is used for, and dies with the
//! process. Its id is a random UUID in the cookie `SessionID`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::api::options::{HubOptions, User};
use crate::base::entropy::{Entropy, Seed};
use crate::base::secret::Secret;
use crate::base::time::Instant;
use crate::dialect::beacon::coordinator::wire::{self as wire, LoginRequest, UserRecord};
use crate::dialect::beacon::coordinator::{Caller, Denial};
use crate::net::{Headers, HttpResponse};
use crate::parts::admission::address;
use crate::parts::window::Buckets;

/// The most sessions, and the most of one user; beyond, the one that ends first is dropped.
const MAX_SESSIONS: usize = 100_000;
const MAX_OF_USER: usize = 10_000;

/// The longest user name and password, in bytes.
const MAX_CREDENTIAL: usize = 1_024;

/// The name of the session's cookie.
const COOKIE: &str = "SessionID";

#[derive(Debug)]
struct Session {
    user: Arc<str>,
    record: UserRecord,
    until: Instant,
}

/// Users, sessions, rates.
#[derive(Debug)]
pub(super) struct Accounts {
    is_secured: bool,
    /// Roles that may only look.
    readers: Vec<String>,
    users: Vec<User>,
    ttl_ms: u64,
    sessions: HashMap<String, Session>,
    ends: BTreeSet<(Instant, String)>,
    /// The ends of each user's own.
    of_user: HashMap<Arc<str>, BTreeSet<(Instant, String)>>,
    failures: Buckets,
    /// Logins without a password, as workers with a join secret make them: they guess nothing.
    bare: Buckets,
    rate: Buckets,
    /// Makes the ids of sessions.
    secrets: Entropy,
}

/// What a login shows.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) password: Secret,
}

impl Claim {
    /// Tells whether it may be looked at: there is a password, and nothing is too long.
    pub(super) fn is_a_guess(&self) -> bool {
        let length = self.password.expose().len();
        (1..=MAX_CREDENTIAL).contains(&length) && self.name.len() <= MAX_CREDENTIAL
    }
}

impl From<LoginRequest> for Claim {
    fn from(request: LoginRequest) -> Self {
        let name = request.user_name.unwrap_or_default();
        Self { name, password: request.password.unwrap_or_default() }
    }
}

/// What a login leads to.
pub(super) enum Login {
    /// An answer.
    Refused(HttpResponse),
    /// A session for this user.
    Right(UserRecord),
    /// An auth worker must decide.
    Undecided { password: Secret },
}

impl Accounts {
    pub(super) fn new(options: &HubOptions, secrets: Seed) -> Self {
        Self {
            is_secured: options.is_secured(),
            readers: options.reader_roles.clone(),
            users: options.users.clone(),
            ttl_ms: options.session_ttl_ms,
            sessions: HashMap::new(),
            ends: BTreeSet::new(),
            of_user: HashMap::new(),
            failures: Buckets::of_guesses(),
            bare: Buckets::of_guesses(),
            rate: Buckets::new(options.enqueue_rate, options.enqueue_burst),
            secrets: Entropy::new(secrets),
        }
    }

    /// Finds out who makes a request; `None` when a secured hub knows no session for it.
    pub(super) fn caller(&self, headers: &Headers, remote: &str, now: Instant) -> Option<Caller> {
        if !self.is_secured {
            return Some(Caller::anonymous(address(remote)));
        }
        let (id, session) = self.session(headers.first("cookie"), now)?;
        let user = session.user.clone();
        let reads_only = session.record.roles.iter().any(|role| self.readers.contains(role));
        Some(Caller { session: id.into(), client: user.to_string(), user, reads_only })
    }

    /// Tells whether a session holds; at an open hub all do.
    pub(super) fn holds(&self, session: &str, now: Instant) -> bool {
        let known = self.sessions.get(session);
        !self.is_secured || known.is_some_and(|session| session.until > now)
    }

    /// Counts a request of a client that may not ask too often.
    ///
    /// # Errors
    /// It was one too many.
    pub(super) fn count(&mut self, client: &str, now: Instant) -> Result<(), Denial> {
        self.rate.take(client, now).map_err(|wait| Denial::later("client_rate_limit", wait))
    }

    /// Looks at a login; `is_judged` tells whether an auth worker is there to decide.
    pub(super) fn login(
        &mut self,
        Claim { name, password }: Claim,
        remote: &str,
        is_judged: bool,
        now: Instant,
    ) -> Login {
        if name.is_empty() {
            return Login::Refused(refused("UserName is required."));
        }
        let address = address(remote);
        if password.is_empty() {
            // Who may go on without a login goes on: there is no 429, however many come from there.
            let is_asked = is_judged && self.is_secured && self.users.is_empty();
            if name.len() > MAX_CREDENTIAL || !is_asked || self.bare.take(address, now).is_err() {
                return Login::Refused(failed());
            }
            return Login::Undecided { password };
        }
        if self.failures.check(address, now).is_err() {
            let text = wire::login_refused("Too many failed logins.");
            return Login::Refused(HttpResponse::json(429, text).retry_later());
        }
        if name.len() > MAX_CREDENTIAL || password.expose().len() > MAX_CREDENTIAL {
            return Login::Refused(failed());
        }
        if !self.users.is_empty() {
            return match self.check(&name, &password) {
                Some(user) => Login::Right(user),
                None => {
                    let _ = self.failures.take(address, now);
                    Login::Refused(failed())
                }
            };
        }
        if !self.is_secured || !is_judged {
            return Login::Refused(failed());
        }
        // Counted as wrong until it is right: whoever guesses does not wait for an answer.
        let _ = self.failures.take(address, now);
        Login::Undecided { password }
    }

    /// Tells whether an address has a guess left.
    pub(super) fn may_guess(&mut self, client: &str, now: Instant) -> bool {
        self.failures.check(client, now).is_ok()
    }

    /// Takes back that a login was counted: it was right, or nobody looked at it. `is_guess` tells whether it
    /// had a password.
    pub(super) fn was_no_guess(&mut self, remote: &str, is_guess: bool, now: Instant) {
        let counted = if is_guess { &mut self.failures } else { &mut self.bare };
        counted.give_back(address(remote), now);
    }

    /// Begins a session, for which the oldest may have to go. Returns the answer.
    pub(super) fn begin(&mut self, record: UserRecord, now: Instant) -> HttpResponse {
        let user: Arc<str> = record.name.as_str().into();
        let own = self.of_user.get(&user).filter(|own| own.len() >= MAX_OF_USER);
        let full = own.or((self.sessions.len() >= MAX_SESSIONS).then_some(&self.ends));
        if let Some((_, oldest)) = full.and_then(|ends| ends.first()).cloned() {
            self.end(&oldest);
        }
        let id = self.secrets.uuid().to_string();
        let until = now.after(self.ttl_ms);
        self.ends.insert((until, id.clone()));
        self.of_user.entry(user.clone()).or_default().insert((until, id.clone()));
        let mut response = HttpResponse::json(200, wire::logged_in(&id, &record));
        response.headers.push("set-cookie", format!("{COOKIE}={id}; Path=/; HttpOnly"));
        self.sessions.insert(id, Session { user, record, until });
        response
    }

    /// Answers whether a session holds.
    pub(super) fn check_session(&self, headers: &Headers, now: Instant) -> HttpResponse {
        let session = self.session(headers.first("cookie"), now);
        let text = session
            .map_or_else(wire::logged_out, |(id, session)| wire::logged_in(id, &session.record));
        HttpResponse::json(200, text)
    }

    /// Ends a session, if there is one. Returns the answer.
    pub(super) fn log_out(&mut self, headers: &Headers) -> HttpResponse {
        if let Some(id) = headers.first("cookie").and_then(session_id) {
            self.end(id);
        }
        let mut response = HttpResponse::json(200, wire::logged_out());
        let expired = format!("{COOKIE}=; Path=/; HttpOnly; Max-Age=0");
        response.headers.push("set-cookie", expired);
        response
    }

    /// Returns how many sessions hold.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Forgets sessions that ended.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((_, id)) = self.ends.first().filter(|(until, _)| *until <= now).cloned() {
            self.end(&id);
        }
    }

    /// Ends a session.
    fn end(&mut self, id: &str) {
        let Some((id, session)) = self.sessions.remove_entry(id) else { return };
        let end = (session.until, id);
        self.ends.remove(&end);
        if let Some(own) = self.of_user.get_mut(&session.user) {
            own.remove(&end);
            if own.is_empty() {
                self.of_user.remove(&session.user);
            }
        }
    }

    fn session<'a>(
        &'a self,
        cookie: Option<&'a str>,
        now: Instant,
    ) -> Option<(&'a str, &'a Session)> {
        let id = session_id(cookie?)?;
        let session = self.sessions.get(id).filter(|session| session.until > now)?;
        Some((id, session))
    }

    /// Checks a login against the built-in users. Every user is compared, whoever it is.
    fn check(&self, name: &str, password: &Secret) -> Option<UserRecord> {
        let right = self.users.iter().enumerate().filter(|(_, user)| {
            let is_right = user.password == *password && !user.password.is_empty();
            is_right && user.name == name
        });
        let (index, user) = right.reduce(|_, other| other)?;
        Some(UserRecord {
            id: index as u64 + 1,
            name: user.name.clone(),
            roles: user.roles.clone(),
            full_name: user.name.clone(),
            ..UserRecord::default()
        })
    }
}

/// Makes the record of a user whom an auth worker knows; one that it does not name is who logged in.
pub(super) fn record(user: UserRecord, login: String) -> UserRecord {
    let name = if user.name.is_empty() { login } else { user.name };
    let full_name = if user.full_name.is_empty() { name.clone() } else { user.full_name };
    UserRecord { name, full_name, ..user }
}

/// The answer to a login that an auth worker did not decide.
pub(super) fn undecided() -> HttpResponse {
    HttpResponse::json(503, wire::login_refused("The auth beacon did not decide.")).retry_later()
}

fn refused(text: &str) -> HttpResponse {
    HttpResponse::json(200, wire::login_refused(text))
}

/// The answer to a login that is wrong.
pub(super) fn failed() -> HttpResponse {
    refused("Authentication failed.")
}

fn session_id(cookie: &str) -> Option<&str> {
    cookie.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::options::HubAccess;

    fn accounts() -> Accounts {
        let user = User { name: "ops".into(), password: Secret::new("pw"), ..User::default() };
        let options = HubOptions {
            access: HubAccess::Secured,
            users: vec![user],
            session_ttl_ms: 100,
            ..HubOptions::default()
        };
        Accounts::new(&options, [1; 32])
    }

    fn log_in(accounts: &mut Accounts) -> Headers {
        let record = accounts.check("ops", &Secret::new("pw")).unwrap();
        let response = accounts.begin(record, at(0));
        let cookie = response.headers.first("set-cookie").unwrap();
        Headers::new().with("cookie", format!("theme=dark; {cookie}"))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_session_ends_at_its_time_however_often_it_is_used() {
        let mut accounts = accounts();
        let headers = log_in(&mut accounts);
        for millis in [1, 50, 99] {
            assert!(accounts.caller(&headers, "a:1", at(millis)).is_some());
        }
        assert!(accounts.caller(&headers, "a:1", at(100)).is_none());
        accounts.expire(at(100));
        assert!(accounts.sessions.is_empty());
    }

    #[test]
    fn only_the_right_pair_logs_in() {
        let accounts = accounts();
        assert!(accounts.check("ops", &Secret::new("no")).is_none());
        assert!(accounts.check("nobody", &Secret::new("pw")).is_none());
        assert!(accounts.check("ops", &Secret::default()).is_none());
    }

    #[test]
    fn a_logout_ends_the_session() {
        let mut accounts = accounts();
        let headers = log_in(&mut accounts);
        accounts.log_out(&headers);
        assert!(accounts.caller(&headers, "a:1", at(1)).is_none());
    }

    #[test]
    fn a_user_with_many_sessions_drops_no_others() {
        let mut accounts = accounts();
        let other =
            accounts.begin(UserRecord { name: "other".into(), ..UserRecord::default() }, at(0));
        let cookie = other.headers.first("set-cookie").unwrap().to_owned();
        let other = Headers::new().with("cookie", cookie);
        let first = log_in(&mut accounts);
        for _ in 0..MAX_OF_USER - 1 {
            log_in(&mut accounts);
        }
        assert!(accounts.caller(&first, "a:1", at(1)).is_some());
        let last = log_in(&mut accounts);
        let holds = |headers| accounts.caller(headers, "a:1", at(1)).is_some();
        let known = accounts.sessions.len();
        let ends = (accounts.ends.len(), accounts.of_user["ops"].len());
        assert_eq!((known, ends), (MAX_OF_USER + 1, (MAX_OF_USER + 1, MAX_OF_USER)));
        assert!(holds(&other) && holds(&last));
        accounts.expire(at(100));
        assert!(
            accounts.sessions.is_empty() && accounts.ends.is_empty() && accounts.of_user.is_empty()
        );
    }
}
