//! Words of the VOLT wire that application code spells too.

use crate::api::words::{WireLimit, WordTable};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::net::socketio::MAX_ATTACHMENTS;

/// The longest name of a command that has a handler, in bytes.
const MAX_NAME: usize = 256;

/// Checks the name of a command that is to have a handler.
///
/// # Errors
/// `ARGUMENT_INVALID` for one that is empty or too long.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if (1..=MAX_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(invalid(format!("a command's name has 1 to {MAX_NAME} bytes")))
}

/// Every set of constants of the dialect.
pub(crate) const WORDS: &[WordTable] = &[
    WordTable {
        dialect: "volt",
        name: "DaemonClientErrorCode",
        doc: "What can go wrong, in the words of the VOLT daemon client.",
        members: &[
            ("EnrollmentFailed", "ENROLLMENT_FAILED"),
            ("SocketConnectionFailed", "SOCKET_CONNECTION_FAILED"),
            ("SocketRegistrationFailed", "SOCKET_REGISTRATION_FAILED"),
            ("CommandTimeout", "COMMAND_TIMEOUT"),
            ("CommandRejected", "COMMAND_REJECTED"),
            ("SocketNotReady", "SOCKET_NOT_READY"),
            ("HandlerError", "HANDLER_ERROR"),
            ("EmitFailed", "EMIT_FAILED"),
            ("HeartbeatFailed", "HEARTBEAT_FAILED"),
        ],
    },
    WordTable {
        dialect: "volt",
        name: "DaemonSocketEvent",
        doc: "Event names of a daemon: the first two are local, the others stand on the wire.",
        members: &[
            ("RuntimeLifecycle", "lifecycle"),
            ("RuntimeProgress", "progress"),
            ("TeamClusterDaemonRegister", REGISTER),
            ("TeamClusterDaemonRegistered", REGISTERED),
            ("TeamClusterDaemonMessage", MESSAGE),
        ],
    },
    WordTable {
        dialect: "volt",
        name: "ProgressStageType",
        doc: "Stages of a runtime-progress message.",
        members: &[
            ("Accepted", "accepted"),
            ("Queued", "queued"),
            ("Running", "running"),
            ("Completed", "completed"),
            ("Failed", "failed"),
        ],
    },
    WordTable {
        dialect: "volt",
        name: "ResponseType",
        doc: "Forms of the answer to a command.",
        members: &[("Json", "json"), ("Buffer", "buffer"), ("Stream", "stream")],
    },
    WordTable {
        dialect: "volt",
        name: "SessionKind",
        doc: "Kinds of a session over the reverse channel.",
        members: &[("Terminal", "terminal"), ("Tunnel", "tunnel"), ("WebSocket", "websocket")],
    },
    WordTable {
        dialect: "volt",
        name: "TerminalTarget",
        doc: "What a terminal session attaches to.",
        members: &[("Container", "container"), ("Host", "host")],
    },
    WordTable {
        dialect: "volt",
        name: "TunnelSessionStatus",
        doc: "States of a tunnel.",
        members: &[("Opening", "opening"), ("Open", "open"), ("Closed", "closed")],
    },
];

/// The Socket.IO event by which a daemon registers.
pub const REGISTER: &str = "team-cluster-daemon:register";
/// The Socket.IO event that confirms a registration.
pub const REGISTERED: &str = "team-cluster-daemon:registered";
/// The Socket.IO event that carries every other message.
pub const MESSAGE: &str = "team-cluster-daemon:message";

/// The command by which a daemon shows that it lives; no handler answers it.
pub const HEARTBEAT: &str = "runtime.heartbeat";

/// The call that settles when what was emitted before it has left: no command of that name is sent.
pub const SENT: &str = "$sent";

/// What is emitted under this name is a part of a stream that the daemon opens, or its end: `{stream_id, chunk}`
/// or `{stream_id, end, message?}`, with `request_id` where that is to be another than the stream's.
pub const STREAM: &str = "$stream";

