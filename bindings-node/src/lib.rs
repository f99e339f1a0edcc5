//! The add-on below the npm package `moorline`: one class that carries text between JavaScript and a
//! [`Handle`].
//!
//! Commands of one JavaScript turn come down as one text (see [`parse_turn`]), events go up as one text
//! per drain, and the only thing that crosses on its own accord is a doorbell without arguments.
//! Promises, handlers and names live in TypeScript, protocol decisions in the core.

#[cfg(feature = "scripted")]
mod scripted;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_core::command::parse_turn;
use moorline_core::{Error, ErrorCode, Raw};
use moorline_driver::Handle;
use napi::bindgen_prelude::Unknown;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, JsString, Status};
use napi_derive::napi;

#[cfg(feature = "scripted")]
pub use scripted::Scripted;

/// A thread-safe function without arguments; it starts weak, so that it keeps no process alive.
type Doorbell = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true>;

/// The error's stable name becomes `code` of the JavaScript error.
type Result<T> = napi::Result<T, &'static str>;

/// One endpoint on its own I/O thread.
#[napi]
pub struct Native {
    handle: Handle,
    doorbell: Arc<Mutex<Option<Doorbell>>>,
    text: Mutex<String>,
    more: AtomicBool,
}

#[napi]
impl Native {
    /// Opens a role with options as JSON text. Connects nothing.
    #[napi(factory, catch_unwind)]
    pub fn open(dialect: String, role: String, options: String) -> Result<Self> {
        Handle::open(&dialect, &role, &options).map(Self::of).map_err(thrown)
    }

    /// Hands over one turn of commands, all of it or nothing; see [`parse_turn`].
    #[napi(catch_unwind)]
    pub fn submit(&self, turn: String) -> Result<()> {
        parse_turn(turn).and_then(|commands| self.handle.submit(commands)).map_err(thrown)
    }

    /// Takes at most 64 KiB of events (at least one, if there is any) as one JSON array. An event is
    /// an object, or a number and a value behind it: a call and its result, or 0 and a message.
    #[napi(catch_unwind)]
    pub fn drain<'env>(&self, env: &'env Env) -> napi::Result<JsString<'env>> {
        let mut text = locked(&self.text);
        text.clear();
        self.more.store(self.handle.events().drain(&mut text).more, Ordering::Relaxed);
        // The Latin-1 constructor copies bytes; the UTF-8 one decodes them.
        let string = if text.is_ascii() {
            env.create_string_latin1(&*text)
        } else {
            env.create_string(&*text)
        };
        text.shrink_to(LARGEST_KEPT);
        string
    }

    /// Tells whether the last drain left events behind; the doorbell stays silent about them.
    #[napi(getter)]
    pub fn more(&self) -> bool {
        self.more.load(Ordering::Relaxed)
    }

    /// Sets what is called, in its own turn, when events begin to wait.
    #[napi(ts_args_type = "ring: () => void", catch_unwind)]
    pub fn on_doorbell(&self, ring: Doorbell) {
        *locked(&self.doorbell) = Some(ring);
        let doorbell = Arc::clone(&self.doorbell);
        self.handle.events().set_doorbell(move || {
            if let Some(ring) = &*locked(&doorbell) {
                ring.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        });
    }

    /// Keeps the process alive for this endpoint, or no longer.
    #[napi(catch_unwind)]
    pub fn hold(&self, env: &Env, wanted: bool) -> napi::Result<()> {
        locked(&self.doorbell).as_mut().map_or(Ok(()), |ring| switch(ring, env, wanted))
    }

    /// Ends at once. Events that wait can still be drained. Safe to repeat.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.handle.close();
        *locked(&self.doorbell) = None;
    }
}

impl Native {
    fn of(handle: Handle) -> Self {
        handle.events().write_short();
        Self {
            handle,
            doorbell: Arc::default(),
            text: Mutex::default(),
            more: AtomicBool::new(false),
        }
    }
}

/// Checks what a handler is offered under; `meta` is JSON text.
#[napi(catch_unwind)]
pub fn check_handler(dialect: String, role: String, key: String, meta: String) -> Result<()> {
    let meta = Raw::parse(meta)
        .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("the handler's meta: {e}")));
    meta.and_then(|meta| moorline_core::check_handler(&dialect, &role, &key, &meta)).map_err(thrown)
}

impl Drop for Native {
    /// Runs on garbage collection and on environment teardown, `worker_threads` included.
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// A drain larger than this was one large event; its memory is given back.
const LARGEST_KEPT: usize = 128 << 10;

#[expect(deprecated, reason = "nothing else switches a function that exists already")]
fn switch(ring: &mut Doorbell, env: &Env, wanted: bool) -> napi::Result<()> {
    if wanted { ring.refer(env) } else { ring.unref(env) }
}

fn thrown(error: Error) -> napi::Error<&'static str> {
    napi::Error::new(error.code().name(), error.message())
}

/// What these mutexes guard is whole after every statement, so a panic elsewhere spoils nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
