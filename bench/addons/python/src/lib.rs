//! An extension whose calls are awaited from asyncio: as pyo3-async-runtimes offers it, and the same by hand.

use std::sync::LazyLock;
use std::thread;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// What every call is answered with: the data of an answer that the fast responder sends.
const ANSWER: &str = r#"{"jobs":[{"id":"j-12345","state":"running"}],"total":1}"#;

/// A runtime on one thread that keeps its place in the interpreter between two answers.
static ATTACHED: LazyLock<Option<Handle>> = LazyLock::new(|| {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(|| {
        Python::attach(|py| {
            py.detach(|| {
                let runtime = Builder::new_current_thread().build();
                if let Ok(runtime) =
                    runtime.inspect(|built| drop(sender.send(built.handle().clone())))
                {
                    runtime.block_on(std::future::pending::<()>());
                }
            });
        });
    });
    receiver.blocking_recv().ok()
});

/// The work itself. Whatever is worth awaiting is not there at once.
async fn work(payload: Vec<u8>) -> &'static str {
    tokio::task::yield_now().await;
    drop(payload);
    ANSWER
}

/// Takes a payload as JSON text and returns what can be awaited for the answer's text: a future of asyncio,
/// two tasks of tokio and a job for a thread of its pool.
#[pyfunction]
fn call<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let work = work(payload.to_vec());
    pyo3_async_runtimes::tokio::future_into_py(py, async { Ok(work.await) })
}

/// The same with what it cannot do without: one task, and `loop.call_soon_threadsafe(settle, future, text)`.
#[pyfunction]
fn call_by_hand<'py>(
    py: Python<'py>,
    event_loop: Bound<'py, PyAny>,
    settle: Py<PyAny>,
    payload: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let future = event_loop.call_method0("create_future")?;
    let (work, event_loop, waiting) =
        (work(payload.to_vec()), event_loop.unbind(), future.clone().unbind());
    if let Some(runtime) = py.detach(|| ATTACHED.as_ref()) {
        runtime.spawn(async move {
            let text = work.await;
            Python::attach(|py| {
                // The loop may have been closed.
                let _ =
                    event_loop.call_method1(py, "call_soon_threadsafe", (settle, waiting, text));
            });
        });
    }
    Ok(future)
}

/// The extension.
#[pymodule]
fn awaited(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(call, module)?)?;
    module.add_function(wrap_pyfunction!(call_by_hand, module)?)
}
