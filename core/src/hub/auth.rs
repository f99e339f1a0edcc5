//! Logins and sessions of a secured hub.
//!
//! A session begins with a login, holds for a fixed time whatever it is used for, and dies with the
//! process. Its id is a random UUID in the cookie `SessionID`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::rate::RateLimit;
use crate::base::entropy::Entropy;
use crate::base::secret::Secret;
use crate::base::time::Instant;
use crate::dialect::beacon::wire::coordinator::{UserContext, UserRecord};
use crate::hub::options::User;

/// The most sessions; beyond, the one that ends first is dropped.
const MAX_SESSIONS: usize = 100_000;

/// Failed logins that one address may make at once, and per second.
const FAILED_LOGINS: (u64, u64) = (2, 50);

/// The name of the session's cookie.
pub(super) const COOKIE: &str = "SessionID";

/// Who made a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The session's id; `anonymous` at an open hub.
    pub(super) session: Arc<str>,
    /// Who logged in; empty at an open hub.
    pub(super) user: Arc<str>,
    /// What rate limits count by: the user, or the address.
    pub(super) client: String,
}

/// The session that every request of an open hub has.
pub(super) const ANONYMOUS: &str = "anonymous";

#[derive(Debug)]
struct Session {
    user: Arc<str>,
    record: UserRecord,
    until: Instant,
}

/// Users and sessions.
#[derive(Debug)]
pub(super) struct Auth {
    users: Vec<User>,
    ttl_ms: u64,
    sessions: HashMap<String, Session>,
    ends: BTreeSet<(Instant, String)>,
    failures: RateLimit,
}

impl Auth {
    pub(super) fn new(users: Vec<User>, ttl_ms: u64) -> Self {
        Self {
            users,
            ttl_ms,
            sessions: HashMap::new(),
            ends: BTreeSet::new(),
            failures: RateLimit::new(FAILED_LOGINS.0, FAILED_LOGINS.1),
        }
    }

    /// Tells whether logins are decided here rather than by an auth worker.
    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Looks whether an address has failed too often; returns how long to wait.
    pub(super) fn check_failures(&mut self, address: &str, now: Instant) -> Result<(), u64> {
        self.failures.check(address, now)
    }

    /// Counts a failed login.
    pub(super) fn failed(&mut self, address: &str, now: Instant) {
        let _ = self.failures.take(address, now);
    }

    /// Checks a login against the built-in users. Every user is compared, whoever it is.
    pub(super) fn check(&self, name: &str, password: &Secret) -> Option<UserRecord> {
        let mut found = None;
        for (index, user) in self.users.iter().enumerate() {
            let right = user.password == *password && !user.password.is_empty();
            if right && user.name == name {
                found = Some((index, user));
            }
        }
        let (index, user) = found?;
        Some(UserRecord {
            id: index as u64 + 1,
            name: user.name.clone(),
            roles: user.roles.clone(),
            name_first: String::new(),
            name_last: String::new(),
            full_name: user.name.clone(),
            email: String::new(),
        })
    }

    /// Begins a session; returns its id.
    pub(super) fn begin(
        &mut self,
        record: UserRecord,
        entropy: &mut Entropy,
        now: Instant,
    ) -> String {
        if self.sessions.len() >= MAX_SESSIONS
            && let Some((_, oldest)) = self.ends.pop_first()
        {
            self.sessions.remove(&oldest);
        }
        let id = entropy.uuid().to_string();
        let until = now.after(self.ttl_ms);
        self.ends.insert((until, id.clone()));
        let user = record.name.as_str().into();
        self.sessions.insert(id.clone(), Session { user, record, until });
        id
    }

    /// Finds the session that a cookie header names.
    pub(super) fn find(&self, cookie: Option<&str>, now: Instant) -> Option<(String, &UserRecord)> {
        let id = session_id(cookie?)?;
        let session = self.sessions.get(id).filter(|session| session.until > now)?;
        Some((id.to_owned(), &session.record))
    }

    /// Finds who a cookie header stands for.
    pub(super) fn caller(&self, cookie: Option<&str>, now: Instant) -> Option<Caller> {
        let id = session_id(cookie?)?;
        let session = self.sessions.get(id).filter(|session| session.until > now)?;
        let client = session.user.to_string();
        Some(Caller { session: id.into(), user: session.user.clone(), client })
    }

    /// Returns who a session belongs to, while it holds.
    pub(super) fn user(&self, session: &str, now: Instant) -> Option<&Arc<str>> {
        let session = self.sessions.get(session).filter(|session| session.until > now)?;
        Some(&session.user)
    }

    /// Ends a session.
    pub(super) fn end(&mut self, cookie: Option<&str>) {
        let Some(id) = cookie.and_then(session_id) else { return };
        if let Some(session) = self.sessions.remove(id) {
            self.ends.remove(&(session.until, id.to_owned()));
        }
    }

    /// Forgets sessions that ended.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((until, id)) = self.ends.first() {
            if *until > now {
                return;
            }
            self.sessions.remove(id);
            self.ends.pop_first();
        }
    }
}

/// Makes the record of a user whom an auth worker knows.
pub(super) fn record(context: UserContext, login: &str) -> UserRecord {
    let name = context.username.unwrap_or_else(|| login.to_owned());
    let full_name = if context.full_name.is_empty() { name.clone() } else { context.full_name };
    UserRecord {
        id: context.user_id.unwrap_or_default(),
        name,
        roles: context.roles,
        name_first: context.name_first,
        name_last: context.name_last,
        full_name,
        email: context.email,
    }
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

    fn auth() -> Auth {
        let user = User { name: "ops".into(), password: Secret::new("pw"), ..User::default() };
        Auth::new(vec![user], 100)
    }

    #[test]
    fn a_session_ends_at_its_time_however_often_it_is_used() {
        let mut auth = auth();
        let record = auth.check("ops", &Secret::new("pw")).unwrap();
        let id = auth.begin(record, &mut Entropy::new([1; 32]), Instant::from_millis(0));
        let cookie = format!("theme=dark; SessionID={id}");
        for millis in [1, 50, 99] {
            assert!(auth.caller(Some(&cookie), Instant::from_millis(millis)).is_some());
        }
        assert!(auth.caller(Some(&cookie), Instant::from_millis(100)).is_none());
        auth.expire(Instant::from_millis(100));
        assert!(auth.sessions.is_empty());
    }

    #[test]
    fn only_the_right_pair_logs_in() {
        let auth = auth();
        assert!(auth.check("ops", &Secret::new("no")).is_none());
        assert!(auth.check("nobody", &Secret::new("pw")).is_none());
        assert!(auth.check("ops", &Secret::default()).is_none());
    }

    #[test]
    fn a_logout_ends_the_session() {
        let mut auth = auth();
        let record = auth.check("ops", &Secret::new("pw")).unwrap();
        let id = auth.begin(record, &mut Entropy::new([1; 32]), Instant::from_millis(0));
        let cookie = format!("SessionID={id}");
        auth.end(Some(&cookie));
        assert!(auth.find(Some(&cookie), Instant::from_millis(1)).is_none());
    }
}
