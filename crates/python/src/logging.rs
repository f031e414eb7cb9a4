//! Errors of applications, in the form that Python users know.

use hostler_http::RequestFacts;
use hostler_sys::logging::{self as log, Exception};
use pyo3::{
    exceptions::PyBaseException,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString},
};
use tracing::Level;

/// What `--log-config` has events written by, in place of the server's own log.
static TO_PYTHON: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// The same for lines of the access log.
static ACCESS_TO_PYTHON: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// `logging.ERROR`.
const ERROR: i32 = 40;

/// Has errors of applications written by this function from now on: level, message, fields, exception.
#[pyfunction]
pub(crate) fn log_to_python(py: Python<'_>, write: Py<PyAny>) {
    let _ = TO_PYTHON.set(py, write);
}

/// Has lines of the access log written by this function, on this thread.
pub(crate) fn access_to_python(py: Python<'_>, write: Py<PyAny>) {
    if ACCESS_TO_PYTHON.set(py, write).is_ok() {
        log::access::give_to(|lines| {
            Python::attach(|py| {
                let Some(write) = ACCESS_TO_PYTHON.get(py) else { return };
                if let Err(error) = write.call1(py, (String::from_utf8_lossy(lines),)) {
                    own_error(py, "the access log could not be written by Python's logging", &error);
                }
            });
        });
    }
}

/// Whether Python's logging has taken an event.
fn taken(py: Python<'_>, what: &str, facts: Option<&RequestFacts>, error: Option<&PyErr>) -> bool {
    let Some(write) = TO_PYTHON.get(py) else { return false };
    let write = || -> PyResult<()> {
        let fields = PyDict::new(py);
        if let Some(RequestFacts { method, path, client, request_id, worker, pid }) = facts {
            for (name, text) in
                [("method", method), ("path", path), ("client", client), ("request_id", request_id)]
            {
                fields.set_item(name, text)?;
            }
            fields.set_item("worker", worker)?;
            fields.set_item("pid", pid)?;
        }
        write.call1(py, (ERROR, what, fields, error.map(|error| whole(py, error)))).map(drop)
    };
    let written = write();
    if let Err(error) = &written {
        own_error(py, "Python's logging failed", error);
    }
    written.is_ok()
}

/// Logs an exception of the application with its traceback.
pub(crate) fn application_error(py: Python<'_>, what: &str, error: &PyErr) {
    if !taken(py, what, None, Some(error)) {
        own_error(py, what, error);
    }
}

fn own_error(py: Python<'_>, what: &str, error: &PyErr) {
    let Raised { class, message, traceback } = Raised::of(py, error);
    tracing::error!(exception_type = class, exception_message = message, traceback, "{what}");
}

/// Logs an exception of the application in a request, with its traceback.
pub(crate) fn request_error(py: Python<'_>, what: &str, error: &PyErr, facts: &RequestFacts) {
    if taken(py, what, Some(facts), Some(error)) {
        return;
    }
    let Raised { class, message, traceback } = Raised::of(py, error);
    let RequestFacts { method, path, client, request_id, worker, pid } = facts;
    tracing::error!(
        method,
        path,
        client,
        request_id,
        worker,
        pid,
        exception_type = class,
        exception_message = message,
        traceback,
        "{what}"
    );
}

/// An exception as fields of a line.
struct Raised {
    /// Its class, with the module unless that is Python's own: `ValueError`, `shop.errors.Missing`.
    class: String,
    message: String,
    traceback: String,
}

impl Raised {
    fn of(py: Python<'_>, error: &PyErr) -> Self {
        let kind = error.get_type(py);
        let name = kind.qualname().map_or_else(|_| String::from("Exception"), |name| name.to_string());
        let module = kind.module().map_or_else(|_| String::new(), |module| module.to_string());
        let class = if matches!(&*module, "" | "builtins") { name } else { format!("{module}.{name}") };
        let message = error.value(py).str().map_or_else(|_| String::from(UNTOLD), |text| utf8(&text));
        let traceback = traceback(py, error).trim_end().to_owned();
        Self { class, message, traceback }
    }
}

/// Logs what an application did wrong in a request.
pub(crate) fn request_mistake(py: Python<'_>, what: &str, facts: &RequestFacts) {
    if taken(py, what, Some(facts), None) {
        return;
    }
    let RequestFacts { method, path, client, request_id, worker, pid } = facts;
    tracing::error!(method, path, client, request_id, worker, pid, "{what}");
}

/// What Python says of an exception that cannot say what it is.
const UNTOLD: &str = "<exception str() failed>";

/// A text of the application. What has no form in UTF-8 is shown as Python prints it: `\\udcff`, of the name of a file for example.
pub(crate) fn utf8(text: &Bound<'_, PyString>) -> String {
    if let Ok(text) = text.to_cow() {
        return text.into_owned();
    }
    let encode = intern!(text.py(), "encode");
    let bytes = text.call_method1(encode, ("utf-8", "backslashreplace"));
    let bytes = bytes.and_then(|bytes| bytes.extract::<Vec<u8>>());
    bytes.map_or_else(|_| text.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// How many causes of an error are followed.
const MAX_CAUSES: usize = 16;

/// Whether an exception is of this class, or caused by one that is (PEP 3134).
pub(crate) fn comes_of(py: Python<'_>, error: &PyErr, class: &Bound<'_, PyAny>) -> bool {
    let mut next = Some(error.value(py).clone().into_any());
    for _ in 0..MAX_CAUSES {
        let Some(error) = next.take() else { return false };
        if error.is_instance(class).unwrap_or(false) {
            return true;
        }
        let cause = |name| error.getattr(name).ok().filter(|cause| !cause.is_none());
        next = cause("__cause__").or_else(|| cause("__context__"));
    }
    false
}

/// The exception with its traceback, which before Python 3.12 is beside it as long as it is Rust's.
fn whole(py: Python<'_>, error: &PyErr) -> Py<PyBaseException> {
    error.clone_ref(py).into_value(py)
}

/// The traceback as Python prints it, from the application's first frame on.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let told = py.import("hostler._log")?.call_method1("traceback_of", (whole(py, error),))?;
        Ok(utf8(told.cast()?))
    };
    format().unwrap_or_else(|_| error.to_string())
}

/// Writes a record of Python's logging to the server's log. `level` is one of Python's numbers, `exception` class, message and
/// traceback. A record of one of the `server`'s own loggers looks like its other lines; one of the application is written as Python
/// would, unless lines are JSON.
#[pyfunction]
#[pyo3(signature = (level, logger, text, exception=None, server=false))]
pub(crate) fn write_log(
    level: i64,
    logger: &Bound<'_, PyString>,
    text: &Bound<'_, PyString>,
    exception: Option<(Bound<'_, PyString>, Bound<'_, PyString>, Bound<'_, PyString>)>,
    server: bool,
) {
    let level = match level {
        40.. => Level::ERROR,
        30.. => Level::WARN,
        20.. => Level::INFO,
        _ => Level::DEBUG,
    };
    let (logger, text) = (utf8(logger), utf8(text));
    let exception = exception.map(|parts| (utf8(&parts.0), utf8(&parts.1), utf8(&parts.2)));
    let exception =
        exception.as_ref().map(|(class, message, traceback)| Exception { class, message, traceback });
    let write = if server { log::write_event } else { log::write_record };
    write(level, &logger, &text, exception);
}
