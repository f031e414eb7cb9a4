//! The driver: the asyncio loop's turns, as one task of the tokio runtime.
//!
//! A turn polls the selector, moves due timers to the ready queue, runs the callbacks that are ready and flushes what
//! transports have buffered. Other tasks of the runtime run between turns. A callback that one of them schedules
//! wakes the driver if it is idle, so no timeout is computed that such a callback could be late for.

use crate::{
    alarm::Alarm,
    callbacks::{report, run as run_handle},
    clock::now,
    core::LoopCore,
    gil::raised_by_signal,
    observer::observer,
    transport::{SocketTransport, flush_held},
};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*};
use std::{
    future::Future,
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Runs the loop until it is stopped or fails.
pub(crate) fn run(core: &Bound<'_, LoopCore>) -> PyResult<()> {
    let py = core.py();
    let selector = core.call_method0(intern!(py, "_selector_fileno"))?.extract::<RawFd>()?;
    LoopCore::move_to_this_thread(core)?;
    let runtime = core.get().runtime.take(py)?;
    let core_ref = core.clone().unbind();
    let result = runtime.block_on(async move {
        let driver = Driver {
            core: core_ref,
            selector: watch(selector)?,
            selector_hot: false,
            alarm: Alarm::new()?,
            held: Vec::new(),
        };
        // A task, not the future given to `block_on`: waking a task from its own thread costs no syscall.
        match tokio::task::spawn_local(driver).await {
            Ok(ended) => ended,
            Err(panicked) => Err(PyRuntimeError::new_err(format!("the event loop panicked: {panicked}"))),
        }
    });
    // A loop that one of its callbacks has closed needs no runtime any more.
    let kept = core.get().state.with(py, |state| {
        state.stopping = false;
        !state.closed
    });
    if kept {
        core.get().runtime.put_back(py, runtime);
    }
    result
}

/// The epoll descriptor of CPython's selector, which owns it.
struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[expect(unsafe_code, reason = "the descriptor belongs to a Python object")]
fn watch(selector: RawFd) -> io::Result<AsyncFd<Borrowed>> {
    // SAFETY: the loop owns the selector and closes it in `close()`, which refuses while the loop runs, so
    // the descriptor is open for as long as the driver lives.
    Ok(unsafe { AsyncFd::register_with_interest(Borrowed(selector), Interest::READABLE) }?)
}

struct Driver {
    core: Py<LoopCore>,
    /// The selector's epoll set, nested in tokio's.
    selector: AsyncFd<Borrowed>,
    /// The selector had events when it was last polled. Its set is level-triggered but tokio watches it
    /// edge-triggered (epoll(7)), so it is polled until it is empty.
    selector_hot: bool,
    alarm: Alarm,
    /// Empty but for its memory, outside [`Driver::flush_transports`].
    held: Vec<Py<PyAny>>,
}

impl Future for Driver {
    type Output = PyResult<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PyResult<()>> {
        let this = self.get_mut();
        Python::attach(|py| {
            // Callbacks may block this thread.
            observer().turn_begins();
            let core = this.core.clone_ref(py).into_bound(py);
            if let Some(raised) = raised_by_signal(cx.waker()) {
                return Poll::Ready(Err(raised));
            }
            if let Err(error) = this.poll_selector(&core, cx) {
                return Poll::Ready(Err(error));
            }
            // What other tasks have written since the last turn, then what this turn's callbacks write.
            this.flush_transports(&core);
            ready_due_timers(&core);
            run_ready(&core);
            this.flush_transports(&core);
            let (fatal, stopping) = core.get().state.with(py, |state| (state.fatal.take(), state.stopping));
            match fatal {
                Some(fatal) => return Poll::Ready(Err(fatal)),
                None if stopping => return Poll::Ready(Ok(())),
                None => {}
            }
            match this.schedule_next_turn(&core, cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error.into())),
            }
        })
    }
}

impl Driver {
    fn poll_selector(&mut self, core: &Bound<'_, LoopCore>, cx: &mut Context<'_>) -> PyResult<()> {
        loop {
            let mut guard = match self.selector.poll_read_ready(cx) {
                Poll::Ready(guard) => guard?,
                Poll::Pending => {
                    self.selector_hot = false;
                    return Ok(());
                }
            };
            self.selector_hot = core.call_method0(intern!(core.py(), "_poll_selector"))?.is_truthy()?;
            if self.selector_hot {
                return Ok(());
            }
            guard.clear_ready();
        }
    }

    /// Flushes what transports have buffered in this turn.
    fn flush_transports(&mut self, core: &Bound<'_, LoopCore>) {
        let py = core.py();
        // The lists are swapped, so that their memory is reused.
        core.get().state.with(py, |state| std::mem::swap(&mut state.held, &mut self.held));
        for transport in self.held.drain(..) {
            let transport = transport.bind(py);
            let sent = transport.cast::<SocketTransport>().map_err(PyErr::from).and_then(flush_held);
            if let Err(error) = sent {
                report(core, transport, error);
            }
        }
    }

    /// Arranges to be polled again: at once if there is work, else when a timer is due or the loop is given
    /// something.
    fn schedule_next_turn(&mut self, core: &Bound<'_, LoopCore>, cx: &mut Context<'_>) -> io::Result<()> {
        let py = core.py();
        let hot = self.selector_hot;
        let (busy, next, cancelled) = core.get().state.with(py, |state| {
            if hot || !state.ready.is_empty() || !state.held.is_empty() {
                return (true, None, Vec::new());
            }
            state.idle = Some(cx.waker().clone());
            // Cancelled timers need no wake-up.
            let cancelled = state.timers.pop_cancelled(py);
            (false, state.timers.next_due(), cancelled)
        });
        // After the borrow: a finalizer may call the loop.
        drop(cancelled);
        match next {
            _ if busy => cx.waker().wake_by_ref(),
            Some(when) if when <= now() => cx.waker().wake_by_ref(),
            Some(when) => self.alarm.wake_at(cx, when)?,
            None => {}
        }
        Ok(())
    }
}

fn ready_due_timers(core: &Bound<'_, LoopCore>) {
    let py = core.py();
    core.get().state.with(py, |state| {
        if state.timers.next_due().is_none() {
            return;
        }
        let now = now();
        while let Some(handle) = state.timers.pop_due(now) {
            state.ready.push_back(handle.into_any());
        }
    });
}

/// Runs the callbacks that are ready; those that they schedule run in the next turn.
fn run_ready(core: &Bound<'_, LoopCore>) {
    let py = core.py();
    let count = core.get().state.with(py, |state| state.ready.len());
    for _ in 0..count {
        let next = core
            .get()
            .state
            .with(py, |state| if state.fatal.is_some() { None } else { state.ready.pop_front() });
        let Some(handle) = next else { return };
        run_handle(core, handle.bind(py));
    }
}
