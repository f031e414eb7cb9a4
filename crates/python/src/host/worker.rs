//! The worker as its Python half sees it (`python/hostler/_worker.py`): settings, and the two ways to serve.

use super::{
    observe::{self, Duties},
    tasks::{TaskReports, TaskService},
    waits::exit_when_waits_fail,
};
use crate::{
    asgi::AsgiApp,
    logging,
    rsgi::{Errors, RsgiApp},
    wsgi::{Jobs, WsgiApp},
};
use hostler_eventloop::{Engine, GilCell, LoopCore, Runtime, forked::exit_if_forked};
use hostler_settings::{Interface, Settings};
use hostler_sys::{board, disposition, orphan, own, signal, title};
use hostler_wire::{ExitStatus, Failure, FromWorker, Role, Served, timing};
use hostler_worker::{Ending, HttpService, Service, WorkerContext, announce, run_worker};
use pyo3::{
    exceptions::{PyRuntimeError, PySystemExit, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyString},
};
use std::{
    io,
    os::fd::{AsRawFd, IntoRawFd},
    path::PathBuf,
};

/// The longest traceback that is sent to the master, in bytes; its end matters most.
const LONGEST_CAUSE: usize = 48 * 1024;

/// Runs a worker; returns its exit code.
pub(super) fn run(py: Python<'_>, context: WorkerContext) -> u8 {
    disposition::for_worker();
    if !context.is_told_to_boot() {
        return ExitStatus::Clean.code();
    }
    exit_when_waits_fail();
    context.take();
    let number = context.assignment.slot.index;
    let role = match context.assignment.role {
        Role::Tasks => title::Role::TaskWorker(number),
        _ => title::Role::Worker(number),
    };
    let name = context.settings.options.process.name.as_deref();
    title::set(name, role, context.settings.title());
    if orphan::die_with(context.master_pid, timing::ORPHAN_LIMIT).is_err() {
        return ExitStatus::Failed.code();
    }
    let line = context.channel.try_clone();
    let mut served = false;
    let code = Bound::new(py, PyWorker(GilCell::new(Some(context)))).and_then(|context| {
        let code = py.import("hostler._worker")?.call_method1("main", (&context,));
        served = context.get().0.with(py, |context| context.is_none());
        code?.extract::<u8>()
    });
    hostler_sys::logging::access::end();
    let code = code.unwrap_or_else(|error| {
        if served {
            return failed_serving(py, &error);
        }
        let failure = Failure {
            status: ExitStatus::Boot,
            message: "a worker failed".into(),
            cause: Some(logging::traceback(py, &error)),
            hint: None,
        };
        logging::application_error(py, "the worker failed", &error);
        if let Ok(line) = line {
            announce(&line, FromWorker::Failed(failure));
        }
        ExitStatus::Boot.code()
    });
    hostler_sys::logging::finish(timing::LAST_LINES);
    code
}

/// Reports what ended a worker that has served; returns the exit code.
fn failed_serving(py: Python<'_>, error: &PyErr) -> u8 {
    let what = if error.is_instance_of::<PySystemExit>(py) {
        "the application ended the worker"
    } else {
        "the worker failed"
    };
    logging::application_error(py, what, error);
    let code = error.value(py).getattr(intern!(py, "code")).and_then(|code| code.extract::<u8>());
    code.ok().filter(|code| *code != 0).unwrap_or_else(|| ExitStatus::Failed.code())
}

/// A worker process that has not begun to serve; serving uses it up.
#[pyclass(frozen, module = "hostler")]
pub struct PyWorker(GilCell<Option<WorkerContext>>);

impl PyWorker {
    fn look<R>(&self, py: Python<'_>, look: impl FnOnce(&WorkerContext) -> R) -> PyResult<R> {
        let looked = self.0.with(py, |context| context.as_ref().map(look));
        looked.ok_or_else(|| PyRuntimeError::new_err("this worker serves already"))
    }

    fn options<R>(&self, py: Python<'_>, look: impl FnOnce(&Settings) -> R) -> PyResult<R> {
        self.look(py, |context| look(&context.settings.options))
    }

