//! The attendant: a thread of a worker for what must be done while the serving loop is blocked.
//!
//! A handler that blocks the serving thread also delays everything else that this thread does. The attendant watches the
//! worker's page, and calls its duties while the loop does not turn. It does not hold the GIL, blocks all signals, and
//! does not exist in the mold, in the master, and in processes that the application forks.
//!
//! ```text
//! attendant::start(page);                                    // once in a worker, after its last fork
//! attendant::add(Duration::from_millis(3), |blocked| …);     // called every 3 ms while one turn of the loop has
//!                                                            // lasted for at least 3 ms
//! attendant::on_question(|question| …);                      // called when the page has another question
//! attendant::look();                                         // by the serving thread: there may be one
//! attendant::wake();                                         // by the serving thread, whenever it begins work that
//!                                                            // may block it: one load of an atomic
//! attendant::pause(); …fork…; attendant::resume();           // no thread of ours is alive in between, nor before
//!                                                            // the next `wake` or `start_again`
//! ```
//!
//! Asleep, it costs nothing; it falls asleep when it has seen the loop wait for events twice in a row, and `wake`
//! makes a system call only then. Awake, it checks the page as often as its most frequent duty needs.
//!
//! `ASLEEP` and the page are not ordered by a fence, which would cost each turn of the loop. Between setting `ASLEEP` and
//! sleeping it waits for longer than a store takes to become visible; if it misses one nevertheless, the next `wake`
//! finds it.

use crate::{clock, thread::SignalFreeThread};
use hostler_wire::Page;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread::{park, park_timeout},
    time::Duration,
};

/// Between setting `ASLEEP` and sleeping.
const SETTLING: Duration = Duration::from_millis(1);

/// A turn of the loop that blocks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The number of the turn, the same as long as it lasts.
    pub turn: u64,
    /// How long it has lasted so far.
    pub lasted: Duration,
}

struct Duty {
    every: Duration,
    /// The turn, and how long it had lasted, at the last call.
    called: Option<Blocked>,
    work: Box<dyn FnMut(Blocked) + Send>,
}

#[derive(Default)]
struct Staff {
    page: Option<&'static Page>,
    thread: Option<SignalFreeThread>,
    pauses: u32,
}

static ASLEEP: AtomicBool = AtomicBool::new(false);
/// When the loop was last seen to wait.
static LOOP_WAITED_AT: AtomicU64 = AtomicU64::new(0);
/// The last question that was answered.
static ANSWERED: AtomicU32 = AtomicU32::new(0);
static STOPPED: AtomicBool = AtomicBool::new(false);
static STAFF: Mutex<Staff> = Mutex::new(Staff { page: None, thread: None, pauses: 0 });
static DUTIES: Mutex<Vec<Duty>> = Mutex::new(Vec::new());
type Answer = Box<dyn FnMut(u32) + Send>;
static ANSWER: Mutex<Option<Answer>> = Mutex::new(None);

/// Starts the attendant of this worker. If the thread cannot be started, the worker runs without, and logs it.
pub fn start(page: &'static Page) {
    let mut staff = lock(&STAFF);
    staff.page = Some(page);
    staff.begin();
}

/// Adds a duty: called on the attendant's thread at this interval while one turn of the loop has lasted that long. It
/// must not wait for the serving thread.
pub fn add(every: Duration, work: impl FnMut(Blocked) + Send + 'static) {
    lock(&DUTIES).push(Duty { every, called: None, work: Box::new(work) });
    ASLEEP.store(false, SeqCst);
    lock(&STAFF).unpark();
}

/// Sets what is called on the attendant's thread when the master asks where the threads are. It must not wait.
pub fn on_question(answer: impl FnMut(u32) + Send + 'static) {
    *lock(&ANSWER) = Some(Box::new(answer));
}

/// Has the attendant see whether there is a question, also while it sleeps. For the serving thread.
pub fn look() {
    lock(&STAFF).unpark();
}

/// Wakes the attendant, if it sleeps. For the serving thread, before it does what may block it.
#[inline]
pub fn wake() {
    if ASLEEP.load(Relaxed) {
        rouse();
    }
}

#[cold]
fn rouse() {
    if ASLEEP.swap(false, SeqCst) {
        let mut staff = lock(&STAFF);
        if staff.thread.is_some() {
            // It fell asleep because the loop waited, and was to be woken by the first turn after that.
            LOOP_WAITED_AT.store(clock::now(), Relaxed);
        }
        staff.begin();
        staff.unpark();
    }
}

/// A moment at which the loop waited for events, on the monotonic clock: the last one that is known, and 0 if none is. What
/// arrived before that was noticed at once.
#[must_use]
pub fn loop_waited_at() -> u64 {
    LOOP_WAITED_AT.load(Relaxed)
}

/// Ends the thread until [`resume`]: for forks. The kernel no longer counts it when this returns. Calls nest.
pub fn pause() {
    let thread = {
        let mut staff = lock(&STAFF);
        staff.pauses += 1;
        STOPPED.store(true, SeqCst);
        staff.unpark();
        staff.thread.take()
    };
    if let Some(thread) = thread {
        thread.join();
    }
}

