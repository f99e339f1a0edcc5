//! Errors of this API: those of the core, with the error of Rust behind them where there is one.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use moorline_core::ErrorCode;

/// What went wrong: a stable code, a message, and what was behind it.
#[derive(Clone)]
pub struct Error {
    error: moorline_core::Error,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error. Control characters of the message are escaped; it is cut at 512 bytes.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        moorline_core::Error::new(code, message).into()
    }

    /// Makes an error of what failed and why.
    pub(crate) fn caused(
        code: ErrorCode,
        what: &str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let error = Self::new(code, format!("{what}: {source}"));
        error.with_source(Some(Arc::new(source)))
    }

    /// Adds what was behind the error.
    pub(crate) fn with_source(mut self, source: Option<Arc<dyn StdError + Send + Sync>>) -> Self {
        self.source = source;
        self
    }

    pub(crate) fn has_source(&self) -> bool {
        StdError::source(self).is_some()
    }

    /// Returns the code; [`errors.md`](https://github.com/moorline/moorline/blob/main/docs/errors.md)
    /// lists them all.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.error.code()
    }

    /// Returns what happened, in the words of whoever noticed it.
    #[must_use]
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// Returns the status that the other side gave its refusal, if it gave one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.error.status()
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.error.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Error {
    /// Returns what was behind the error: of a failed handler the error that it gave, of a value that
    /// cannot be read or written that of serde, of a link what ended it.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => self.error.source(),
        }
    }
}

impl From<moorline_core::Error> for Error {
    fn from(error: moorline_core::Error) -> Self {
        Self { error, source: None }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        moorline_core::Error::from(code).into()
    }
}
