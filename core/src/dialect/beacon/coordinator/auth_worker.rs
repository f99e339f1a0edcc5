//! Workers of the capability Authentication: they decide about logins, and about workers that join.

use serde::de::DeserializeOwned;

use super::Coordinator;
use super::clients::{Denial, Submitted};
use super::item::{Ending, Item, Order, Waiter};
use super::results::Finished;
use super::wire::{self, JoinOutputs, LoginOutputs, UserRecord};
use crate::base::error::ErrorCode;
use crate::base::ids::{ConnId, HttpId};
use crate::base::json;
use crate::base::json::Raw;
use crate::base::time::Now;

/// The capability of workers that decide about logins and joins.
pub(super) const AUTHENTICATION: &str = "Authentication";

/// Time for an auth worker to answer. Source: `ultravisor` 1.3.24.
const AUTH_TIMEOUT_MS: u64 = 5_000;

/// What an auth worker says about a login.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The request that wants to log in.
    pub(crate) http: HttpId,
    /// Who logs in, or nobody; or why nothing was decided.
    pub(crate) user: Result<Option<UserRecord>, String>,
}

impl Coordinator {
    /// Tells whether there is an auth worker, which can be asked about logins.
    pub(crate) fn judges_logins(&self) -> bool {
        self.registry.offers(AUTHENTICATION)
    }

    /// Asks an auth worker whether a login is right. The answer is a [`Decision`].
    pub(crate) fn ask_login(
        &mut self,
        http: HttpId,
        name: &str,
        password: &str,
        now: Now,
    ) -> Result<(), Denial> {
        let question = wire::login_question(name, password);
        self.ask_auth_worker("AUTH_Login", question, Waiter::Login { http }, now)
    }

    /// Asks an auth worker; the hub's own item is neither stored nor shown. As many may wait as items of
    /// others, beside them.
    pub(super) fn ask_auth_worker(
        &mut self,
        action: &str,
        settings: String,
        waiter: Waiter,
        now: Now,
    ) -> Result<(), Denial> {
        if self.items.internal as u64 >= self.options.max_queued {
            return Err(Denial::later("queued_depth_exceeded", 1_000));
        }
        let hash = self.mint_hash("", "", now);
        let settings = Raw::trusted(settings);
        let order = Order {
            timeout_ms: AUTH_TIMEOUT_MS,
            direct: true,
            internal: true,
            ..Order::new(hash, AUTHENTICATION, action, settings, now.unix)
        };
        let id = self.insert(Item::new(order, i64::MAX, self.items.next), now);
        self.attach(Submitted::Item(id), waiter, now);
        Ok(())
    }

    /// Takes an auth worker's word on a login.
    pub(super) fn decide_login(&mut self, http: HttpId, done: &Finished) {
        let user = said::<LoginOutputs>(done)
            .map(|said| said.success.then(|| said.user_context.unwrap_or_default()));
        self.decisions.push(Decision { http, user });
    }

    /// Lets a worker in, or not, as an auth worker decided.
    pub(super) fn decide_join(&mut self, conn: ConnId, done: &Finished, now: Now) {
        let verdict = match said(done) {
            Ok(JoinOutputs { allowed: true, .. }) => Ok(()),
            Ok(JoinOutputs { reason, .. }) => {
                Err(reason.unwrap_or_else(|| "Join denied".to_owned()))
            }
            // Nobody was refused: the worker comes back.
            Err(problem) => {
                let text = format!("a join is undecided: {problem}");
                let from = self.accepted.address(conn).to_owned();
                self.warn(ErrorCode::PeerProtocol, &from, text, now);
                return self.put_off(conn, now);
            }
        };
        self.joined(conn, verdict, now);
    }
}

/// Reads what an auth worker said, or why that is nothing. One that fails refuses.
fn said<T: DeserializeOwned + Default>(done: &Finished) -> Result<T, String> {
    let who = done.holder.as_ref().map_or("", |holder| &*holder.name);
    match &done.result {
        Ok((outputs, _)) => serde_json::from_str(outputs.as_str()).map_err(|e| {
            format!("the Outputs of auth worker {who:?} are not valid: {}", json::flaw(&e))
        }),
        Err(_) if done.ending == Ending::Timeout => {
            Err(format!("auth worker {who:?} did not answer within {AUTH_TIMEOUT_MS} ms"))
        }
        Err(_) => Ok(T::default()),
    }
}
