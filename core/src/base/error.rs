//! Errors with stable codes, declared once.
//!
//! One table gives every code its number, its name, whose fault it is, whether a retry can help, its
//! meaning and its fix. Constants, texts, the C header, the TypeScript and Python types and the
//! documentation page are generated from it. Numbers and names are never reused.

use std::fmt;

use serde::{Serialize, Serializer};

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The application misused the API or its options.
    Caller,
    /// The other side broke the protocol or refused.
    Peer,
    /// The connection or its establishment failed.
    Transport,
    /// A deadline passed.
    Deadline,
    /// User code that handled a work item failed.
    Handler,
    /// A defect of Moorline itself.
    Internal,
}

macro_rules! error_codes {
    ($(
        #[doc = $meaning:literal]
        #[doc = $blank:literal]
        #[doc = $fix:literal]
        $number:literal $variant:ident $name:literal $fault:ident $retryable:literal;
    )+) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorCode {
            $(#[doc = $meaning] #[doc = $blank] #[doc = $fix] $variant = $number,)+
        }

        impl ErrorCode {
            /// Every code, in order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the stable name, such as `CALL_TIMEOUT`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns whose fault it is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)+ }
            }

            /// Tells whether the same call may succeed later.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)+ }
            }

            /// Returns one sentence on what happened.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)+ }
            }

            /// Returns one sentence on what to do.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix.trim_ascii(),)+ }
            }
        }
    };
}

error_codes! {
    /// An option is missing, unknown or out of its range.
    ///
    /// Correct the options that the message names.
    100 ConfigInvalid "CONFIG_INVALID" Caller false;
    /// An argument of a call is not of the documented shape.
    ///
    /// Correct the argument that the message names.
    101 ArgumentInvalid "ARGUMENT_INVALID" Caller false;
    /// The dialect or role is not one that this build speaks.
    ///
    /// Use one of the dialects and roles listed in the message.
    102 RoleUnknown "ROLE_UNKNOWN" Caller false;
    /// The role has no such call.
    ///
    /// See the table of calls for the role that was opened.
    103 Unsupported "UNSUPPORTED" Caller false;
    /// start was called twice.
    ///
    /// Call start once; open a new handle for another session.
    104 AlreadyStarted "ALREADY_STARTED" Caller false;
    /// The call needs a started session.
    ///
    /// Call start first.
    105 NotStarted "NOT_STARTED" Caller false;
    /// The session has been stopped.
    ///
    /// Open a new handle.
    106 Stopped "STOPPED" Caller false;
    /// The handle belongs to the parent process.
    ///
    /// Open a new handle in the child process.
    107 Forked "FORKED" Caller false;
    /// The work item is not running here: it was settled or withdrawn before.
    ///
    /// Complete a work item once, and stop when it is withdrawn.
    108 WorkUnknown "WORK_UNKNOWN" Caller false;
    /// No handler is registered under that key.
    ///
    /// Register the handler before start, or correct its key.
    109 HandlerUnknown "HANDLER_UNKNOWN" Caller false;
    /// A bounded queue of this process is full.
    ///
    /// Wait for earlier calls, or raise the limit that the message names.
    110 Overloaded "OVERLOADED" Caller true;
    /// A payload exceeds a size limit.
    ///
    /// Send less, or raise the limit that the message names on both sides.
    111 TooLarge "TOO_LARGE" Caller false;
    /// The input that a call refers to no longer exists.
    ///
    /// Nothing is left to be done for it.
    112 InputGone "INPUT_GONE" Caller false;
    /// The session is not registered at the control plane, or ceased to be during the call.
    ///
    /// Wait until the session is ready; whether an open call was carried out is unknown.
    113 NotReady "NOT_READY" Transport true;
    /// No reply came before the deadline of the call.
    ///
    /// Retry with the same idempotency key, or allow more time.
    200 CallTimeout "CALL_TIMEOUT" Deadline true;
    /// The caller cancelled the call.
    ///
    /// Nothing: it was asked for.
    201 CallCancelled "CALL_CANCELLED" Deadline false;
    /// The work item ran longer than its time limit.
    ///
    /// Give the item more time, or make the handler honour its deadline.
    202 WorkExpired "WORK_EXPIRED" Deadline false;
    /// The connection was not established and registered in time.
    ///
    /// Check address and network; the session tries again by itself.
    203 ConnectTimeout "CONNECT_TIMEOUT" Deadline true;
    /// Work was still running when the drain deadline passed.
    ///
    /// Allow more time to drain, or make handlers honour withdrawal.
    204 DrainTimeout "DRAIN_TIMEOUT" Deadline false;
    /// The connection could not be established.
    ///
    /// Check that the control plane runs and is reachable; the session tries again by itself.
    300 ConnectFailed "CONNECT_FAILED" Transport true;
    /// The connection ended.
    ///
    /// Nothing: the session connects again by itself.
    301 ConnectionLost "CONNECTION_LOST" Transport true;
    /// The other side did not answer two pings in a row.
    ///
    /// Nothing: the session connects again by itself.
    302 PeerSilent "PEER_SILENT" Transport true;
    /// TLS could not be established.
    ///
    /// Check names, dates and trust of the certificates that the message names.
    303 TlsFailed "TLS_FAILED" Transport true;
    /// The proxy refused or failed.
    ///
    /// Check the proxy settings of the environment.
    304 ProxyFailed "PROXY_FAILED" Transport true;
    /// The address could not be listened on.
    ///
    /// Choose another address or end the program that holds it.
    305 ListenFailed "LISTEN_FAILED" Transport false;
    /// The store could not be read or written.
    ///
    /// Check space, permissions and health of the file that the message names.
    306 StoreFailed "STORE_FAILED" Transport true;
    /// The control plane refused the registration.
    ///
    /// Check name and join secret against the control plane's configuration.
    400 PeerRefused "PEER_REFUSED" Peer false;
    /// The control plane did not accept the credentials.
    ///
    /// Check user name and password.
    401 AuthenticationFailed "AUTHENTICATION_FAILED" Peer false;
    /// The other side sent something that the protocol does not allow.
    ///
    /// Check that both sides speak the same dialect and version.
    402 PeerProtocol "PEER_PROTOCOL" Peer true;
    /// The other side answered with an error.
    ///
    /// See the message: it is the other side's own.
    403 RemoteError "REMOTE_ERROR" Peer false;
    /// No worker is registered at the control plane.
    ///
    /// Start a worker that offers the capability.
    404 NoWorker "NO_WORKER" Peer true;
    /// The control plane asked for fewer requests.
    ///
    /// Send fewer requests, or wait as long as the message says.
    405 RateLimited "RATE_LIMITED" Peer true;
    /// The control plane no longer knows the work item; its outcome was not taken.
    ///
    /// Look up the item at the control plane: another attempt may have settled it.
    406 WorkLost "WORK_LOST" Peer false;
    /// The control plane did not enroll this daemon.
    ///
    /// Check the enrollment token and the address; a token is good for one enrollment.
    407 EnrollmentFailed "ENROLLMENT_FAILED" Peer false;
    /// The connection stands but the control plane did not confirm the registration.
    ///
    /// Check the cluster id and the daemon's password; the session tries again by itself.
    408 RegistrationFailed "REGISTRATION_FAILED" Peer true;
    /// Another worker registered this worker's name.
    ///
    /// Give every worker a name of its own; this one comes back when the name is free.
    409 NameTaken "NAME_TAKEN" Peer true;
    /// A worker gets no new work, or gets it again: an operator said so.
    ///
    /// Nothing: it was asked for. `moorline drain NAME --resume` gives it work again.
    410 WorkerDrained "WORKER_DRAINED" Caller false;
    /// A handler failed.
    ///
    /// See the message: it is the handler's own.
    500 HandlerFailed "HANDLER_FAILED" Handler false;
    /// The program around Moorline has not run its event loop for too long.
    ///
    /// Move blocking code off the event loop.
    501 HostStalled "HOST_STALLED" Handler true;
    /// A heartbeat could not be made: its payload factory failed.
    ///
    /// See the message: it is the factory's own.
    502 HeartbeatFailed "HEARTBEAT_FAILED" Handler true;
    /// Moorline itself failed.
    ///
    /// Report it, with the flight recorder's file if there is one.
    900 Internal "INTERNAL" Internal false;
}

