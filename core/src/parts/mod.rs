//! What roles are built of: each idea once, without IO and without a wire.

pub(crate) mod admission;
pub(crate) mod backoff;
pub(crate) mod calls;
pub(crate) mod credentials;
pub(crate) mod drain;
pub(crate) mod handlers;
pub(crate) mod heartbeat;
pub(crate) mod journal;
pub(crate) mod lifetime;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod liveness;
pub(crate) mod outbox;
pub(crate) mod pacer;
pub(crate) mod queue;
pub(crate) mod readmission;
pub(crate) mod reconnection;
pub(crate) mod timers;
pub(crate) mod window;
pub(crate) mod work;