/// The type of a message that shows that a daemon lives, without an answer.
pub(crate) const BEAT: &str = "runtime-heartbeat";

/// The status with which our hub answers the heartbeats of a daemon whose place another one has.
pub(crate) const DISPLACED: u16 = 409;

/// The most parts of a stream that a handler has under way: few enough that a slow link slows it down.
pub const MAX_CHUNKS_IN_FLIGHT: u64 = 4;

/// The most bytes of messages that wait to be sent, unless `limits.max_send_queue_bytes` says otherwise.
pub const MAX_UNSENT_BYTES: u64 = 33_554_432;

/// From how many bytes on a facade asks, by the call `$sent`, whether what it handed over has left.
pub const ASK_UNSENT_BYTES: u64 = 262_144;

/// What a message that waits costs besides its payload, at most.
pub const UNSENT_OVERHEAD_BYTES: u64 = 256;

/// Every limit of the dialect that the application's side checks.
pub const WIRE_LIMITS: &[WireLimit] = &[
    WireLimit {
        dialect: "volt",
        name: "MAX_ATTACHMENTS",
        doc: "The most byte strings in one message.",
        value: MAX_ATTACHMENTS as u64,
    },
    WireLimit {
        dialect: "volt",
        name: "MAX_CHUNKS_IN_FLIGHT",
        doc: "The most parts of a stream handed over before work_drained tells that one has left.",
        value: MAX_CHUNKS_IN_FLIGHT,
    },
    WireLimit {
        dialect: "volt",
        name: "MAX_UNSENT_BYTES",
        doc: "The most bytes of messages that wait to be sent, unless limits.max_send_queue_bytes says otherwise.",
        value: MAX_UNSENT_BYTES,
    },
    WireLimit {
        dialect: "volt",
        name: "ASK_UNSENT_BYTES",
        doc: "From how many bytes on the call $sent asks whether what was handed over has left.",
        value: ASK_UNSENT_BYTES,
    },
    WireLimit {
        dialect: "volt",
        name: "UNSENT_OVERHEAD_BYTES",
        doc: "What a message that waits costs besides its payload, at most.",
        value: UNSENT_OVERHEAD_BYTES,
    },
];

/// What each code is called; [`volt_code`] has one word for all others.
const VOLT_CODES: [(ErrorCode, &str); 16] = [
    (ErrorCode::EnrollmentFailed, "ENROLLMENT_FAILED"),
    (ErrorCode::RegistrationFailed, "SOCKET_REGISTRATION_FAILED"),
    (ErrorCode::CallTimeout, "COMMAND_TIMEOUT"),
    (ErrorCode::RemoteError, "COMMAND_REJECTED"),
    (ErrorCode::NotReady, "SOCKET_NOT_READY"),
    (ErrorCode::Stopped, "SOCKET_NOT_READY"),
    (ErrorCode::NotStarted, "SOCKET_NOT_READY"),
    (ErrorCode::CallCancelled, "SOCKET_NOT_READY"),
    (ErrorCode::ConnectionLost, "SOCKET_NOT_READY"),
    (ErrorCode::HandlerFailed, "HANDLER_ERROR"),
    (ErrorCode::HostStalled, "HANDLER_ERROR"),
    (ErrorCode::HeartbeatFailed, "HEARTBEAT_FAILED"),
    (ErrorCode::Overloaded, "EMIT_FAILED"),
    (ErrorCode::TooLarge, "EMIT_FAILED"),
    (ErrorCode::ArgumentInvalid, "EMIT_FAILED"),
    (ErrorCode::Unsupported, "EMIT_FAILED"),
];

/// Returns what the VOLT daemon client calls an error code.
#[must_use]
pub fn volt_code(code: ErrorCode) -> &'static str {
    let known = VOLT_CODES.iter().find(|(known, _)| *known == code);
    known.map_or("SOCKET_CONNECTION_FAILED", |(_, word)| word)
}
