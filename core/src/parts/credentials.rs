//! Who we are at the control plane: name and password, and the session that they were traded for.
//!
//! The session is dropped before every dial and whenever the peer calls it invalid; a peer that has
//! never honoured it is not asked again at once.

use crate::base::secret::Secret;

/// The credentials of one session.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Secret,
    /// The session to show, if there is one.
    pub(crate) session: Option<Secret>,
    /// Whether the peer answered a request that needs a valid session.
    pub(crate) honoured: bool,
}

impl Credentials {
    pub(crate) const fn new(user: String, password: Secret) -> Self {
        Self { user, password, session: None, honoured: false }
    }

    /// Keeps a session that the peer gave us.
    pub(crate) fn keep(&mut self, session: Option<Secret>) {
        self.session = session;
        self.honoured = false;
    }

    /// Drops the session; tells whether it had been of use, so that a new one is worth asking for.
    pub(crate) fn drop_session(&mut self) -> bool {
        self.session = None;
        std::mem::take(&mut self.honoured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_was_of_use_is_worth_renewing_once() {
        let mut credentials = Credentials::new("w".into(), Secret::new("p"));
        credentials.keep(Some(Secret::new("SessionID=1")));
        assert!(!credentials.drop_session());
        credentials.keep(Some(Secret::new("SessionID=2")));
        credentials.honoured = true;
        assert!(credentials.drop_session());
        assert!(!credentials.drop_session());
        assert!(credentials.session.is_none());
    }
}