impl ErrorCode {
    /// Returns the stable number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The longest message that an error carries, in bytes.
pub const MAX_MESSAGE: usize = 512;

/// What went wrong, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
    status: Option<u16>,
    cause: Option<Box<Self>>,
}

impl Error {
    /// Makes an error. Control characters are escaped; the message is cut at [`MAX_MESSAGE`] bytes.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        Self { code, message: printable(message.as_ref()), status: None, cause: None }
    }

    /// Returns the code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Adds the status that the other side gave its refusal, such as 404.
    #[must_use]
    pub const fn with_status(mut self, status: Option<u16>) -> Self {
        self.status = status;
        self
    }

    /// Returns the status that the other side gave its refusal, if it gave one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Adds the error that led to this one, such as that of a dial. It is data of this process: it is
    /// not written with the error.
    #[must_use]
    pub fn with_cause(mut self, cause: Self) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// Returns what happened, in the words of whoever noticed it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }
}

/// Makes the error of an argument that is not of the documented shape.
pub(crate) fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::ArgumentInvalid, message)
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.meaning())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let fields = 5 + usize::from(self.status.is_some());
        let mut error = serializer.serialize_struct("Error", fields)?;
        error.serialize_field("code", self.code.name())?;
        error.serialize_field("number", &self.code.number())?;
        error.serialize_field("message", &self.message)?;
        error.serialize_field("fault", &self.code.fault())?;
        error.serialize_field("retryable", &self.code.is_retryable())?;
        match &self.status {
            Some(status) => error.serialize_field("status", status)?,
            None => error.skip_field("status")?,
        }
        error.end()
    }
}

/// Escapes control characters and cuts at [`MAX_MESSAGE`] bytes, on a character boundary.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_MESSAGE));
    for c in text.chars() {
        let before = out.len();
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > MAX_MESSAGE {
            out.truncate(before);
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_ordered() {
        let numbers: Vec<_> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn a_cause_is_the_source_and_is_not_written() {
        let plain = Error::new(ErrorCode::ConnectFailed, "gave up");
        let error = plain.clone().with_cause(Error::new(ErrorCode::TlsFailed, "expired"));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "TLS_FAILED: expired");
        let written = |error| serde_json::to_string(error).unwrap();
        assert_eq!(written(&error), written(&plain));
    }

    #[test]
    fn messages_are_printable_and_bounded() {
        let error = Error::new(ErrorCode::RemoteError, "a\u{1b}[31m".repeat(1_000));
        assert!(error.message().len() <= MAX_MESSAGE);
        assert!(!error.message().contains('\u{1b}'));
    }
}