    /// Runs the worker on a loop that is about to run: our own, or the engine beside another one.
    fn serve<S: Service + 'static>(
        &self,
        py: Python<'_>,
        interface: Served,
        service: S,
        engine: &Bound<'_, PyAny>,
        done: Py<PyAny>,
    ) -> PyResult<()> {
        let context = self.take(py)?;
        let ready = FromWorker::Ready { interface, concurrent_calls: None };
        let life = async move {
            let ended = run_worker(context, service, ready).await;
            Python::attach(|py| finish(done.bind(py), ended));
        };
        match engine.cast::<LoopCore>() {
            Ok(own) => own.get().spawn(py, life),
            Err(_) => engine.cast::<Engine>()?.get().spawn(py, life),
        }
    }

    /// Tells the master something, before this worker serves.
    fn announce(&self, py: Python<'_>, message: FromWorker) -> PyResult<()> {
        exit_if_forked(py, Ok(()))?;
        self.0.with(py, |context| {
            if let Some(context) = context {
                announce(&context.channel, message);
            }
        });
        Ok(())
    }

    fn take(&self, py: Python<'_>) -> PyResult<WorkerContext> {
        exit_if_forked(py, Ok(()))?;
        self.0.with(py, Option::take).ok_or_else(|| PyRuntimeError::new_err("this worker serves already"))
    }
}

#[pymethods]
impl PyWorker {
    #[getter]
    fn number(&self, py: Python<'_>) -> PyResult<u16> {
        self.look(py, |context| context.assignment.slot.index)
    }

    #[getter]
    fn generation(&self, py: Python<'_>) -> PyResult<u32> {
        self.look(py, |context| context.assignment.generation.0)
    }

    /// Whether files are watched (`--reload`).
    #[getter]
    fn watches(&self, py: Python<'_>) -> PyResult<bool> {
        self.look(py, |context| context.settings.options.auto_reload.enabled)
    }

    /// Whether a developer is told why the application cannot be loaded.
    #[getter]
    fn is_development(&self, py: Python<'_>) -> PyResult<bool> {
        self.look(py, |context| context.settings.is_development())
    }

    /// Why the application cannot be loaded: message, cause and hint.
    #[getter]
    fn failure(&self, py: Python<'_>) -> PyResult<Option<Told>> {
        self.look(py, |context| {
            let failure = context.settings.failure.clone();
            failure.map(|Failure { message, cause, hint, .. }| (message, cause, hint))
        })
    }

    #[getter]
    fn warmup(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.options(py, |options| options.app.warmup.as_ref().map(|path| path.0.clone()))
    }

    /// How long a drain may take, in seconds.
    #[getter]
    fn graceful_timeout(&self, py: Python<'_>) -> PyResult<f64> {
        self.options(py, |options| options.supervision.graceful_timeout.as_secs_f64())
    }

    /// A descriptor of the file for stacks, which is open as long as the process.
    #[getter]
    fn stacks_descriptor(&self, py: Python<'_>) -> PyResult<i32> {
        let file = self.look(py, |context| context.stacks.try_clone())??;
        Ok(file.into_raw_fd())
    }

    /// The signal at which all there is to tell is written there.
    #[getter]
    #[expect(clippy::unused_self, reason = "Python sees an attribute")]
    fn stacks_signal(&self) -> i32 {
        signal::report()
    }

    /// Has the loop observed from now on. `register` is given the descriptor and the signal at which faulthandler is to
    /// write the stacks of all threads there; the signal is never sent. Slow callbacks are told where they are to be
    /// short.
    fn observe(&self, py: Python<'_>, register: &Bound<'_, PyAny>, short_callbacks: bool) -> PyResult<()> {
        let (slow, stall, file, line, watches) = self.look(py, |context| {
            let limits = &context.settings.options.supervision;
            (
                limits.slow_callback,
                limits.stall_timeout,
                context.stacks.try_clone(),
                context.channel.try_clone().ok(),
                context.settings.options.auto_reload.enabled,
            )
        })?;
        let duties = Duties {
            slow: slow.filter(|_| short_callbacks),
            stall: stall.zip(file.ok()),
            tells_debuggers: watches,
        };
        let Some(page) = board::own() else { return Ok(()) };
        let samples = board::stacks_file()?;
        own::claim(&samples);
        register.call1((samples.as_raw_fd(), signal::sample()))?;
        line.iter().for_each(own::claim);
        observe::begin(page, duties, samples, line);
        Ok(())
    }

