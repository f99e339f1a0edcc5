//! The beacon row of the policy table.

use crate::dialect::beacon::options::{WorkerOptions, WorkerTransport};
use crate::dialect::{Policy, Transport};

/// Outcomes share one ping as evidence for so long.
const EVIDENCE_DELAY_MS: u64 = 50;

/// Peer: a hub that drops a shared record when an older connection of the same name closes tells
/// nobody (`ultravisor` 1.3.24), so a worker asks now and then whether it is still known.
const VERIFY_EVERY_BEATS: u32 = 4;

/// Applies a worker's options.
pub(super) fn worker(options: &WorkerOptions) -> Policy {
    let (first, fallback) = match options.transport {
        WorkerTransport::Auto => (Transport::WebSocket, Some(Transport::Polling)),
        WorkerTransport::WebSocket => (Transport::WebSocket, None),
        WorkerTransport::Polling => (Transport::Polling, None),
    };
    Policy {
        dialect: "beacon",
        role: "worker",
        name: options.name.clone(),
        first,
        fallback,
        reconnect: options.reconnect.clone(),
        connect_timeout_ms: options.connect_timeout_ms,
        registration_timeout_ms: options.registration_timeout_ms,
        http_timeout_ms: options.http_timeout_ms,
        poll_interval_ms: options.poll_interval_ms,
        upgrade_interval_ms: options.upgrade_interval_ms,
        heartbeat_interval_ms: options.heartbeat_interval_ms,
        max_stall_ms: options.max_stall_ms,
        withdraw_on_loss: options.withdraw_on_loss,
        ping_interval_ms: options.ping_interval_ms,
        life_sign_interval_ms: options.life_sign_interval_ms,
        evidence_delay_ms: EVIDENCE_DELAY_MS,
        verify_every_beats: VERIFY_EVERY_BEATS,
        max_concurrent: size(options.max_concurrent),
        max_waiting: size(options.max_waiting),
        outbox: options.outbox.clone(),
        is_durable: !options.runtime.store_path.is_empty(),
        limits: options.limits.clone(),
    }
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
