//! The handle: one endpoint on its own thread, opened, listened to and freed by C.

use std::mem::MaybeUninit;
use std::sync::Arc;

use moorline_core::{Command, Error, ErrorCode, Raw};

use crate::bell::Bell;
use crate::events::Inbox;
use crate::ffi::callback::{OnReady, Ready, User, is_inside};
use crate::ffi::panic::guard;
use crate::ffi::text::{CText, Chars, Length};
use crate::status::Status;

/// One worker, dispatcher or hub with its own thread. Every function that takes one may be called
/// from any thread, and none waits for the network.
pub struct Handle {
    driver: moorline_driver::Handle,
    dialect: String,
    role: String,
    bell: Arc<Bell>,
    pub(crate) inbox: Inbox,
}

impl Handle {
    /// Wraps what was opened.
    pub(crate) fn of(driver: moorline_driver::Handle, dialect: &str, role: &str) -> Self {
        let (dialect, role) = (dialect.to_owned(), role.to_owned());
        Self { driver, dialect, role, bell: Arc::default(), inbox: Inbox::default() }
    }

    /// Checks what a handler is offered under, and what is said about it.
    pub(crate) fn check(&self, key: &str, meta: &Raw) -> Result<(), Error> {
        moorline_core::check_handler(&self.dialect, &self.role, key, meta)
    }

    /// Hands over one command.
    pub(crate) fn submit(&self, command: Command) -> Result<(), Error> {
        self.driver.submit(vec![command])
    }

    /// Returns the queue of events, and the bell that belongs to it.
    pub(crate) fn events(&self) -> (&moorline_driver::EventQueue, &Bell) {
        (self.driver.events(), &self.bell)
    }

    /// Connects the bell; rings at once if events wait already.
    fn listen(&self) {
        let bell = Arc::clone(&self.bell);
        self.driver.events().set_doorbell(move || bell.ring());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.driver.close();
        self.bell.set_callback(None);
    }
}

/// Returns the handle that C passed.
pub(crate) fn given(handle: Option<&Handle>) -> Result<&Handle, Error> {
    handle.ok_or_else(|| Error::new(ErrorCode::ArgumentInvalid, "handle is null"))
}

/// Returns where C wants a result.
pub(crate) fn place<'a, T>(
    place: Option<&'a mut MaybeUninit<T>>,
    what: &str,
) -> Result<&'a mut MaybeUninit<T>, Error> {
    place.ok_or_else(|| Error::new(ErrorCode::ArgumentInvalid, format!("{what} is null")))
}

/// Opens a role of a dialect, such as "beacon" and "worker". `options` is a JSON object, or null
/// for the defaults. Connects nothing: see `moorline_start`.
///
/// Fails with `MOORLINE_ROLE_UNKNOWN`, or with `MOORLINE_CONFIG_INVALID` and every problem of the
/// options in `moorline_last_error`.
///
/// # Safety
/// The texts are NUL-terminated. `*handle` is written on success only; it belongs to the caller,
/// who gives it back to `moorline_free`.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_open(
    dialect: CText,
    role: CText,
    options: CText,
    handle: Option<&mut MaybeUninit<Box<Handle>>>,
) -> Status {
    guard(|| {
        let handle = place(handle, "handle")?;
        let options = options.optional("options")?.unwrap_or("{}");
        let (dialect, role) = (dialect.read("dialect")?, role.read("role")?);
        let driver = moorline_driver::Handle::open(dialect, role, options)?;
        handle.write(Box::new(Handle::of(driver, dialect, role)));
        Ok(())
    })
}

/// Ends at once, without drain, and frees the handle. Null is ignored. Afterwards no callback runs
/// and the descriptor is closed. Fails with `MOORLINE_ARGUMENT_INVALID`, and frees nothing, inside
/// a callback.
///
/// # Safety
/// `handle` came from `moorline_open`, was not freed before, and is in use on no other thread.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_free(handle: Option<Box<Handle>>) -> Status {
    guard(|| {
        if is_inside() {
            // The call that delivers the callback still uses the handle.
            std::mem::forget(handle);
            return Err(inside("freed"));
        }
        drop(handle);
        Ok(())
    })
}

/// Hands over one turn of commands: `len` bytes of JSON, an array of `[name, id, body]`. See the
/// table of commands in the documentation. Nothing of a batch with a fault is carried out.
///
/// # Safety
/// `handle` came from `moorline_open`; `batch` has `len` readable bytes.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_submit(handle: Option<&Handle>, batch: Chars, len: Length) -> Status {
    guard(|| given(handle)?.driver.submit_text(batch.read(&len, "batch")?))
}

/// Returns a descriptor that is readable while events wait: for poll, select, epoll or an event
/// loop. `moorline_drain` reads it; the caller must not.
///
/// # Safety
/// `handle` came from `moorline_open`. `*descriptor` is written on success only and stays valid
/// until `moorline_free`, which closes it.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_descriptor(
    handle: Option<&Handle>,
    descriptor: Option<&mut MaybeUninit<i32>>,
) -> Status {
    guard(|| {
        let (handle, descriptor) = (given(handle)?, place(descriptor, "descriptor")?);
        let number = handle
            .bell
            .descriptor()
            .map_err(|e| Error::new(ErrorCode::Unsupported, format!("no descriptor: {e}")))?;
        descriptor.write(number);
        handle.listen();
        Ok(())
    })
}

/// Sets what is called when the event queue turns from empty to non-empty; null for nothing. It is
/// called at once if events wait already. Waits for a call of the former callback to return.
///
/// `on_ready` runs on the driver's thread: it must return quickly, must not wait for anything, and
/// must not call `moorline_set_callback`. It is meant to wake up the thread that drains.
///
/// # Safety
/// `handle` came from `moorline_open`; `on_ready` may be called with `user` on another thread until
/// it is replaced or `moorline_free` has returned.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_set_callback(
    handle: Option<&Handle>,
    on_ready: OnReady,
    user: User,
) -> Status {
    guard(|| {
        let handle = given(handle)?;
        if is_inside() {
            return Err(inside("given another callback"));
        }
        handle.bell.set_callback(Ready::new(on_ready, user));
        handle.listen();
        Ok(())
    })
}

fn inside(what: &str) -> Error {
    Error::new(ErrorCode::ArgumentInvalid, format!("a handle cannot be {what} inside a callback"))
}

/// C shares a handle among its threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Handle>();
};