    #[getter]
    fn target(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.options(py, |options| options.app.target.clone())
    }

    #[getter]
    fn factory(&self, py: Python<'_>) -> PyResult<bool> {
        self.options(py, |options| options.app.factory)
    }

    #[getter]
    fn working_dir(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let text = |dir: &PathBuf| dir.to_string_lossy().into_owned();
        self.options(py, |options| options.app.working_dir.as_ref().map(text))
    }

    #[getter]
    fn log_config(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.options(py, |options| {
            options.log.config.as_ref().map(|path| path.to_string_lossy().into_owned())
        })
    }

    /// Has lines of the access log, if there is one, written by this function; in this format, if it is given.
    #[pyo3(signature = (write, format))]
    fn log_access_to(&self, py: Python<'_>, write: Py<PyAny>, format: Option<String>) -> PyResult<()> {
        self.0.with(py, |context| {
            if let (Some(context), Some(format)) = (context, format) {
                context.settings.options.log.access_format = Some(format);
            }
        });
        logging::access_to_python(py, write);
        Ok(())
    }

    #[getter]
    fn gunicorn_hooks(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.options(py, |options| options.app.hooks.clone())
    }

    #[getter]
    fn python_path(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let text = |dir: &PathBuf| dir.to_string_lossy().into_owned();
        self.options(py, |options| options.app.python_path.0.iter().map(text).collect())
    }

    #[getter]
    fn interface(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        self.options(py, |options| interface_name(options.app.interface))
    }

    /// `--loop`, as the user wrote it.
    #[getter]
    fn event_loop(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.options(py, |options| options.runtime.event_loop.name())
    }

    #[getter]
    fn blocking_threads(&self, py: Python<'_>) -> PyResult<usize> {
        self.options(py, |options| options.wsgi.blocking_threads)
    }

    /// In seconds; None: threads are kept.
    #[getter]
    fn blocking_threads_idle_timeout(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.options(py, |options| {
            options.wsgi.blocking_threads_idle_timeout.map(|limit| limit.as_secs_f64())
        })
    }

    /// Tells the master why this worker failed to boot; returns the exit code.
    #[pyo3(signature = (kind, message, cause = None, hint = None))]
    fn fail(
        &self,
        py: Python<'_>,
        kind: &str,
        message: &Bound<'_, PyString>,
        cause: Option<&Bound<'_, PyString>>,
        hint: Option<&Bound<'_, PyString>>,
    ) -> PyResult<u8> {
        let failure = failure(kind, message, cause, hint)?;
        let status = failure.status;
        self.announce(py, FromWorker::Failed(failure))?;
        Ok(status.code())
    }

    /// Tells the master why this worker will serve no application.
    #[pyo3(signature = (kind, message, cause = None, hint = None))]
    fn tell_failure(
        &self,
        py: Python<'_>,
        kind: &str,
        message: &Bound<'_, PyString>,
        cause: Option<&Bound<'_, PyString>>,
        hint: Option<&Bound<'_, PyString>>,
    ) -> PyResult<()> {
        self.announce(py, FromWorker::ServesFailure(failure(kind, message, cause, hint)?))
    }

    /// Serves an ASGI application on a loop that is about to run; `done` gets True when all requests were finished.
    fn serve_asgi(
        &self,
        py: Python<'_>,
        app: Bound<'_, PyAny>,
        event_loop: Bound<'_, PyAny>,
        engine: Bound<'_, PyAny>,
        state: Option<Bound<'_, PyDict>>,
        done: Py<PyAny>,
    ) -> PyResult<()> {
        let (root_path, websocket) =
            self.options(py, |options| (options.app.root_path.0.clone(), options.websocket))?;
        let app = AsgiApp::new(app, &event_loop, state, root_path, websocket)?;
        self.serve(py, Served::Asgi, HttpService(app), &engine, done)
    }

    /// Serves an RSGI application, as `serve_asgi`; `errors` are the exceptions that it knows.
    fn serve_rsgi(
        &self,
        py: Python<'_>,
        app: Bound<'_, PyAny>,
        event_loop: Bound<'_, PyAny>,
        engine: Bound<'_, PyAny>,
        errors: (Bound<'_, PyAny>, Bound<'_, PyAny>),
        done: Py<PyAny>,
    ) -> PyResult<()> {
        let websocket = self.options(py, |options| options.websocket)?;
        let errors = Errors::new(errors.0, errors.1);
        let app = RsgiApp::new(app, &event_loop, errors, websocket)?;
        self.serve(py, Served::Rsgi, HttpService(app), &engine, done)
    }

