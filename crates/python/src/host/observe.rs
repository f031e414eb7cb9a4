//! Where a blocked loop is (`--slow-callback`, `--stall-timeout`), without a signal, which would end `poll` and `sleep` in
//! the application's C code early.
//!
//! The attendant notices it. A thread that is made for the occasion asks for the GIL. If it gets it, everything in
//! Python is blocked and CPython writes the stacks. If it does not within [`PATIENCE`], some C code holds the GIL
//! and does not release it, so all of Python is blocked as well, and the attendant has them written.
//!
//! CPython's function for that is not exported by all versions. faulthandler's handler of a signal is one, and can be
//! called like any function; the signal is not sent.

#![expect(unsafe_code, reason = "a signal handler is a function by its address")]

use crate::logging;
use hostler_sys::{
    attendant::{self, Blocked},
    board,
    channel::Channel,
    clock, debugger, facts, signal, stacks,
    thread::SignalFreeThread,
};
use hostler_wire::{FromWorker, Page};
use pyo3::prelude::*;
use std::{
    fs::File,
    io,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::SeqCst},
    },
    thread::{current, park_timeout},
    time::{Duration, Instant},
};

/// How long to wait for the GIL. Python code gives it up after 5 ms, but the machine may be busy.
const PATIENCE: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_millis(500);
/// How often to look within the limit.
const LOOKS: u32 = 4;

const WANTED: u8 = 0;
const WRITING: u8 = 1;
const WRITTEN: u8 = 2;
const GIVEN_UP: u8 = 3;

/// How long the GIL is waited for when a user asks: others may use it all the time.
const LONG_PATIENCE: Duration = Duration::from_millis(500);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Who answers the master, and what was asked last: that is answered, too, if it was asked meanwhile.
struct Answers {
    thread: Option<SignalFreeThread>,
    /// The thread will look at what is asked before it ends.
    runs: bool,
    asked: u32,
}

/// Held by those who have stacks written.
static SAMPLING: Mutex<()> = Mutex::new(());
/// Answers to the master.
static ANSWERS: Mutex<Answers> = Mutex::new(Answers { thread: None, runs: false, asked: 0 });
/// The thread that waits for the GIL, if there is one.
static WAITING: Mutex<Option<SignalFreeThread>> = Mutex::new(None);

/// What is done about a blocked loop.
pub(super) struct Duties {
    /// After how long it is logged, if it is.
    pub(super) slow: Option<Duration>,
    /// After how long the master replaces the worker, and the file that it reads then.
    pub(super) stall: Option<(Duration, File)>,
    /// Whether the master is told of debuggers: code is developed.
    pub(super) tells_debuggers: bool,
}

/// How often a loop that is blocked is looked at for debuggers.
const DEBUGGERS: Duration = Duration::from_secs(1);

/// Has the attendant see to these duties.
///
/// Called on the serving thread. `samples` is where faulthandler writes at [`signal::sample`].
pub(super) fn begin(page: &'static Page, duties: Duties, samples: File, line: Option<Channel>) {
    let Some(write) = signal::handler(signal::sample()) else { return };
    let thread = stacks::this_thread();
    let observer = Arc::new(Observer { page, samples, write, thread, debugged: Arc::default() });
    let _ = OWN.set(Arc::clone(&observer));
    if let Some(line) = line.map(Arc::new) {
        let observer = Arc::clone(&observer);
        attendant::on_question(move |asked| observer.answer(asked, &line));
    }
    if let Some(limit) = duties.slow {
        let (observer, mut told) = (Arc::clone(&observer), None);
        attendant::add((limit / LOOKS).max(Duration::from_millis(1)), move |blocked: Blocked| {
            if blocked.lasted >= limit && told.replace(blocked.turn) != Some(blocked.turn) {
                observer.tell(blocked, limit);
            }
        });
    }
    if duties.tells_debuggers {
        debugger::look_by(|| Python::attach(is_debugged));
        let observer = Arc::clone(&observer);
        attendant::add(DEBUGGERS, move |_: Blocked| observer.tell_debugger());
    }
    if let Some((limit, file)) = duties.stall {
        // The heart beats four times within the limit, so this is before the master's verdict.
        attendant::add((limit / LOOKS).max(Duration::from_millis(1)), move |blocked: Blocked| {
            if blocked.lasted >= limit / 2 {
                observer.prepare_report(blocked, limit, &file);
            }
        });
    }
}

