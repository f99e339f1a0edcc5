//! The network-cluster dialect: one provider, a WebSocket server, and its consumers.
//!
//! Source: `network-cluster` 1.0.4 on `hyper-express` 2.1.3 and `ws` 7.5.
//!
//! ```text
//! consumer ──upgrade with parameters in the query──▶ provider
//!          ◀── announcement of the heartbeat ───────
//!          ◀── messages, text or bytes ────────────▶
//!          ◀── PING ── PONG ──────────────────────▶
//! ```
//!
//! ```text
//! provider   who may come, heartbeats and strikes, silence
//! consumer   one link that comes back, the provider's heartbeat
//! wire       texts of the protocol, URLs and queries, answers over HTTP
//! ```

mod consumer;
pub(crate) mod options;
#[cfg(feature = "server")]
mod provider;
mod wire;
pub(crate) mod words;

pub(crate) use consumer::Consumer;
#[cfg(feature = "server")]
pub(crate) use provider::Provider;

use crate::base::error::ErrorCode;
use crate::machine::CloseCause;

/// Stands for a close frame that says no code.
const NO_CODE: u16 = 1_005;
/// Stands for an end without a close frame.
const CUT: u16 = 1_006;

/// The close code for a message that there was no room for.
const TRY_AGAIN_LATER: u16 = 1_013;

/// Returns code and reason of an end as the original tells them.
fn farewell(cause: &CloseCause) -> (u16, String) {
    match cause {
        CloseCause::Remote { code, reason } => (*code, reason.clone()),
        CloseCause::Exceeded { .. } => (CUT, String::from("Received too big message")),
        CloseCause::Failed(error) if error.code() == ErrorCode::PeerProtocol => {
            (CUT, error.message().to_owned())
        }
        CloseCause::Failed(_) | CloseCause::Refused { .. } | CloseCause::Local => {
            (CUT, String::new())
        }
    }
}

#[cfg(test)]
#[cfg(feature = "full")]
mod tests;
