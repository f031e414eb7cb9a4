//! The GIL: held while the worker's thread works, released only while it is parked in epoll.

#![expect(unsafe_code, reason = "PyO3 has no safe call that outlives a scope for the two hooks")]

use crate::host;
use hostler_sys::{
    own::{self, Claims},
    process,
};
use hostler_wire::ExitStatus;
use pyo3::{ffi, prelude::*};
use std::{
    cell::{Cell, RefCell},
    io,
    mem::ManuallyDrop,
    ops::Deref,
    os::fd::RawFd,
    panic, ptr,
    task::Waker,
    thread::{self, ThreadId},
};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

thread_local! {
    /// The state of the thread while it is parked without the GIL.
    static PARKED: Cell<*mut ffi::PyThreadState> = const { Cell::new(ptr::null_mut()) };
    /// What a Python signal handler raised while the thread was parked, and whom to wake about it.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    static ON_RAISED: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// How many tasks run before sockets are looked at again; tokio's own default, named for the record.
const EVENT_INTERVAL: u32 = 61;

/// A runtime for the thread that makes it.
pub(crate) struct Runtime {
    runtime: ManuallyDrop<LocalRuntime>,
    thread: ThreadId,
    claims: Claims,
}

impl Runtime {
    /// The runtime's two hooks are the only places that release and take the GIL.
    pub(crate) fn new() -> io::Result<Self> {
        let make = || {
            Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .on_thread_park(release)
                .on_thread_unpark(take)
                .build_local(LocalOptions::default())
        };
        let (runtime, claims) = Claims::of_new(make)?;
        Ok(Self { runtime: ManuallyDrop::new(runtime), thread: thread::current().id(), claims })
    }

    /// Whether it is for the present thread.
    pub(crate) fn is_of_this_thread(&self) -> bool {
        self.thread == thread::current().id()
    }

    /// Its epoll set, which tokio does not tell.
    pub(crate) fn epoll(&self) -> Option<RawFd> {
        self.claims.descriptors().iter().copied().find(|number| own::is_epoll(*number))
    }
}

impl Drop for Runtime {
    /// On any thread, also inside of another runtime, where one is not allowed to wait for threads. It has none.
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.claims));
        // SAFETY: taken once, here, and not used afterwards.
        let runtime = unsafe { ManuallyDrop::take(&mut self.runtime) };
        runtime.shutdown_background();
    }
}

impl Deref for Runtime {
    type Target = LocalRuntime;

    fn deref(&self) -> &LocalRuntime {
        &self.runtime
    }
}

/// Ends the process when the wait itself fails: nothing that Python owns may be dropped without the GIL.
///
/// For the worker, once. What fails the wait is an application that closes descriptors which are not its own.
pub(crate) fn end_with_failed_waits() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        // A process that the application forked, back from it, finds the worker's runtime without descriptors.
        host::stay_out_of_loop();
        let lost = own::has_lost();
        if lost {
            tracing::error!("the application has closed descriptors that are not its own: the worker ends");
        } else {
            tell(panicked);
        }
        if lost || !PARKED.get().is_null() {
            process::exit_now(ExitStatus::Failed.code());
        }
    }));
}

fn release() {
    host::stay_out_of_loop();
    // SAFETY: `block_on` is entered with the GIL (from a Python method), and only `take` ends a parking.
    PARKED.set(unsafe { ffi::PyEval_SaveThread() });
    hostler_sys::board::parked(true);
}

fn take() {
    // Before the GIL is waited for: a loop that cannot have it stands still.
    hostler_sys::board::parked(false);
    let state = PARKED.replace(ptr::null_mut());
    if state.is_null() {
        return;
    }
    // SAFETY: the state is the one that `release` saved on this thread.
    unsafe { ffi::PyEval_RestoreThread(state) };
    // Python's own waits do this too (PEP 475): handlers set with `signal.signal` run here.
    if let Err(raised) = Python::attach(|py| py.check_signals()) {
        RAISED.replace(Some(raised));
        if let Some(waker) = ON_RAISED.take() {
            waker.wake();
        }
    }
}

/// What a signal handler raised while the thread was parked; otherwise `waker` is woken when one does.
pub(crate) fn raised_by_signal(waker: &Waker) -> Option<PyErr> {
    let raised = RAISED.take();
    if raised.is_none() {
        ON_RAISED.with_borrow_mut(|slot| match slot {
            Some(kept) if kept.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        });
    }
    raised
}

/// A value that any thread may reach, but only with the GIL, and never across a call into Python.
///
/// The closures given to [`GilCell::with`] must not run Python code; a re-entrant access panics.
#[derive(Default)]
pub(crate) struct GilCell<T>(RefCell<T>);

// SAFETY: every access needs a `Python` token, so one thread at a time has it; `T` itself may hold local
// things (wakers, `Rc`s of the runtime) that are only followed on the worker's own thread.
unsafe impl<T> Send for GilCell<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Works on the value, without calling Python.
    #[inline]
    pub(crate) fn with<R>(&self, _py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }

    /// For the garbage collector, which may come while the value is in use and then sees nothing.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.try_borrow().ok().map(|value| look(&value))
    }
}