/// Where all threads are, as text. Not for the serving thread.
pub(super) fn stacks_of_all() -> String {
    let Some(observer) = OWN.get() else { return "(no stacks)".into() };
    let sampling = SAMPLING.lock().unwrap_or_else(PoisonError::into_inner);
    let written = observer.sample(LONG_PATIENCE, Tasks::None);
    drop(sampling);
    match written {
        Ok(written) => stacks::with_current(&written, observer.thread),
        Err(error) => format!("(no stacks: {error})"),
    }
}

/// Waits for the thread that waits for the GIL, which the caller does not hold.
pub(super) fn pause() {
    let answering = answers().thread.take();
    let waiting = || WAITING.lock().unwrap_or_else(PoisonError::into_inner).take();
    // The one that answers may have the other one started.
    answering.into_iter().for_each(SignalFreeThread::join);
    waiting().into_iter().for_each(SignalFreeThread::join);
}

/// This process's, once it serves.
static OWN: OnceLock<Arc<Observer>> = OnceLock::new();

fn answers() -> MutexGuard<'static, Answers> {
    ANSWERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which tasks of asyncio are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tasks {
    None,
    /// The first ones, with pauses in which others get the GIL.
    Briefly,
    All,
}

struct Observer {
    page: &'static Page,
    samples: File,
    write: signal::Handler,
    thread: u64,
    debugged: Arc<AtomicBool>,
}

impl Observer {
    /// Answers the master, on a thread of its own: the attendant has other duties.
    fn answer(self: &Arc<Self>, asked: u32, line: &Arc<Channel>) {
        let mut answers = answers();
        answers.asked = asked;
        if answers.runs {
            return;
        }
        let (observer, line) = (Arc::clone(self), Arc::clone(line));
        let started = SignalFreeThread::start("stacks", move || {
            let mut asked = asked;
            loop {
                observer.send_stacks(asked, &line);
                let mut answers = self::answers();
                if answers.asked == asked {
                    answers.runs = false;
                    return;
                }
                asked = answers.asked;
            }
        });
        answers.runs = started.is_ok();
        answers.thread = started.ok();
    }

