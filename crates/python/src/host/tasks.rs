//! The service of task workers: the Python half (`hostler.tasks._worker`) takes and runs tasks on the loop; here is what master and
//! scoreboard are told of them, and how the worker drains.

use super::overdue;
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
    /// A task begins, for which the worker waits so many seconds; what is to be told at its end.
    fn began(&self, py: Python<'_>, name: &str, limit: Option<f64>) -> Option<usize> {
        let now = clock::now();
        let entry = self.0.with(py, |state: &mut Rc<State>| state.page.get()?.task_began(now, name));
        if let (Some(entry), Some(limit)) = (entry, limit) {
            overdue::began(entry, name, now, limit);
        }
        entry
    }

    /// A task has ended. Any thread may say so, and that one begins.
    fn ended(&self, py: Python<'_>, entry: Option<usize>) {
        overdue::ended(entry);
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

    /// What ran when it was told to leave has ended.
    fn finished(&self, py: Python<'_>) {
        self.0.with(py, |state| state.at_limit.notify_one());
    }

    /// Nothing runs any more, and all is reported.
    fn drained(&self, py: Python<'_>) {
        self.0.with(py, |state| state.drained.notify_one());
    }
}

/// Takes tasks from the queue: `take` is called when it may, `drain` with the seconds that what runs may take, `leave` when what runs is
/// to be the last.
pub(super) struct TaskService {
    state: Rc<State>,
    take: Py<PyAny>,
    drain: Py<PyAny>,
    leave: Py<PyAny>,
}

impl TaskService {
    pub(super) fn new(take: Py<PyAny>, drain: Py<PyAny>, leave: Py<PyAny>) -> (Self, TaskReports) {
        let state = Rc::new(State {
            page: Cell::default(),
            served: Cell::default(),
            most: Cell::default(),
            at_limit: Notify::new(),
            drained: Notify::new(),
            others: Notify::new(),
        });
        (Self { state: Rc::clone(&state), take, drain, leave }, TaskReports(GilCell::new(state)))
    }
}

impl Service for TaskService {
    type Running = Tasks;

    fn start(self, resources: Resources) -> io::Result<Tasks> {
        self.state.page.set(Some(resources.page));
        self.state.most.set(resources.assignment.request_limit);
        overdue::watch();
        Python::attach(|py| self.take.call0(py).map(drop)).map_err(io::Error::other)?;
        Ok(Tasks { state: self.state, drain: self.drain, leave: self.leave })
    }
}

/// A worker that takes tasks.
pub(super) struct Tasks {
    state: Rc<State>,
    drain: Py<PyAny>,
    leave: Py<PyAny>,
}

impl Running for Tasks {
    async fn limit_reached(&self) {
        self.state.at_limit.notified().await;
    }

    /// What runs is finished, and nothing new is begun.
    fn lame_duck(&self) {
        if let Err(error) = Python::attach(|py| self.leave.call0(py).map(drop)) {
            tracing::error!(%error, "cannot leave: tasks are taken until the worker drains");
        }
    }

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
