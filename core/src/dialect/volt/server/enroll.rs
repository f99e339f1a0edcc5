//! Enrollment: one-time tokens become passwords. What is stored, and how it comes back.
//!
//! | space | key | record |
//! |---|---|---|
//! | `volt.daemon` | team cluster id | the hash of the password, when it enrolled |
//! | `volt.token` | id | the hash of the token, whom it enrolls, until when, whether it was used |
//!
//! Tokens and passwords are 256 random bits; only their SHA-256 is kept.

use bytes::Bytes;
use bytestring::ByteString;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::daemons::Daemon;
use super::{VoltServer, control, wire};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::HttpId;
use crate::base::json::object::{Object, list};
use crate::base::secret::Secret;
use crate::base::store::{Loaded, read_all};
use crate::base::time::{Instant, Now, UnixMillis};
use crate::machine::Output;
use crate::net::{HttpRequest, HttpResponse, Method, http};

/// Where daemons are stored.
pub(super) const DAEMONS: &str = "volt.daemon";
const TOKENS: &str = "volt.token";

/// Every space, in the order of loading.
pub(crate) const SPACES: [&str; 2] = [DAEMONS, TOKENS];

/// The longest id and name, in bytes.
const MAX_NAME: usize = 256;

/// The longest time a token may be good for: ten years.
const MAX_TTL_MS: u64 = 315_360_000_000;

/// The SHA-256 of a secret; stored as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Hash(#[serde(with = "hex::serde")] [u8; 32]);

/// Hashes a secret.
pub(super) fn digest(secret: &str) -> Hash {
    Hash(Sha256::digest(secret.as_bytes()).into())
}

impl Hash {
    /// Tells whether this is the hash of `secret`, in the same time whatever it is.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&digest(secret).0).into()
    }
}

/// A one-time token, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    hash: Hash,
    cluster: String,
    name: String,
    created: UnixMillis,
    expires: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<UnixMillis>,
    /// When it expires in this process, whose wall clock may be set back.
    #[serde(skip)]
    until: Instant,
}

/// What a token is made of.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct NewToken {
    /// The id under which the daemon will register.
    #[serde(rename = "TeamClusterID")]
    cluster: String,
    /// What people call it; empty takes the id.
    #[serde(default)]
    name: String,
    /// How long the token is good for; 0 takes the option's time.
    #[serde(default)]
    expires_ms: u64,
}

/// What is stored of a daemon.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// What people call it: the name of the token that enrolled it.
    pub(super) name: String,
    /// The hash of its password; none before it enrolled. Not named after the password: recordings
    /// hide that, and a replay needs the hash that was loaded.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) digest: Option<Hash>,
    pub(super) version: Option<String>,
    pub(super) created: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enrolled: Option<UnixMillis>,
}

/// Takes what is no hash for none: the daemon can enroll again.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hash>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let mut hash = [0; 32];
    Ok(text.filter(|text| hex::decode_to_slice(text, &mut hash).is_ok()).map(|_| Hash(hash)))
}

/// Refuses an enrollment.
fn refused(status: u16, code: Option<&str>, message: &str) -> HttpResponse {
    HttpResponse::json(status, wire::enrollment_refused(status, code, message))
}

/// Returns the id in the path of an enrollment.
pub(super) fn cluster_of(url: &str) -> Option<String> {
    let id = http::path(url).strip_prefix("/api/team-clusters/")?.strip_suffix("/healthcheck")?;
    if id.is_empty() || id.contains('/') {
        return None;
    }
    Some(percent_decode_str(id).decode_utf8_lossy().into_owned())
}

impl VoltServer {
    /// Answers an enrollment, once what it changes is stored.
    pub(super) fn enroll(
        &mut self,
        http: HttpId,
        cluster: &str,
        request: &HttpRequest,
        remote: &str,
    ) {
        if self.journal.is_failing {
            let text = Object::new().text("Error", "The store is not available.").end();
            return self.reply(http, HttpResponse::json(503, text).retry_later());
        }
        if request.method != Method::Post {
            return self.reply(http, refused(404, Some("Route::NotFound"), "Not Found"));
        }
        let address = crate::parts::admission::address(remote);
        if let Err(wait) = self.enrollments.count(address, self.clock.mono) {
            let text = "Too many team cluster lifecycle requests, please try again later";
            let mut response = refused(429, None, text);
            response.headers.push("retry-after", wait.div_ceil(1_000).max(1).to_string());
            return self.reply(http, response);
        }
        let response = match self.exchange(cluster, &request.body) {
            Ok(text) => HttpResponse::json(200, text).uncached(),
            // A token that is used may not be stored as such yet.
            Err(refusal) => refusal,
        };
        self.hold(Output::HttpReply { http, response });
    }

