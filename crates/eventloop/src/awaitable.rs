//! What applications await: an awaitable that is finished before it is awaited, so that awaiting it suspends nobody,
//! one that waits in a line, and futures of the loop.
//!
//! The awaitables of our own are coroutines for asyncio, too (`send`, `throw`, `close`): `create_task(receive())` works
//! as it does with servers whose `receive` is a coroutine function. As with a coroutine, nothing happens before it is
//! awaited, so one that nobody awaits takes nothing from those who do.

use crate::{calls::stop_iteration, gil::GilCell, waiters::Line};
use pyo3::{
    exceptions::PyRuntimeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyString, PyTuple},
};

/// `await finished` gives its value at once.
#[pyclass(frozen, module = "hostler")]
pub struct Finished {
    value: Option<Py<PyAny>>,
}

impl Finished {
    /// One that gives `value`.
    pub fn with<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Bound::new(py, Self { value: Some(value.unbind()) })?.into_any())
    }

    /// The one that gives None; it has no state, so all share it.
    pub fn none(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        static NONE: PyOnceLock<Py<Finished>> = PyOnceLock::new();
        let none = NONE.get_or_try_init(py, || Py::new(py, Self { value: None }))?;
        Ok(none.bind(py).clone().into_any())
    }
}

#[pymethods]
impl Finished {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.value {
            // An iterator that ends without a word has the value None.
            None => Ok(None),
            Some(value) => Err(stop_iteration(value.bind(py).clone())),
        }
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = self.value.as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py));
        Err(stop_iteration(value.into_bound(py)))
    }

    #[pyo3(signature = (error, *_more))]
    #[expect(clippy::unused_self, reason = "a method of coroutines")]
    fn throw(&self, error: Bound<'_, PyAny>, _more: &Bound<'_, PyTuple>) -> PyResult<()> {
        Err(PyErr::from_value(error))
    }

    #[expect(clippy::unused_self, reason = "a method of coroutines")]
    fn close(&self) {}
}

/// What somebody waits for in a line.
pub trait Source: 'static {
    /// Where those stand who wait for it.
    fn line(&self) -> &Line;

    /// What there is for the first in the line; `None` if that has to wait. An error is what the first gets.
    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>>;

    /// A future of the loop.
    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// Somebody waits from now on: has the line woken when there is something to look for.
    fn fetch(&self, py: Python<'_>) -> PyResult<()>;

    /// The line is empty again.
    fn rests(&self, _py: Python<'_>) {}
}

/// `await waiting` gives what its source has, once it is its turn.
///
/// What it waits for is taken when its task goes on, not before: cancelling that task at whatever moment loses nothing.
#[pyclass(frozen, module = "hostler")]
pub struct Waiting(GilCell<State>);

enum State {
    /// Its source, and the future by which it stands in the line.
    Line(Box<dyn Source>, Option<Py<PyAny>>),
    /// A future that nobody else waits for; whether it was awaited.
    Alone(Py<PyAny>, bool),
    Over,
}

impl Waiting {
    /// Waits in the line of `source`.
    pub fn at(py: Python<'_>, source: impl Source) -> PyResult<Bound<'_, PyAny>> {
        Self::make(py, State::Line(Box::new(source), None))
    }

    /// Waits for a future of the loop.
    pub fn alone<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::make(future.py(), State::Alone(future.clone().unbind(), false))
    }

    fn make(py: Python<'_>, state: State) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, Self(GilCell::new(state)))?.into_any())
    }

    fn take(&self, py: Python<'_>) -> State {
        self.0.with(py, |state| std::mem::replace(state, State::Over))
    }

    /// Goes on: a future that is to be waited for, or the end, with its value as `StopIteration`.
    fn go_on<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.take(py) {
            State::Line(source, place) => self.ask(py, source, place),
            State::Alone(future, false) => {
                let waited = begin_wait(future.bind(py));
                self.0.with(py, |state| *state = State::Alone(future, true));
                waited
            }
            State::Alone(future, true) => {
                Err(stop_iteration(future.bind(py).call_method0(intern!(py, "result"))?))
            }
            State::Over => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    fn ask<'py>(
        &self,
        py: Python<'py>,
        source: Box<dyn Source>,
        place: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let looked = if source.line().is_first(py, place.as_ref()) { source.look(py) } else { Ok(None) };
        let end = match looked {
            Ok(None) => None,
            Ok(Some(value)) => Some(stop_iteration(value)),
            Err(error) => Some(error),
        };
        if let Some(end) = end {
            leave(py, &*source, place);
            return Err(end);
        }
        let future = source.future(py)?;
        source.line().stand(py, &future, place);
        if let Err(error) = source.fetch(py) {
            leave(py, &*source, Some(future.unbind()));
            return Err(error);
        }
        self.0.with(py, |state| *state = State::Line(source, Some(future.clone().unbind())));
        begin_wait(&future)
    }

    /// Whoever waited does so no more.
    fn give_up(&self, py: Python<'_>) {
        if let State::Line(source, place) = self.take(py) {
            leave(py, &*source, place);
        }
    }
}

/// Leaves the line; the next one looks whether there is something.
fn leave(py: Python<'_>, source: &dyn Source, place: Option<Py<PyAny>>) {
    let Some(place) = place else { return };
    source.line().leave(py, &place);
    if source.line().is_empty(py) {
        source.rests(py);
    }
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
        self.go_on(py)
    }

    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.go_on(py)
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
        if self.0.peek(|state| matches!(state, State::Line(_, Some(_)))) == Some(true) {
            Python::attach(|py| self.give_up(py));
        }
    }
}

/// Finishes a future of the loop, unless its task was cancelled meanwhile.
pub fn resolve(future: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) {
    settle(future, intern!(future.py(), "set_result"), value);
}

/// Fails a future of the loop, unless its task was cancelled meanwhile.
pub fn reject(future: &Bound<'_, PyAny>, error: PyErr) {
    let py = future.py();
    settle(future, intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any());
}

fn settle(future: &Bound<'_, PyAny>, how: &Bound<'_, PyString>, value: Bound<'_, PyAny>) {
    let py = future.py();
    let settled = future.call_method0(intern!(py, "done")).and_then(|done| {
        if done.is_truthy()? { Ok(()) } else { future.call_method1(how, (value,)).map(drop) }
    });
    if let Err(error) = settled {
        // Only a closed loop refuses; then nobody waits for this future either.
        tracing::debug!(%error, "cannot finish a future");
    }
}
