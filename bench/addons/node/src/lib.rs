//! An add-on that asks an async JavaScript function and awaits its promise, as napi-rs offers it: a call of
//! a thread-safe function for each question, a native promise for each answer.

use std::sync::Arc;

use napi::bindgen_prelude::{Function, Promise, spawn};
use napi_derive::napi;

/// Keeps so many questions with `payload` at `handler`, until the process ends.
#[napi]
pub fn ask(
    handler: Function<'_, String, Promise<String>>,
    payload: String,
    in_flight: u32,
) -> napi::Result<()> {
    let handler = Arc::new(handler.build_threadsafe_function().build()?);
    for _ in 0..in_flight {
        let (handler, payload) = (Arc::clone(&handler), payload.clone());
        spawn(async move {
            while let Ok(promise) = handler.call_async(payload.clone()).await {
                if promise.await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}