    /// Whether it runs tasks, and serves no requests.
    #[getter]
    fn runs_tasks(&self, py: Python<'_>) -> PyResult<bool> {
        self.look(py, |context| context.assignment.role == Role::Tasks)
    }

    /// The queues whose tasks it takes, how many it runs at once, and by how much its priority is lower.
    #[getter]
    fn task_options(&self, py: Python<'_>) -> PyResult<(Vec<String>, u32, u8, f64)> {
        self.options(py, |Settings { tasks, .. }| {
            let timeout = tasks.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
            (tasks.queues.0.clone(), tasks.concurrency, tasks.nice, timeout)
        })
    }

    /// Takes tasks on a loop that is about to run. `drain` is called with seconds when that is to end, `leave` when what runs is to be
    /// the last; `done` is as for `serve_asgi`.
    fn serve_tasks(
        &self,
        py: Python<'_>,
        take: Py<PyAny>,
        drain: Py<PyAny>,
        leave: Py<PyAny>,
        engine: Bound<'_, PyAny>,
        done: Py<PyAny>,
    ) -> PyResult<TaskReports> {
        let (service, reports) = TaskService::new(take, drain, leave);
        self.serve(py, Served::Tasks, service, &engine, done)?;
        Ok(reports)
    }

    /// Serves a WSGI application until told to stop, without an event loop; True when all requests were finished.
    fn serve_wsgi(
        &self,
        py: Python<'_>,
        app: Bound<'_, PyAny>,
        jobs: Option<Bound<'_, Jobs>>,
    ) -> PyResult<bool> {
        let (root_path, limits, stall_timeout) = self.options(py, |options| {
            (options.app.root_path.0.clone(), options.wsgi, options.supervision.stall_timeout)
        })?;
        let threads = limits.blocking_threads;
        let pool = jobs.map(|jobs| (jobs.get().clone(), threads));
        let app = WsgiApp::new(app, root_path, limits, stall_timeout, pool)?;
        let context = self.take(py)?;
        let ready = FromWorker::Ready { interface: Served::Wsgi, concurrent_calls: Some(threads) };
        let runtime = Runtime::new()?;
        let ended = runtime.block_on(run_worker(context, HttpService(app), ready))?;
        Ok(ended == Ending::Drained)
    }
}

/// Marks this thread as waiting: it serves no more, and must not be taken for a blocked loop.
#[pyfunction]
pub(crate) fn rest() {
    board::parked(true);
}

/// The name of an interface, as the option has it; `None` is to be found out.
pub(super) fn interface_name(interface: Interface) -> Option<&'static str> {
    (interface != Interface::Auto).then(|| interface.name())
}

fn finish(done: &Bound<'_, PyAny>, ended: io::Result<Ending>) {
    let py = done.py();
    let told = match ended {
        Ok(ending) => done.call_method1(intern!(py, "set_result"), (ending == Ending::Drained,)),
        Err(error) => done.call_method1(intern!(py, "set_exception"), (PyErr::from(error).into_value(py),)),
    };
    if let Err(error) = told {
        tracing::error!(%error, "cannot tell the event loop that serving ended");
    }
}

/// Message, cause and hint.
type Told = (String, Option<String>, Option<String>);

/// What is told of a kind of failure.
fn failure(
    kind: &str,
    message: &Bound<'_, PyString>,
    cause: Option<&Bound<'_, PyString>>,
    hint: Option<&Bound<'_, PyString>>,
) -> PyResult<Failure> {
    let status = match kind {
        "import" => ExitStatus::AppImport,
        "boot" => ExitStatus::Boot,
        "config" => ExitStatus::Config,
        other => return Err(PyValueError::new_err(format!("{other:?} is no kind of failure"))),
    };
    let (message, cause, hint) =
        (logging::utf8(message), cause.map(logging::utf8).map(cut), hint.map(logging::utf8));
    Ok(Failure { status, message, cause, hint })
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_CAUSE {
        let mut from = text.len() - LONGEST_CAUSE;
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text.replace_range(..from, "…\n");
    }
    text
}
