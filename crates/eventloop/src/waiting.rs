//! An awaitable for what comes later: its tasks wait in a queue.
//!
//! It is a coroutine for asyncio, too (`send`, `throw`, `close`): `create_task(receive())` works as it does with
//! servers whose `receive` is a coroutine function. As with a coroutine, nothing happens before it is awaited, so one
//! that is never awaited takes nothing from the others.

use crate::{calls::stop_iteration, gil::GilCell, wait_queue::WaitQueue};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, types::PyTuple};

/// What tasks wait for.
pub trait Source: 'static {
    /// The tasks that wait for it.
    fn waiters(&self) -> &WaitQueue;

    /// Takes what there is for the first task; `None` if it has to wait.
    ///
    /// # Errors
    /// What is raised in the first task.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>>;

    /// A future of the loop.
    ///
    /// # Errors
    /// The loop's.
    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// A task waits from now on: calls [`WaitQueue::wake_first`] when there is something to take.
    ///
    /// # Errors
    /// What is raised in the task.
    fn request(&self, py: Python<'_>) -> PyResult<()>;
}

/// `await waiting` gives what its source has, once the tasks before have got theirs.
///
/// The item is taken when the task resumes, not before: cancelling the task at any moment loses nothing.
#[pyclass(frozen, module = "hostler")]
pub struct Waiting(GilCell<State>);

enum State {
    /// Its source, and the future by which it is known in the queue.
    Queued(Box<dyn Source>, Option<Py<PyAny>>),
    /// A future of its own; whether it was awaited.
    Future(Py<PyAny>, bool),
    Over,
}

impl Waiting {
    /// Waits for what `source` gives.
    ///
    /// # Errors
    /// MemoryError.
    pub fn on(py: Python<'_>, source: impl Source) -> PyResult<Bound<'_, PyAny>> {
        Self::make(py, State::Queued(Box::new(source), None))
    }

    /// Waits for a future of the loop.
    ///
    /// # Errors
    /// MemoryError.
    pub fn on_future<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::make(future.py(), State::Future(future.clone().unbind(), false))
    }

    fn make(py: Python<'_>, state: State) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, Self(GilCell::new(state)))?.into_any())
    }

    fn take(&self, py: Python<'_>) -> State {
        self.0.with(py, |state| std::mem::replace(state, State::Over))
    }

    /// Resumes: gives a future to suspend on, or ends with the value as `StopIteration`.
    fn resume<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.take(py) {
            State::Queued(source, waiter) => self.ask(py, source, waiter),
            State::Future(future, false) => {
                let waited = begin_wait(future.bind(py));
                self.0.with(py, |state| *state = State::Future(future, true));
                waited
            }
            State::Future(future, true) => {
                Err(stop_iteration(future.bind(py).call_method0(intern!(py, "result"))?))
            }
            State::Over => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    fn ask<'py>(
        &self,
        py: Python<'py>,
        source: Box<dyn Source>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let taken = if source.waiters().is_first(py, waiter.as_ref()) { source.take(py) } else { Ok(None) };
        let end = match taken {
            Ok(None) => None,
            Ok(Some(value)) => Some(stop_iteration(value)),
            Err(error) => Some(error),
        };
        if let Some(end) = end {
            leave(py, &*source, waiter);
            return Err(end);
        }
        let future = source.future(py)?;
        source.waiters().enter(py, &future, waiter);
        if let Err(error) = source.request(py) {
            leave(py, &*source, Some(future.unbind()));
            return Err(error);
        }
        self.0.with(py, |state| *state = State::Queued(source, Some(future.clone().unbind())));
        begin_wait(&future)
    }

    /// Waits no more.
    fn give_up(&self, py: Python<'_>) {
        if let State::Queued(source, waiter) = self.take(py) {
            leave(py, &*source, waiter);
        }
    }
}

/// Leaves the queue, which wakes the next task.
fn leave(py: Python<'_>, source: &dyn Source, waiter: Option<Py<PyAny>>) {
    let Some(waiter) = waiter else { return };
    source.waiters().leave(py, &waiter);
}

/// What a task is given that is to wait for `future` (`asyncio.Future.__await__`).
fn begin_wait<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    future.setattr(intern!(future.py(), "_asyncio_future_blocking"), true)?;
    Ok(future.clone())
}

#[pymethods]
impl Waiting {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.resume(py)
    }

    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.resume(py)
    }

    #[pyo3(signature = (error, *_more))]
    fn throw(&self, error: Bound<'_, PyAny>, _more: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.give_up(error.py());
        Err(PyErr::from_value(error))
    }

    fn close(&self, py: Python<'_>) {
        self.give_up(py);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.0.peek(|state| matches!(state, State::Queued(_, Some(_)))) == Some(true) {
            Python::attach(|py| self.give_up(py));
        }
    }
}
