//! The runtime beside another loop: asyncio's own, or uvloop.
//!
//! Our own loop *is* the runtime; another one has a wait of its own. It watches the runtime's epoll set like any
//! other descriptor and gives the runtime a turn whenever that is ready, and at intervals for the runtime's timers.
//! Each turn costs system calls that our loop does not need.

use crate::{forked::exit_if_forked_without_gil, gil::GilCell, observer::observer, runtime::Runtime};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::{cell::RefCell, future::Future, os::fd::RawFd, pin::Pin};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::yield_now,
};

/// How often a turn yields. Every yield runs the tasks that are ready and polls the sockets once, without waiting.
const YIELDS_PER_TURN: usize = 4;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Takes the tasks that the other loop's callbacks spawn, outside of the runtime's turns.
    static SPAWN_QUEUE: RefCell<Option<UnboundedSender<Task>>> = const { RefCell::new(None) };
}

/// Spawns a task on this thread's runtime, inside a turn or outside; `false` in a thread that has no runtime.
pub fn spawn_local(task: impl Future<Output = ()> + 'static) -> bool {
    SPAWN_QUEUE.with_borrow(|queue| {
        match queue {
            // Once the runtime is closed nothing receives the task, and nothing waits for it either.
            Some(queue) => drop(queue.send(Box::pin(task))),
            None if tokio::runtime::Handle::try_current().is_err() => return false,
            None => drop(tokio::task::spawn_local(task)),
        }
        true
    })
}

/// A runtime that another loop drives.
#[pyclass(frozen, module = "hostler")]
pub struct Engine {
    /// Taken out during a turn.
    runtime: GilCell<Option<Runtime>>,
    epoll: RawFd,
}

#[pymethods]
impl Engine {
    #[new]
    fn new() -> PyResult<Self> {
        let runtime = Runtime::new()?;
        let epoll = runtime.epoll().ok_or_else(|| PyRuntimeError::new_err("the runtime has no epoll set"))?;
        let (sender, mut receiver) = unbounded_channel();
        SPAWN_QUEUE.set(Some(sender));
        runtime.spawn_local(async move {
            while let Some(task) = receiver.recv().await {
                tokio::task::spawn_local(task);
            }
        });
        Ok(Self { runtime: GilCell::new(Some(runtime)), epoll })
    }

    /// The descriptor that the loop watches for reading.
    fn fileno(&self) -> RawFd {
        self.epoll
    }

    /// Runs the tasks that are ready and polls the sockets, without waiting.
    fn turn(&self, py: Python<'_>) {
        // A turn is a callback of the loop, and so is never run inside another turn.
        let Some(runtime) = self.runtime.with(py, Option::take) else { return };
        observer().unparked();
        runtime.block_on(async {
            for _ in 0..YIELDS_PER_TURN {
                yield_now().await;
            }
        });
        exit_if_forked_without_gil();
        observer().parked();
        self.runtime.with(py, |slot| *slot = Some(runtime));
    }
}

impl Engine {
    /// Spawns a task on the runtime; it runs in the engine's turns.
    ///
    /// # Errors
    /// RuntimeError inside a turn, where [`spawn_local`] does it.
    pub fn spawn(&self, py: Python<'_>, task: impl Future<Output = ()> + 'static) -> PyResult<()> {
        self.runtime.with(py, |runtime| match runtime {
            Some(runtime) => {
                runtime.spawn_local(task);
                Ok(())
            }
            None => Err(PyRuntimeError::new_err("the engine has its turn: use spawn_local")),
        })
    }
}
