//! The Python host: an extension module that forks workers, runs their asyncio loop and calls applications.
//!
//! A worker has one thread. Its asyncio loop ([`hostler_eventloop`]) *is* a tokio runtime, on which hyper serves
//! connections; [`asgi`] and [`wsgi`] call the application from inside a connection's task.
//!
//! Invariants
//! - A task that the runtime polls holds the GIL; it is released only while the thread is parked (`eventloop/src/gil`).
//! - No borrow of ours is held across a call into Python: applications call back into the loop at will.
//! - The mold ([`host`]) starts no thread and no runtime, so that its forks are sound.
//!
//! The Python half of the package lies in `python/hostler` and is compiled into the extension.

use pyo3::prelude::*;

mod asgi;
mod call;
mod capi;
mod exchange;
mod host;
mod logging;
mod memory;
mod package;
mod request;
mod response;
mod rsgi;
mod websocket;
mod wsgi;

/// Read from the file by the server, before it lets a Python load it.
static BUILT_FOR: &str =
    concat!("hostler-extension-for:", env!("HOSTLER_BUILT_FOR"), "/", env!("CARGO_PKG_VERSION"), ";");

#[cfg(Py_GIL_DISABLED)]
compile_error!("hostler's state is guarded by the GIL, which a free-threaded Python does not have");

#[pymodule(gil_used = true)]
fn _hostler(module: &Bound<'_, PyModule>) -> PyResult<()> {
    memory::set_up();
    hostler_eventloop::set_observer(&host::WorkerObserver);
    module.add("BUILT_FOR", BUILT_FOR)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<host::PyWorker>()?;
    module.add_class::<wsgi::Jobs>()?;
    module.add_class::<rsgi::Scope>()?;
    module.add_class::<rsgi::Headers>()?;
    module.add_class::<rsgi::HttpProtocol>()?;
    module.add_class::<rsgi::StreamTransport>()?;
    module.add_class::<rsgi::Socket>()?;
    module.add_class::<rsgi::Transport>()?;
    module.add_class::<rsgi::Message>()?;
    module.add_function(wrap_pyfunction!(host::mold_main, module)?)?;
    module.add_function(wrap_pyfunction!(logging::write_log, module)?)?;
    module.add_function(wrap_pyfunction!(logging::log_to_python, module)?)?;
    module.add_function(wrap_pyfunction!(package::module_source, module)?)?;
    module.add_function(wrap_pyfunction!(host::rest, module)?)?;
    module.add_function(wrap_pyfunction!(host::is_forked, module)?)?;
    module.add_function(wrap_pyfunction!(host::before_fork, module)?)?;
    module.add_function(wrap_pyfunction!(host::after_fork_in_parent, module)?)?;
    module.add_function(wrap_pyfunction!(host::after_fork_in_child, module)?)?;
    package::install(module)
}
