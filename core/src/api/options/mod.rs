//! Options, declared once.
//!
//! Each table gives field, type, default, range, unit and one sentence. The Rust struct, the reader of
//! JSON options, the types of all languages and the documentation page come from it. A default is
//! written nowhere else. Durations are whole milliseconds, sizes bytes.

pub(crate) mod shared;
pub(crate) mod table;

pub use shared::{LimitOptions, OutboxOptions, ReconnectOptions, ResponseForm, RuntimeOptions};
pub use table::{At, ConfigError, Field, Kind, OptionValue, Problem, Secrets, TableRow, read};
#[doc(hidden)]
pub use table::{Fields, join, table_text, unknown};
