//! The Python half of the loop, compiled in: `python/hostler/_loop.py`.

use crate::{Engine, Handle, LoopCore, SocketTransport, forked};
use pyo3::{
    prelude::*,
    types::{PyDict, PyModule},
};

/// Where the Python half finds the Rust half.
const NATIVE: &str = "_hostler_eventloop";

/// Makes the loop importable: as module `name`, which has the class `EventLoop`.
///
/// # Errors
/// What the import of asyncio raises.
pub fn install<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyModule>> {
    let modules = py.import("sys")?.getattr("modules")?;
    modules.set_item(NATIVE, native(py)?)?;
    let module = PyModule::new(py, name)?;
    modules.set_item(name, &module)?;
    run(py, include_str!("../python/hostler/_loop.py"), name, &module.dict())?;
    Ok(module)
}

fn native(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let module = PyModule::new(py, NATIVE)?;
    module.add_class::<LoopCore>()?;
    module.add_class::<Handle>()?;
    module.add_class::<Engine>()?;
    module.add_class::<SocketTransport>()?;
    module.add_function(wrap_pyfunction!(forked::is_forked_py, &module)?)?;
    Ok(module)
}

/// Runs Python code of ours, whose frames are shown under `name`.
pub(crate) fn run(py: Python<'_>, source: &str, name: &str, globals: &Bound<'_, PyDict>) -> PyResult<()> {
    let builtins = py.import("builtins")?;
    let code = builtins.getattr("compile")?.call1((source, format!("<{name}>"), "exec"))?;
    globals.set_item("__builtins__", &builtins)?;
    builtins.getattr("exec")?.call1((code, globals)).map(drop)
}
