//! The service of task workers: the Python half (`hostler.tasks._worker`) takes and runs tasks on the loop; here is what master and
//! scoreboard are told of them, and how the worker drains.

use hostler_eventloop::GilCell;
use hostler_sys::clock;
use hostler_wire::Page;
use hostler_worker::{Cut, Others, Resources, Running, Service};
use pyo3::prelude::*;
use std::{cell::Cell, io, os::fd::OwnedFd, rc::Rc, time::Duration};
use tokio::sync::Notify;

/// Of the time that a drain may take, what is left for giving tasks back.
const GIVING_BACK: f64 = 0.2;

/// What a task worker's thread knows of its tasks.
struct State {
    page: Cell<Option<&'static Page>>,
    served: Cell<u64>,
    most: Cell<Option<u64>>,
    at_limit: Notify,
    drained: Notify,
    others: Notify,
}

/// Told by the Python half what its tasks do.
#[pyclass(frozen, module = "hostler")]
pub struct TaskReports(GilCell<Rc<State>>);

#[pymethods]
impl TaskReports {
    /// A task begins; what is to be told at its end.
    fn began(&self, py: Python<'_>, name: &str) -> Option<usize> {
        let began = |state: &mut Rc<State>| state.page.get()?.task_began(clock::now(), name);
        self.0.with(py, began)
    }

    /// A task has ended. Any thread may say so, and that one begins.
    fn ended(&self, py: Python<'_>, entry: Option<usize>) {
        self.0.with(py, |state| {
            if let Some(page) = state.page.get() {
                page.task_ended(clock::now(), entry);
            }
        });
    }

    /// How many tasks may begin, if there is a limit.
    fn most(&self, py: Python<'_>) -> Option<u64> {
        self.0.with(py, |state| state.most.get())
    }

    /// So many tasks have ended.
    fn served(&self, py: Python<'_>, count: u64) {
        self.0.with(py, |state| {
            state.served.set(state.served.get() + count);
            if state.most.get().is_some_and(|most| state.served.get() >= most) {
                state.at_limit.notify_one();
            }
        });
    }

    /// Nothing runs any more, and all is reported.
    fn drained(&self, py: Python<'_>) {
        self.0.with(py, |state| state.drained.notify_one());
    }
}

/// Takes tasks from the queue: `take` is called when it may, `drain` with the seconds that what runs may take.
pub(super) struct TaskService {
    state: Rc<State>,
    take: Py<PyAny>,
    drain: Py<PyAny>,
}

impl TaskService {
    pub(super) fn new(take: Py<PyAny>, drain: Py<PyAny>) -> (Self, TaskReports) {
        let state = Rc::new(State {
            page: Cell::default(),
            served: Cell::default(),
            most: Cell::default(),
            at_limit: Notify::new(),
            drained: Notify::new(),
            others: Notify::new(),
        });
        (Self { state: Rc::clone(&state), take, drain }, TaskReports(GilCell::new(state)))
    }
}

impl Service for TaskService {
    type Running = Tasks;

    fn start(self, resources: Resources) -> io::Result<Tasks> {
        self.state.page.set(Some(resources.page));
        self.state.most.set(resources.assignment.request_limit);
        Python::attach(|py| self.take.call0(py).map(drop)).map_err(io::Error::other)?;
        Ok(Tasks { state: self.state, drain: self.drain })
    }
}

/// A worker that takes tasks.
pub(super) struct Tasks {
    state: Rc<State>,
    drain: Py<PyAny>,
}

impl Running for Tasks {
    async fn limit_reached(&self) {
        self.state.at_limit.notified().await;
    }

    fn lame_duck(&self) {}

    fn renew_certificates(&self, _: OwnedFd) {}

    async fn drain(&self, _: Others, grace: Duration, accepts_no_more: impl Fn()) {
        let seconds = grace.as_secs_f64() * (1.0 - GIVING_BACK);
        if let Err(error) = Python::attach(|py| self.drain.call1(py, (seconds,)).map(drop)) {
            tracing::error!(%error, "cannot drain: what runs is run again elsewhere");
            return;
        }
        accepts_no_more();
        loop {
            tokio::select! {
                () = self.state.drained.notified() => return,
                () = self.state.others.notified() => accepts_no_more(),
            }
        }
    }

    fn others_stop(&self) {
        self.state.others.notify_one();
    }

    fn accept_last(&self) {
        self.state.others.notify_one();
    }

    async fn cut(&self, _: Cut) {}

    fn open(&self) -> usize {
        self.state.page.get().map_or(0, |page| usize::try_from(page.in_flight()).unwrap_or(usize::MAX))
    }

    fn activity(&self) -> impl Fn() -> Option<u64> + 'static {
        let state = Rc::clone(&self.state);
        move || state.page.get().is_some_and(|page| page.in_flight() == 0).then(|| state.served.get())
    }
}
