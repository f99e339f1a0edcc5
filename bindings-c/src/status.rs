//! Statuses: the numbers of the error codes, and the text of a thread's last failure.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

use moorline_core::{Error, ErrorCode};

/// `MOORLINE_OK`, or the number of an error code.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(i32);

impl Status {
    /// Success.
    pub(crate) const OK: Self = Self(0);

    /// Returns the status of a result, and keeps a failure's message for this thread.
    pub(crate) fn of(result: Result<(), Error>) -> Self {
        let Err(error) = result else { return Self::OK };
        let text = CString::new(error.message()).unwrap_or_default();
        LAST.with(|last| last.replace(text));
        Self::from(error.code())
    }

    /// Returns the status of an error's number on the wire to the application.
    pub(crate) fn from_number(number: u16) -> Self {
        Self(i32::from(number))
    }

    fn code(self) -> Option<ErrorCode> {
        ErrorCode::ALL.iter().copied().find(|code| Self::from(*code) == self)
    }
}

impl From<ErrorCode> for Status {
    fn from(code: ErrorCode) -> Self {
        Self::from_number(code.number())
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Returns what the last failure on this thread was about, for people; "" if there was none.
///
/// # Safety
/// The text is valid until the next Moorline call on the same thread.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// Returns the stable name of a status, such as "CALL_TIMEOUT"; "OK" for `MOORLINE_OK`, "UNKNOWN"
/// for a number that is none.
///
/// # Safety
/// The text is valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_error_name(status: Status) -> *const c_char {
    if status == Status::OK {
        return c"OK".as_ptr();
    }
    TEXTS.row(status).map_or(c"UNKNOWN".as_ptr(), |row| row.name.as_ptr())
}

/// Returns one sentence on what to do about a status; "" if nothing is known.
///
/// # Safety
/// The text is valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_error_fix(status: Status) -> *const c_char {
    TEXTS.row(status).map_or(c"".as_ptr(), |row| row.fix.as_ptr())
}

/// Tells whether the same call may succeed later.
///
/// # Safety
/// Safe to call at any time from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_error_is_retryable(status: Status) -> bool {
    status.code().is_some_and(ErrorCode::is_retryable)
}

/// Returns the library's version, such as "0.1.0".
///
/// # Safety
/// The text is valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// The table's texts with the NUL that C wants.
struct Texts(Vec<Row>);

struct Row {
    status: Status,
    name: CString,
    fix: CString,
}

impl Texts {
    fn row(&self, status: Status) -> Option<&Row> {
        self.0.iter().find(|row| row.status == status)
    }
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    let row = |code: &ErrorCode| Row {
        status: Status::from(*code),
        name: CString::new(code.name()).unwrap_or_default(),
        fix: CString::new(code.fix()).unwrap_or_default(),
    };
    Texts(ErrorCode::ALL.iter().map(row).collect())
});
