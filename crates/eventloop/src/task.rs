//! Starting an application's coroutine as an asyncio task whose first step runs at once.

use crate::{
    awaitable::coroutine_of,
    callbacks,
    calls::{call_with, call_with_names},
    core::LoopCore,
    engine::spawn_local,
    forked::exit_if_forked_with,
    future::resolve,
};
use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    types::{PyBool, PyCFunction, PyString, PyTuple},
};

/// Starts tasks of a loop.
pub struct Tasks {
    /// `asyncio.Task`.
    class: Py<PyAny>,
    /// The names of its keyword arguments, for the fast call.
    keywords: Py<PyTuple>,
    /// `eager_start=` exists (CPython ≥ 3.12). Without it the first step is run by hand.
    eager: bool,
    event_loop: Loop,
}

/// The loop that the tasks run on.
enum Loop {
    Ours(Py<LoopCore>),
    /// asyncio's own, or uvloop.
    Foreign(Py<PyAny>),
}

impl Loop {
    fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        match self {
            Self::Ours(core) => core.bind(py).as_any(),
            Self::Foreign(event_loop) => event_loop.bind(py),
        }
    }

    /// Ends the loop with SystemExit or KeyboardInterrupt.
    fn fail(&self, py: Python<'_>, error: PyErr) {
        match self {
            Self::Ours(core) => core.get().fail(py, error),
            Self::Foreign(event_loop) => {
                let raise = PyCFunction::new_closure(py, None, None, move |args, _| -> PyResult<()> {
                    Err(error.clone_ref(args.py()))
                });
                let told = raise
                    .and_then(|raise| event_loop.bind(py).call_method1(intern!(py, "call_soon"), (raise,)));
                if let Err(error) = told {
                    tracing::error!(%error, "cannot end the event loop");
                }
            }
        }
    }
}

/// The outcome of a task's first step.
pub enum Started<'py> {
    /// The application returned (`None`) or raised without being suspended.
    Done(Option<PyErr>),
    /// It is suspended. Keep the reference: asyncio itself has only a weak one.
    Suspended(Bound<'py, PyAny>),
}

impl Tasks {
    /// Starts tasks of this loop, an `EventLoop` of ours or another one.
    ///
    /// # Errors
    /// What the import of asyncio raises.
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let eager = py.version_info() >= (3, 12);
        let keywords = if eager { vec!["loop", "eager_start"] } else { vec!["loop"] };
        Ok(Self {
            class: py.import("asyncio")?.getattr("Task")?.unbind(),
            keywords: PyTuple::new(py, keywords.iter().map(|name| PyString::intern(py, name)))?.unbind(),
            eager,
            event_loop: match event_loop.cast::<LoopCore>() {
                Ok(core) => Loop::Ours(core.clone().unbind()),
                Err(_) => Loop::Foreign(event_loop.clone().unbind()),
            },
        })
    }

    /// A future of the loop.
    ///
    /// # Errors
    /// The loop's.
    pub fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.event_loop.object(py).call_method0(intern!(py, "create_future"))
    }

    /// A future that is resolved in the loop's next turn, to suspend a task that would otherwise keep the thread.
    ///
    /// # Errors
    /// The loop's.
    pub fn next_turn<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let future = self.future(py)?;
        let turned = future.clone().unbind();
        spawn_local(async move {
            Python::attach(|py| resolve(turned.bind(py), py.None().into_bound(py)));
        });
        Ok(future)
    }

    /// Calls a function that returns an awaitable, and runs that until it is suspended for the first time. If it is, what
    /// `done` returns is called with the task when that ends.
    ///
    /// To be called from a task of the runtime or a callback of the loop. Before CPython 3.12 it may not be called
    /// inside an asyncio task. SystemExit and KeyboardInterrupt of the first step end the loop.
    ///
    /// # Errors
    /// Those of asyncio; what the function raises is an outcome.
    pub fn start<'py, const N: usize>(
        &self,
        app: &Bound<'py, PyAny>,
        args: [&Bound<'py, PyAny>; N],
        done: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Started<'py>> {
        let py = app.py();
        let started = call_with(app, args).and_then(|awaitable| self.begin(&awaitable));
        match exit_if_forked_with(py, started, task_error) {
            Ok(task) if task.call_method0(intern!(py, "done"))?.is_truthy()? => {
                Ok(Started::Done(task_error(&task)))
            }
            Ok(task) => {
                task.call_method1(intern!(py, "add_done_callback"), (done()?,))?;
                Ok(Started::Suspended(task))
            }
            Err(error) => {
                if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                    self.event_loop.fail(py, error.clone_ref(py));
                }
                Ok(Started::Done(Some(error)))
            }
        }
    }

    /// Makes an awaitable a task and runs its first step.
    fn begin<'py>(&self, awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.step(awaitable) {
            // asyncio says so of what is no coroutine, which is rare.
            Err(error) if error.is_instance_of::<PyTypeError>(awaitable.py()) => {
                coroutine_of(awaitable)?.map_or(Err(error), |coroutine| self.step(&coroutine))
            }
            stepped => stepped,
        }
    }

    /// Makes a coroutine a task and runs its first step.
    fn step<'py>(&self, coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = coroutine.py();
        let (class, names) = (self.class.bind(py), self.keywords.bind(py));
        let event_loop = self.event_loop.object(py);
        if self.eager {
            let eager = PyBool::new(py, true);
            return call_with_names(class, [coroutine, event_loop, eager.as_any()], names);
        }
        let task = call_with_names(class, [coroutine, event_loop], names)?;
        // The task has just queued its first step.
        if let Loop::Ours(core) = &self.event_loop
            && let Some(step) = core.get().take_last(py)
        {
            callbacks::run(core.bind(py), step.bind(py));
        }
        Ok(task)
    }
}

/// The exception that a finished task raised, CancelledError if it was cancelled.
pub fn task_error(task: &Bound<'_, PyAny>) -> Option<PyErr> {
    match task.call_method0(intern!(task.py(), "exception")) {
        Ok(error) if error.is_none() => None,
        Ok(error) => Some(PyErr::from_value(error)),
        // The task was cancelled; `exception()` raises CancelledError.
        Err(error) => Some(error),
    }
}