    /// Makes a password of a token.
    fn exchange(&mut self, cluster: &str, body: &Bytes) -> Result<String, HttpResponse> {
        let now = self.clock.unix;
        let body = std::str::from_utf8(body).unwrap_or_default();
        let (token, version) = wire::enrollment(body)
            .map_err(|text| refused(400, Some(wire::INVALID_INPUT), &text))?;
        if !self.daemons.contains_key(cluster) {
            return Err(refused(404, Some("TeamCluster::NotFound"), wire::UNKNOWN_CLUSTER));
        }
        let invalid = || {
            let code = Some("TeamCluster::EnrollmentInvalid");
            refused(401, code, "Invalid enrollment credentials")
        };
        let id = self.token_by_hash.get(&digest(&token)).ok_or_else(invalid)?.clone();
        let token = self.tokens.get_mut(&id).filter(|token| token.cluster == cluster);
        let token = token.ok_or_else(invalid)?;
        if token.used.is_some() {
            let code = Some("TeamCluster::EnrollmentAlreadyCompleted");
            return Err(refused(409, code, "Team cluster enrollment has already been completed"));
        }
        if token.until <= self.clock.mono {
            return Err(invalid());
        }
        token.used = Some(now);
        let name = token.name.clone();
        self.store_token(&id);
        let password = self.secret();
        let Some(daemon) = self.daemons.get_mut(cluster) else { return Err(invalid()) };
        daemon.record.digest = Some(digest(password.expose()));
        daemon.record.enrolled = Some(now);
        daemon.record.version = version.or_else(|| daemon.record.version.take());
        daemon.record.name = name;
        let text = wire::enrolled(cluster, daemon, now, password.expose());
        self.store_daemon(cluster);
        Ok(text)
    }

    /// Makes 256 random bits, in hexadecimal digits.
    fn secret(&mut self) -> Secret {
        Secret::new(hex::encode(self.secrets.seed()))
    }

    /// Makes a token; the answer shows it, once.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` for an id or name of the wrong length or a time that is too long,
    /// `OVERLOADED` when there are too many tokens or daemons.
    pub(super) fn create_token(&mut self, body: &ByteString) -> Result<String, Error> {
        let new: NewToken = control::read("The token", body)?;
        let now = self.clock.unix;
        let cluster = new.cluster.trim().to_owned();
        if cluster.is_empty() || cluster.len() > MAX_NAME || cluster.contains('/') {
            return Err(invalid("TeamClusterID must have 1 to 256 bytes and no slash."));
        }
        if new.name.len() > MAX_NAME {
            return Err(invalid("Name must have at most 256 bytes."));
        }
        if new.expires_ms > MAX_TTL_MS {
            return Err(invalid("ExpiresMs is more than ten years."));
        }
        if self.daemons.get(&cluster).is_some_and(|daemon| daemon.is_configured) {
            return Err(invalid("The daemon's password stands in the hub's options."));
        }
        self.make_room()?;
        let ttl = if new.expires_ms == 0 { self.options.token_ttl_ms } else { new.expires_ms };
        let name = if new.name.trim().is_empty() { cluster.clone() } else { new.name };
        if !self.daemons.contains_key(&cluster) {
            if self.daemons.len() as u64 >= self.options.max_daemons {
                return Err(Error::new(ErrorCode::Overloaded, "There are too many daemons."));
            }
            let record = Record { name: name.clone(), created: now, ..Record::default() };
            self.daemons.insert(cluster.clone(), Daemon::new(record));
            self.store_daemon(&cluster);
        }
        let secret = self.secret();
        let id = self.entropy.uuid().to_string();
        let hash = digest(secret.expose());
        let expires = UnixMillis(now.0.saturating_add(ttl));
        let until = self.clock.mono.after(ttl);
        let token = Token { hash, cluster, name, created: now, expires, used: None, until };
        let text = Object::new()
            .text("TokenID", &id)
            .text("TeamClusterID", &token.cluster)
            .text("Name", &token.name)
            .text("Token", secret.expose())
            .plain("Expires", expires)
            .end();
        self.token_by_hash.insert(hash, id.clone());
        self.tokens.insert(id.clone(), token);
        self.store_token(&id);
        Ok(text)
    }

