//! Options, declared once.
//!
//! Each table gives field, type, default, range, unit and one sentence. The Rust struct, the reader of
//! JSON options, the types of all languages and the documentation page come from it. A default is
//! written nowhere else. Durations are whole milliseconds, sizes bytes.

#[cfg(feature = "server")]
mod ceiling;
#[cfg(feature = "server")]
mod hub;
pub(crate) mod shared;
pub(crate) mod table;
#[cfg(feature = "server")]
mod volt_hub;

#[cfg(feature = "server")]
pub use ceiling::MemoryTerm;
#[cfg(feature = "server")]
pub use hub::{HubAccess, HubOptions, User};
pub use shared::{
    LimitOptions, OutboxOptions, ReconnectOptions, ResponseForm, RuntimeOptions, ScriptOptions,
    VoltGeneration, WhenFull,
};
pub use table::{At, ConfigError, Field, Kind, OptionValue, Problem, Secrets, TableRow, read};
#[doc(hidden)]
pub use table::{Fields, join, table_text, unknown};
#[cfg(feature = "server")]
pub use volt_hub::{VoltCredential, VoltHubOptions};
