//! Where a loop stands that does not come around (`--slow-callback`), without a signal: that would end `poll` and
//! `sleep` in the application's C code early.
//!
//! The attendant notices it. A thread that is made for the occasion asks for the GIL. If it gets it, everything in
//! Python stands still and CPython writes the stacks. If it does not within [`PATIENCE`], some C code holds the GIL
//! and does not let it go, so everything in Python stands still as well, and the attendant has them written.
//!
//! CPython's function for that is not exported by all versions. faulthandler's handler of a signal is one, and can be
//! called like any function; nobody sends the signal.

#![expect(unsafe_code, reason = "a signal handler is a function by its address")]

use hostler_sys::{
    attendant::{self, Standstill},
    board, signal, stacks,
    thread::Quiet,
};
use hostler_wire::Page;
use pyo3::Python;
use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    thread::{current, park_timeout},
    time::{Duration, Instant},
};

/// How long to wait for the GIL, which Python code gives up after 5 ms.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often to look within the limit.
const LOOKS: u32 = 4;

const WANTED: u8 = 0;
const WRITING: u8 = 1;
const WRITTEN: u8 = 2;
const GIVEN_UP: u8 = 3;

/// The thread that waits for the GIL, if there is one.
static WAITING: Mutex<Option<Quiet>> = Mutex::new(None);

/// Has the attendant say where the loop stands whenever it stands still for `limit`.
///
/// Called on the serving thread. `file` is where faulthandler writes at [`signal::sample`].
pub(super) fn slow_callbacks(seat: u16, page: &'static Page, limit: Duration, file: File) {
    let Some(write) = signal::handler(signal::sample()) else { return };
    let observer = Observer { seat, page, file: Arc::new(file), write, thread: stacks::this_thread() };
    let mut told = None;
    attendant::add((limit / LOOKS).max(Duration::from_millis(1)), move |standstill: Standstill| {
        if standstill.lasted >= limit && told.replace(standstill.turn) != Some(standstill.turn) {
            observer.tell(standstill);
        }
    });
}

/// Waits for the thread that waits for the GIL, which the caller does not hold.
pub(super) fn pause() {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(waiting) = waiting {
        waiting.join();
    }
}

struct Observer {
    seat: u16,
    page: &'static Page,
    file: Arc<File>,
    write: signal::Handler,
    thread: u64,
}

impl Observer {
    fn tell(&self, standstill: Standstill) {
        let written = self.ask();
        // It may have gone on meanwhile; then the stacks are those of another turn.
        let same = self.page.turns() == standstill.turn;
        let at = written.ok().filter(|_| same).and_then(|text| stacks::place(&text, Some(self.thread)));
        let at = at.unwrap_or_else(|| "an unknown place".into());
        let requests = board::describe(&self.page.requests_in_flight());
        let (pid, seconds) = (std::process::id(), standstill.lasted.as_secs_f64());
        tracing::warn!(seat = self.seat, pid, at, requests, seconds, "event loop blocked");
    }

    /// Has the stacks written, with the GIL if it can be had.
    fn ask(&self) -> io::Result<String> {
        stacks::clear(&self.file)?;
        let state = Arc::new(AtomicU8::new(WANTED));
        if self.wait_for_gil(&state) {
            let limit = Instant::now() + PATIENCE;
            while state.load(SeqCst) != WRITTEN && Instant::now() < limit {
                park_timeout(Duration::from_millis(5));
            }
        }
        if state.compare_exchange(WANTED, GIVEN_UP, SeqCst, SeqCst).is_ok() {
            write(self.write);
        }
        while state.load(SeqCst) == WRITING {
            park_timeout(Duration::from_millis(1));
        }
        Ok(stacks::read(&self.file))
    }

    /// Starts a thread that writes the stacks once it has the GIL; `false` if one waits for it already.
    fn wait_for_gil(&self, state: &Arc<AtomicU8>) -> bool {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_some_and(|waiting| !waiting.is_finished()) {
            return false;
        }
        let (state, attendant, write_stacks) = (Arc::clone(state), current(), self.write);
        let started = Quiet::start("observer", move || {
            Python::attach(|_| {
                if state.compare_exchange(WANTED, WRITING, SeqCst, SeqCst).is_ok() {
                    write(write_stacks);
                    state.store(WRITTEN, SeqCst);
                }
            });
            attendant.unpark();
        });
        *waiting = started.ok();
        waiting.is_some()
    }
}

fn write(handler: signal::Handler) {
    // SAFETY: it is the handler that faulthandler has for this signal: it takes the number, allocates nothing, keeps
    // itself from running twice at once, and may be called on any thread, as the kernel would call it.
    unsafe { handler(signal::sample()) };
}