    fn send_stacks(&self, asked: u32, line: &Channel) {
        let sampling = SAMPLING.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.sample(LONG_PATIENCE, Tasks::Briefly);
        drop(sampling);
        let mut text = match written {
            Ok(written) => stacks::with_current(&written, self.thread),
            Err(error) => format!("(no stacks: {error})"),
        };
        let end = (0..=MAX_ANSWER.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        let answer = FromWorker::Stacks { asked, text };
        if let Err(error) = line.send(&answer, &[]) {
            tracing::debug!(%error, "cannot send to the master");
        }
    }

    fn tell(&self, blocked: Blocked, limit: Duration) {
        let written = self.ask(limit / 2, Tasks::None);
        if self.is_debugged() {
            return;
        }
        // It may have gone on meanwhile; then the stacks are those of another turn.
        let same = self.page.turns() == blocked.turn;
        let at = written.ok().filter(|_| same).and_then(|text| stacks::place(&text, Some(self.thread)));
        let at = at.unwrap_or_else(|| "an unknown place".into());
        let in_flight = self.page.requests_in_flight();
        let requests = board::describe(&in_flight);
        let (pid, blocked_seconds) = (std::process::id(), blocked.lasted.as_secs_f64());
        let (worker, task_worker) = facts::numbers(self.page);
        tracing::warn!(worker, task_worker, pid, at, requests, blocked_seconds, "event loop blocked");
        let pid = i32::try_from(pid).unwrap_or_default();
        facts::tell_of_each(self.page, pid, &in_flight, "request in an event loop that is blocked");
    }

    /// Says on the page that a debugger holds the worker, if one does: what was changed meanwhile does not end it.
    fn tell_debugger(&self) {
        if self.ask(DEBUGGERS, Tasks::None).is_ok() && self.is_debugged() {
            self.page.is_debugged(clock::now());
        }
    }

    /// Writes what the master is to know if it finds that the worker is stuck.
    fn prepare_report(&self, blocked: Blocked, limit: Duration, file: &File) {
        let Ok(written) = self.ask(limit / LOOKS, Tasks::All) else { return };
        if self.is_debugged() {
            // The loop is as alive as its developer wants.
            return self.page.beat(clock::now());
        }
        if self.page.turns() == blocked.turn {
            let text = stacks::with_current(&written, self.thread);
            if let Err(error) = stacks::write_of_turn(file, blocked.turn, &text) {
                tracing::debug!(%error, "no stacks for the master");
            }
        }
    }

    /// Whether a debugger held a thread when the stacks were asked for.
    fn is_debugged(&self) -> bool {
        self.debugged.load(SeqCst)
    }

    /// As [`Observer::sample`], unless another thread does so.
    fn ask(&self, patience: Duration, wanted: Tasks) -> io::Result<String> {
        let _sampling = SAMPLING.try_lock().map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
        self.sample(patience, wanted)
    }

    /// Has the stacks written, with the GIL if it can be had; then those of asyncio's tasks can be, too.
    fn sample(&self, patience: Duration, wanted: Tasks) -> io::Result<String> {
        stacks::clear(&self.samples)?;
        self.debugged.store(false, SeqCst);
        let state = Arc::new(AtomicU8::new(WANTED));
        let tasks = Arc::new(Mutex::new(String::new()));
        if self.wait_for_gil(&state, wanted, &tasks) {
            let limit = Instant::now() + patience.clamp(*PATIENCE.start(), *PATIENCE.end());
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
        Ok(stacks::read(&self.samples) + &tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts a thread that writes the stacks once it has the GIL; `false` if one waits for it already.
    fn wait_for_gil(&self, state: &Arc<AtomicU8>, wanted: Tasks, tasks: &Arc<Mutex<String>>) -> bool {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_some_and(|waiting| !waiting.is_finished()) {
            return false;
        }
        let (state, attendant, write_stacks) = (Arc::clone(state), current(), self.write);
        let debugged = Arc::clone(&self.debugged);
        let tasks = Arc::clone(tasks);
        let started = SignalFreeThread::start("observer", move || {
            Python::attach(|py| {
                if state.compare_exchange(WANTED, WRITING, SeqCst, SeqCst).is_ok() {
                    write(write_stacks);
                    debugged.store(is_debugged(py), SeqCst);
                    let told = stacks_of_tasks(py, wanted);
                    *tasks.lock().unwrap_or_else(PoisonError::into_inner) = told;
                    state.store(WRITTEN, SeqCst);
                }
            });
            attendant.unpark();
        });
        *waiting = started.ok();
        waiting.is_some()
    }
}

fn is_debugged(py: Python<'_>) -> bool {
    let told = py.import("hostler._stacks").and_then(|module| module.call_method0("is_debugged")?.extract());
    told.unwrap_or(false)
}

fn stacks_of_tasks(py: Python<'_>, wanted: Tasks) -> String {
    let function = match wanted {
        Tasks::None => return String::new(),
        Tasks::Briefly => "tasks_briefly",
        Tasks::All => "tasks",
    };
    let tell = || -> PyResult<String> {
        let told = py.import("hostler._stacks")?.call_method0(function)?;
        Ok(logging::utf8(told.cast()?))
    };
    tell().unwrap_or_else(|error| format!("\n(asyncio's tasks cannot be told: {error})\n"))
}

fn write(handler: signal::Handler) {
    // SAFETY: it is the handler that faulthandler has for this signal: it takes the number, allocates nothing, keeps
    // itself from running twice at once, and may be called on any thread, as the kernel would call it.
    unsafe { handler(signal::sample()) };
}
