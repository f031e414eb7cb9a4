//! Awaitables that are no coroutines: futures, objects with `__await__`, generators of `types.coroutine`.

use crate::python;
use pyo3::{prelude::*, sync::PyOnceLock, types::PyDict};

/// A task takes coroutines alone.
const AWAITING: &str = "async def awaiting(awaitable):\n    return await awaitable\n";

/// A coroutine that awaits `object`; `None` if it is a coroutine itself, or cannot be awaited.
pub(crate) fn coroutine_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let is = |module: &str, what: &str| py.import(module)?.call_method1(what, (object,))?.is_truthy();
    if is("asyncio", "iscoroutine")? || !is("inspect", "isawaitable")? {
        return Ok(None);
    }
    let awaiting = FUNCTION.get_or_try_init(py, || {
        let globals = PyDict::new(py);
        python::run(py, AWAITING, "hostler.awaiting", &globals)?;
        globals.as_any().get_item("awaiting").map(Bound::unbind)
    })?;
    awaiting.bind(py).call1((object,)).map(Some)
}
