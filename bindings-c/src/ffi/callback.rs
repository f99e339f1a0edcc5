//! Calls back into C.

use std::cell::Cell;
use std::ffi::c_void;

use crate::events::Event;

/// Takes one event. `event` and all that it points to are valid during the call only.
pub type OnEvent = Option<unsafe extern "C" fn(user: *mut c_void, event: &Event<'_>)>;

/// Learns that events wait to be drained.
pub type OnReady = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// What the caller wants to get back in its callback.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct User(*mut c_void);

/// A doorbell callback and its user pointer.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    function: unsafe extern "C" fn(user: *mut c_void),
    user: User,
}

// SAFETY: the contract of `moorline_set_callback` is a function and a user pointer that may be used
// on the driver's thread.
unsafe impl Send for Ready {}

impl Ready {
    /// Joins both, or returns `None` if there is no function.
    pub(crate) fn new(function: OnReady, user: User) -> Option<Self> {
        function.map(|function| Self { function, user })
    }

    /// Calls the function.
    pub(crate) fn call(&self) {
        let _inside = Inside::enter();
        // SAFETY: C gave a function of this type for this user pointer, and it is called only until
        // `moorline_set_callback` replaced it or `moorline_free` returned.
        unsafe { (self.function)(self.user.0) }
    }
}

/// Hands one event to `function`.
pub(crate) fn deliver(
    function: unsafe extern "C" fn(user: *mut c_void, event: &Event<'_>),
    user: User,
    event: &Event<'_>,
) {
    let _inside = Inside::enter();
    // SAFETY: C gave a function of this type for this user pointer in the call that is still
    // running.
    unsafe { function(user.0, event) }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Tells whether this thread is inside a callback of this library.
pub(crate) fn is_inside() -> bool {
    DEPTH.get() > 0
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