/// Allows the thread again. It starts with [`start_again`], or with the next [`wake`].
pub fn resume() {
    let mut staff = lock(&STAFF);
    staff.pauses = staff.pauses.saturating_sub(1);
    ASLEEP.store(true, SeqCst);
}

/// Starts the thread that a pause ended.
pub fn start_again() {
    lock(&STAFF).begin();
}

impl Staff {
    fn begin(&mut self) {
        let Some(page) = self.page.filter(|_| self.pauses == 0 && self.thread.is_none()) else { return };
        STOPPED.store(false, SeqCst);
        ASLEEP.store(false, SeqCst);
        match SignalFreeThread::start("attendant", move || attend(page)) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "the attendant thread cannot be started: responses wait while a handler blocks the loop")
            }
        }
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

/// The attendant's thread.
fn attend(page: &'static Page) {
    let mut seen = None;
    while !STOPPED.load(SeqCst) {
        answer(page.asked_for_stacks());
        // Before it looks: it may not run for a while after that.
        let now = clock::now();
        let (turn, parked) = (page.turns(), page.is_parked());
        if parked {
            LOOP_WAITED_AT.fetch_max(now, Relaxed);
        }
        let idle = parked && seen == Some(turn);
        seen = Some(turn);
        match pace() {
            None => park(),
            Some(_) if idle && ASLEEP.swap(true, SeqCst) => park(),
            Some(_) if idle => park_timeout(SETTLING),
            Some(pace) => {
                ASLEEP.store(false, SeqCst);
                if !parked {
                    attend_to(page, turn);
                }
                park_timeout(pace);
            }
        }
    }
}

fn answer(question: u32) {
    if ANSWERED.swap(question, SeqCst) != question
        && let Some(answer) = lock(&ANSWER).as_mut()
    {
        answer(question);
    }
}

/// How often to check; `None` without duties.
fn pace() -> Option<Duration> {
    lock(&DUTIES).iter().map(|duty| duty.every).min()
}

fn attend_to(page: &Page, turn: u64) {
    // The loop has not started yet.
    if page.turned_at() == 0 {
        return;
    }
    for duty in lock(&DUTIES).iter_mut() {
        // Read again for each duty: the one before may have taken long.
        let lasted = Duration::from_nanos(clock::now().saturating_sub(page.turned_at()));
        if page.turns() != turn {
            return;
        }
        let blocked = Blocked { turn, lasted };
        if is_due(duty, blocked) {
            duty.called = Some(blocked);
            (duty.work)(blocked);
        }
    }
}

fn is_due(duty: &Duty, now: Blocked) -> bool {
    let since = duty.called.filter(|called| called.turn == now.turn).map_or(Duration::ZERO, |it| it.lasted);
    now.lasted.saturating_sub(since) >= duty.every
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A duty that panicked was reported by the panic hook; the list is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{ASLEEP, Blocked, add, lock, pause, resume, start, start_again, wake};
    use crate::{board::Board, clock};
    use std::{
        sync::{atomic::Ordering::SeqCst, mpsc::channel},
        time::{Duration, Instant},
    };

    const LIMIT: Duration = Duration::from_secs(30);

    fn wait_until(done: impl Fn() -> bool) {
        let limit = Instant::now() + LIMIT;
        while !done() {
            assert!(Instant::now() < limit, "timed out");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// One test, because a process has one attendant.
    #[test]
    fn duties_are_called_while_the_loop_is_blocked_and_at_no_other_time() {
        let page = &Board::create().unwrap().pages()[0];
        page.turn(clock::now());
        page.set_parked(true);
        start(page);
        let (sender, calls) = channel::<Blocked>();
        add(Duration::from_millis(5), move |blocked| {
            let _ = sender.send(blocked);
        });
        wait_until(|| ASLEEP.load(SeqCst));
        assert!(calls.try_recv().is_err(), "the loop waits");

        page.turn(clock::now());
        page.set_parked(false);
        wake();
        let first = calls.recv_timeout(LIMIT).unwrap();
        let second = calls.recv_timeout(LIMIT).unwrap();
        assert!(first.lasted >= Duration::from_millis(5));
        assert!(second.lasted >= first.lasted + Duration::from_millis(5));
        assert_eq!((first.turn, second.turn), (2, 2));

        pause();
        pause();
        start_again();
        while calls.try_recv().is_ok() {}
        resume();
        assert!(lock(&super::STAFF).thread.is_none(), "pauses nest");
        resume();
        assert!(lock(&super::STAFF).thread.is_none(), "it does not start by itself");
        wake();
        assert_eq!(calls.recv_timeout(LIMIT).unwrap().turn, 2);

        page.turn(clock::now());
        page.set_parked(true);
        wait_until(|| ASLEEP.load(SeqCst));
        pause();
    }
}