    /// Drops the oldest token that was used or has expired, if there are too many.
    fn make_room(&mut self) -> Result<(), Error> {
        if (self.tokens.len() as u64) < self.options.max_tokens {
            return Ok(());
        }
        let now = self.clock.mono;
        let over =
            self.tokens.iter().filter(|(_, token)| token.used.is_some() || token.until <= now);
        let Some((id, _)) = over.min_by_key(|(_, token)| token.created) else {
            return Err(Error::new(ErrorCode::Overloaded, "There are too many tokens."));
        };
        self.drop_token(&id.clone());
        Ok(())
    }

    /// Removes a token.
    ///
    /// # Errors
    /// `NO_WORKER` for one that is not known.
    pub(super) fn revoke_token(&mut self, id: &str) -> Result<String, Error> {
        if !self.drop_token(id) {
            return Err(Error::new(ErrorCode::NoWorker, "No token has this id."));
        }
        Ok(Object::new().text("TokenID", id).flag("Revoked", true).end())
    }

    /// Removes every token for a daemon.
    pub(super) fn revoke_tokens_of(&mut self, cluster: &str) {
        let theirs = self.tokens.iter().filter(|(_, token)| token.cluster == cluster);
        let ids: Vec<String> = theirs.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.drop_token(&id);
        }
    }

    fn drop_token(&mut self, id: &str) -> bool {
        let Some(token) = self.tokens.remove(id) else { return false };
        self.token_by_hash.remove(&token.hash);
        self.journal.delete(TOKENS, id);
        true
    }

    /// Gives a daemon a new password; the answer shows it, once. Its session stays; it needs the
    /// new one for its next registration and heartbeat.
    ///
    /// # Errors
    /// `NO_WORKER` for an unknown daemon, `ARGUMENT_INVALID` for one from the options.
    pub(super) fn rotate_password(&mut self, cluster: &str) -> Result<String, Error> {
        let password = self.secret();
        let Some(daemon) = self.daemons.get_mut(cluster) else {
            return Err(super::daemons::unknown(cluster));
        };
        if daemon.is_configured {
            return Err(invalid("The daemon's password stands in the hub's options."));
        }
        daemon.record.digest = Some(digest(password.expose()));
        daemon.record.enrolled = daemon.record.enrolled.or(Some(self.clock.unix));
        self.store_daemon(cluster);
        Ok(Object::new()
            .text("TeamClusterID", cluster)
            .text("DaemonPassword", password.expose())
            .end())
    }

    /// Shows every token, without the secret.
    pub(super) fn show_tokens(&self) -> String {
        list(self.tokens.iter().map(|(id, token)| {
            let state = match token.used {
                Some(_) => "used",
                None if token.until <= self.clock.mono => "expired",
                None => "open",
            };
            Object::new()
                .text("TokenID", id)
                .text("TeamClusterID", &token.cluster)
                .text("Name", &token.name)
                .text("State", state)
                .plain("Created", token.created)
                .plain("Expires", token.expires)
                .plain_or_null("Used", token.used)
                .end()
        }))
    }

    fn store_token(&mut self, id: &str) {
        let Some(token) = self.tokens.get(id) else { return };
        let value = serde_json::to_string(token).unwrap_or_default();
        self.journal.put(TOKENS, id, value);
    }

    fn store_daemon(&mut self, cluster: &str) {
        let Some(daemon) = self.daemons.get(cluster) else { return };
        let value = serde_json::to_string(&daemon.record).unwrap_or_default();
        self.journal.put(DAEMONS, cluster, value);
    }

    /// Takes over what was stored; returns how many records cannot be read.
    pub(crate) fn restore(&mut self, spaces: &mut Loaded, now: Now) -> usize {
        let mut unreadable = 0;
        let mut take = |space| spaces.remove(space).unwrap_or_default();
        let daemons = read_all(take(DAEMONS), read, &mut unreadable);
        for (id, record) in daemons {
            // What the options say of a daemon wins.
            self.daemons.entry(id).or_insert_with(|| Daemon::new(record));
        }
        let tokens: Vec<(String, Token)> = read_all(take(TOKENS), read, &mut unreadable);
        for (id, mut token) in tokens {
            // A clock that was set back gives no token more time than it was made for.
            let left = token.expires.0.saturating_sub(now.unix.0.max(token.created.0));
            token.until = now.mono.after(left);
            self.token_by_hash.insert(token.hash, id.clone());
            self.tokens.insert(id, token);
        }
        unreadable
    }
}

fn read<T: DeserializeOwned>(id: &str, bytes: &[u8]) -> Option<(String, T)> {
    Some((id.to_owned(), serde_json::from_slice(bytes).ok()?))
}
