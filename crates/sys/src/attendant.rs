//! The attendant: a thread of a worker for what must happen although the serving loop stands still.
//!
//! A handler that blocks the serving thread also holds up what that thread does besides. The attendant looks at the
//! worker's page, and calls its duties while the loop does not come around. It holds no GIL, takes no signals, and is
//! not there in the mold, in native masters, and in processes that the application forks.
//!
//! ```text
//! attendant::start(page);                                    // once in a worker, after its last fork
//! attendant::add(Duration::from_millis(3), |standstill| …);  // called every 3 ms while the loop has stood still
//!                                                            // for at least 3 ms
//! attendant::wake();                                         // by the serving thread, whenever it begins work that
//!                                                            // may block it: one load of an atomic
//! attendant::pause(); …fork…; attendant::resume();           // no thread of ours is alive in between, nor before
//!                                                            // the next `wake` or `start_again`
//! ```
//!
//! Asleep, it costs nothing; it falls asleep when it has seen the loop wait for events twice in a row, and `wake`
//! makes a system call only then. Awake, it looks as often as its most frequent duty wants.
//!
//! The order of `ASLEEP` and the page is not fenced, which would cost each turn of the loop something. Between saying
//! that it sleeps and sleeping it waits for longer than a store takes to be seen; if it should miss one all the same,
//! the next `wake` finds it.

use crate::{clock, thread::Quiet};
use hostler_wire::Page;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread::{park, park_timeout},
    time::Duration,
};

/// Between saying that it sleeps and sleeping.
const SETTLING: Duration = Duration::from_millis(1);

/// A turn of the loop that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// Which turn, so that two looks at the same one can be told.
    pub turn: u64,
    /// For how long so far.
    pub lasted: Duration,
}

struct Duty {
    every: Duration,
    /// How long the standstill had lasted when it was called last.
    called: Option<Standstill>,
    work: Box<dyn FnMut(Standstill) + Send>,
}

#[derive(Default)]
struct Staff {
    page: Option<&'static Page>,
    thread: Option<Quiet>,
    pauses: u32,
}

static ASLEEP: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicBool = AtomicBool::new(false);
static STAFF: Mutex<Staff> = Mutex::new(Staff { page: None, thread: None, pauses: 0 });
static DUTIES: Mutex<Vec<Duty>> = Mutex::new(Vec::new());

/// Starts the attendant of this worker. A worker that may have no thread works without; the log says so.
pub fn start(page: &'static Page) {
    let mut staff = lock(&STAFF);
    staff.page = Some(page);
    staff.begin();
}

/// Adds a duty: called on the attendant's thread every so often while one turn of the loop has lasted that long.
/// It must not wait for the serving thread.
pub fn add(every: Duration, work: impl FnMut(Standstill) + Send + 'static) {
    lock(&DUTIES).push(Duty { every, called: None, work: Box::new(work) });
    ASLEEP.store(false, SeqCst);
    lock(&STAFF).unpark();
}

/// Has the attendant look, if it sleeps. For the serving thread, before it does what may block it.
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
        staff.begin();
        staff.unpark();
    }
}

/// Ends the thread until [`resume`]: for forks. The kernel counts it no more when this returns. Calls nest.
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
        match Quiet::start("attendant", move || attend(page)) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "no thread beside the loop: nothing is done while it is blocked")
            }
        }
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

/// The attendant's life.
fn attend(page: &'static Page) {
    let mut seen = None;
    while !STOPPED.load(SeqCst) {
        let (turn, parked) = (page.turns(), page.is_parked());
        let rests = parked && seen == Some(turn);
        seen = Some(turn);
        match pace() {
            None => park(),
            Some(_) if rests && ASLEEP.swap(true, SeqCst) => park(),
            Some(_) if rests => park_timeout(SETTLING),
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

/// How often to look; `None` without duties.
fn pace() -> Option<Duration> {
    lock(&DUTIES).iter().map(|duty| duty.every).min()
}

fn attend_to(page: &Page, turn: u64) {
    // Before its first turn the loop does not run.
    if page.turned_at() == 0 {
        return;
    }
    for duty in lock(&DUTIES).iter_mut() {
        // Anew for each: one may have taken its time.
        let lasted = Duration::from_nanos(clock::now().saturating_sub(page.turned_at()));
        if page.turns() != turn {
            return;
        }
        let standstill = Standstill { turn, lasted };
        if is_due(duty, standstill) {
            duty.called = Some(standstill);
            (duty.work)(standstill);
        }
    }
}

fn is_due(duty: &Duty, now: Standstill) -> bool {
    let since = duty.called.filter(|called| called.turn == now.turn).map_or(Duration::ZERO, |it| it.lasted);
    now.lasted.saturating_sub(since) >= duty.every
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A duty that panicked was reported by the panic hook; the list is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{ASLEEP, Standstill, add, lock, pause, resume, start, start_again, wake};
    use crate::{board::Board, clock};
    use std::{
        sync::{atomic::Ordering::SeqCst, mpsc::channel},
        time::{Duration, Instant},
    };

    const LIMIT: Duration = Duration::from_secs(30);

    fn wait_until(done: impl Fn() -> bool) {
        let limit = Instant::now() + LIMIT;
        while !done() {
            assert!(Instant::now() < limit, "it does not come to pass");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// One test, because a process has one attendant.
    #[test]
    fn duties_are_called_while_the_loop_stands_still_and_at_no_other_time() {
        let page = &Board::create().unwrap().pages()[0];
        page.turn(clock::now());
        page.set_parked(true);
        start(page);
        let (sender, calls) = channel::<Standstill>();
        add(Duration::from_millis(5), move |standstill| {
            let _ = sender.send(standstill);
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
