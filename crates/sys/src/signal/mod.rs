//! Signals: as events for a loop, their dispositions, and the mask around a fork.

pub mod disposition;

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigprocmask};
use signal_hook::low_level::{pipe, register};
use std::{
    cell::Cell,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Signals as bytes in a pipe (self-pipe), so that a loop can poll them with other descriptors.
#[derive(Debug)]
pub struct SignalPipe {
    sources: Vec<Source>,
    registrations: Vec<signal_hook::SigId>,
}

#[derive(Debug)]
struct Source {
    signal: i32,
    arrived: UnixStream,
    /// What the count of all signals was when this one arrived last.
    place: Arc<AtomicU64>,
}

impl Drop for SignalPipe {
    /// The signals have no effect from now on; signal-hook's handlers stay, for the next registration.
    fn drop(&mut self) {
        for registration in self.registrations.drain(..) {
            signal_hook::low_level::unregister(registration);
        }
    }
}

impl SignalPipe {
    /// Handles these signals from now on.
    ///
    /// # Errors
    /// The kernel's; also for signals that cannot be caught.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let (mut sources, mut registrations) = (Vec::new(), Vec::new());
        let count = Arc::new(AtomicU64::new(0));
        for &signal in signals {
            let (arrived, writer) = UnixStream::pair()?;
            arrived.set_nonblocking(true)?;
            let place = Arc::new(AtomicU64::new(0));
            // Before the byte: whoever reads it finds the place.
            registrations.push(note_place(signal, Arc::clone(&count), Arc::clone(&place))?);
            registrations.push(pipe::register(signal, writer)?);
            sources.push(Source { signal, arrived, place });
        }
        Ok(Self { sources, registrations })
    }

    /// The descriptors to poll: readable when a signal has arrived.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.iter().map(|source| source.arrived.as_fd())
    }

    /// Waits until a signal arrives or the deadline passes.
    pub fn wait(&self, until: std::time::Instant) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let left = until.saturating_duration_since(std::time::Instant::now());
        let mut watched: Vec<_> =
            self.descriptors().map(|signal| PollFd::new(signal, PollFlags::POLLIN)).collect();
        let rounded = left + std::time::Duration::from_millis(1);
        // A signal that interrupts the wait has arrived.
        let _ = poll(&mut watched, PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX));
    }

    /// The signals that have arrived since the last call, each at most once, in the order in which they arrived last.
    #[must_use]
    pub fn drain(&self) -> Vec<i32> {
        let mut arrived: Vec<&Source> =
            self.sources.iter().filter(|source| drained(&source.arrived)).collect();
        arrived.sort_by_key(|source| source.place.load(Relaxed));
        arrived.into_iter().map(|source| source.signal).collect()
    }
}

/// Counts a signal's arrivals among all.
fn note_place(signal: i32, count: Arc<AtomicU64>, place: Arc<AtomicU64>) -> io::Result<signal_hook::SigId> {
    let note = move || place.store(count.fetch_add(1, Relaxed), Relaxed);
    // SAFETY: the handler only writes to atomics, which is async-signal-safe, and cannot panic.
    unsafe { register(signal, note) }
}

fn drained(mut reader: &UnixStream) -> bool {
    let mut any = false;
    while matches!(reader.read(&mut [0; 64]), Ok(1..)) {
        any = true;
    }
    any
}

/// The signals of a crash; their handlers, such as faulthandler's, stay.
const FAULTS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];

/// Resets every signal of a freshly forked process to its default action, and empties the mask.
///
/// For processes in which signal-hook has not been used yet: it would not install its handlers again.
pub fn reset_in_child() {
    default_actions();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Resets every signal to its default action, without changing the mask.
pub(crate) fn default_actions() {
    for signal in Signal::iterator() {
        if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) || FAULTS.contains(&signal) {
            continue;
        }
        // SAFETY: the default action runs no code of ours. It fails for no signal that gets here.
        let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
    }
    // A write to a closed connection, or beyond the file size limit, is an error to be handled, and must not terminate
    // the process. Python ignores both too, and resets them in programs that it starts.
    ignore(libc::SIGPIPE);
    ignore(libc::SIGXFSZ);
}

/// The signal that asks a worker for the stacks of its threads and tasks.
#[must_use]
pub fn report() -> i32 {
    libc::SIGRTMAX() - 3
}

/// The signal that asks a worker for the stacks of its threads.
#[must_use]
pub fn sample() -> i32 {
    libc::SIGRTMAX() - 4
}

thread_local! {
    /// The mask that this thread had before [`hold`].
    static HELD: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// Blocks all signals in this thread until [`release`], so that a process that it forks receives none before it has its
/// handlers: they stay pending.
pub fn hold() {
    let mut before = SigSet::empty();
    if pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).is_ok() {
        HELD.set(Some(before));
    }
}

/// Unblocks the signals, on either side of the fork.
pub fn release() {
    if let Some(before) = HELD.take() {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}

/// A signal handler.
pub type Handler = unsafe extern "C" fn(i32);

/// The handler of a signal in this process; `None` if it is ignored or has its default action.
#[must_use]
pub fn handler(signal: i32) -> Option<Handler> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: sigaction(2) only reads the present action, into a live value; a number that is none is an error.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    if read != 0 || matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        return None;
    }
    // SAFETY: the kernel calls this address with the signal's number first; more arguments do no harm to a C function
    // that takes fewer, and those with SA_SIGINFO are not ours to call.
    (action.sa_flags & libc::SA_SIGINFO == 0)
        .then(|| unsafe { std::mem::transmute::<usize, Handler>(action.sa_sigaction) })
}

/// Whether a signal reports a crash.
#[must_use]
pub fn is_fault(signal: i32) -> bool {
    FAULTS.iter().any(|fault| *fault as i32 == signal)
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    if let Ok(signal) = Signal::try_from(signal) {
        // SAFETY: ignoring runs no code of ours.
        let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) };
    }
}

#[cfg(test)]
mod tests {
    use super::SignalPipe;
    use nix::sys::signal::{Signal, raise};

    #[test]
    fn signals_are_told_in_the_order_of_their_last_arrival() {
        let pipe = SignalPipe::new(&[Signal::SIGUSR1 as i32, Signal::SIGUSR2 as i32]).unwrap();
        let [one, two] = [Signal::SIGUSR1, Signal::SIGUSR2];
        for (raised, told) in [(vec![one, two], vec![one, two]), (vec![one, two, one], vec![two, one])] {
            raised.into_iter().for_each(|signal| raise(signal).unwrap());
            assert_eq!(pipe.drain(), told.into_iter().map(|signal| signal as i32).collect::<Vec<_>>());
        }
        assert!(pipe.drain().is_empty());
    }
}
