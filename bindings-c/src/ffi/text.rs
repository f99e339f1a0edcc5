//! Text across the border: in as pointers of the caller, out as pointer and length.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;

use moorline_core::{Error, ErrorCode};

/// A NUL-terminated text of the caller.
#[repr(transparent)]
pub struct CText(*const c_char);

impl CText {
    /// Borrows the text; `what` names it in errors.
    pub(crate) fn read(&self, what: &str) -> Result<&str, Error> {
        self.optional(what)?.ok_or_else(|| null(what))
    }

    /// Borrows the text, or returns `None` for a null pointer.
    pub(crate) fn optional(&self, what: &str) -> Result<Option<&str>, Error> {
        let text = self.borrow().map(CStr::to_str);
        text.transpose().map_err(|e| not_utf8(what, e))
    }

    /// Copies the text, U+FFFD in the place of what is no UTF-8; `otherwise` stands for a null pointer.
    pub(crate) fn lossy(&self, otherwise: &str) -> String {
        self.borrow().map_or_else(|| otherwise.into(), |text| text.to_string_lossy().into_owned())
    }

    fn borrow(&self) -> Option<&CStr> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: only C makes a `CText`; its side of the contract is a NUL-terminated text that
        // stays valid and unchanged during the call, and the borrow ends with the call's argument.
        Some(unsafe { CStr::from_ptr(self.0) })
    }
}

/// A text of the caller; its [`Length`] is the next argument.
#[repr(transparent)]
pub struct Chars(*const c_char);

/// The number of bytes behind the pointer that precedes it in the argument list.
#[repr(transparent)]
pub struct Length(usize);

impl Chars {
    /// Borrows the text; `what` names it in errors.
    pub(crate) fn read(&self, len: &Length, what: &str) -> Result<&str, Error> {
        self.optional(len, what)?.ok_or_else(|| null(what))
    }

    /// Borrows the text, or returns `None` for a null pointer.
    pub(crate) fn optional(&self, len: &Length, what: &str) -> Result<Option<&str>, Error> {
        if self.0.is_null() {
            return Ok(None);
        }
        // SAFETY: only C makes a `Chars` and the `Length` after it; its side of the contract is so
        // many readable bytes that do not change during the call.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.cast::<u8>(), len.0) };
        std::str::from_utf8(bytes).map(Some).map_err(|e| not_utf8(what, e))
    }
}

/// Memory of the caller to write to; its [`Length`] is the next argument.
#[repr(transparent)]
pub struct Buffer(*mut c_char);

impl Buffer {
    /// Copies `text` and returns true if it fits.
    pub(crate) fn fill(&mut self, capacity: &Length, text: &str) -> bool {
        if self.0.is_null() || text.len() > capacity.0 {
            return false;
        }
        // SAFETY: only C makes a `Buffer` and the `Length` after it; its side of the contract is so
        // many writable bytes, which cannot overlap a text that this library owns.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.0.cast::<u8>(), text.len()) };
        true
    }
}

/// UTF-8 text of the library: `len` bytes from `data` on, not NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The first byte; never null.
    pub data: *const c_char,
    /// The number of bytes.
    pub len: usize,
    life: PhantomData<&'a str>,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self { data: text.as_ptr().cast(), len: text.len(), life: PhantomData }
    }
}

fn null(what: &str) -> Error {
    Error::new(ErrorCode::ArgumentInvalid, format!("{what} is null"))
}

fn not_utf8(what: &str, error: std::str::Utf8Error) -> Error {
    Error::new(ErrorCode::ArgumentInvalid, format!("{what} is not UTF-8: {error}"))
}
