//! Orphans: no process of ours outlives a killed master, not even one that is stuck in C code.
//!
//! The kernel sends a signal of our choice when the parent dies (PR_SET_PDEATHSIG, prctl(2)). Its handler arms a timer
//! that sends SIGKILL. A healthy worker has until then to finish its requests (it learns of the death by its channel),
//! and a stuck one is killed.

use std::{
    io, mem, ptr,
    sync::atomic::{AtomicI64, AtomicPtr, Ordering},
    time::{Duration, Instant},
};

/// How long a double-forked process waits to become the master's child; the fork between exits at once.
const ADOPTION_LIMIT: Duration = Duration::from_secs(5);

/// What the signal handler needs. Written before the handler is installed, read by it alone.
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());
static GRACE_NANOS: AtomicI64 = AtomicI64::new(0);

/// Has the kernel kill this process `grace` after the death of `master`, whatever it is doing then.
///
/// Called once in every process after its last fork; timers do not survive one (timer_create(2)).
///
/// # Errors
/// The kernel's; `TimedOut` if `master` does not become our parent.
pub fn die_with(master: i32, grace: Duration) -> io::Result<()> {
    let nanos = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    GRACE_NANOS.store(nanos, Ordering::SeqCst);
    TIMER.store(kill_timer()?, Ordering::SeqCst);
    install_handler()?;
    crate::own::claim_handlers([death_signal()]);
    await_adoption(master)?;
    // SAFETY: prctl(2) with integer arguments only.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, death_signal()) };
    check(set)?;
    if crate::process::parent_id() != master {
        // It died before the kernel was told.
        arm(death_signal());
    }
    Ok(())
}

fn death_signal() -> libc::c_int {
    libc::SIGRTMAX() - 2
}

/// A timer, not yet armed, that kills this process.
fn kill_timer() -> io::Result<libc::timer_t> {
    // SAFETY: all zeroes is a valid sigevent.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGKILL;
    let mut timer = ptr::null_mut();
    // SAFETY: both pointers are to live values of the right types.
    let created = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    check(created)?;
    Ok(timer)
}

fn install_handler() -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = arm as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `arm` calls only timer_settime, which is async-signal-safe (POSIX.1-2008 §2.4.3).
    let installed = unsafe { libc::sigaction(death_signal(), &raw const action, ptr::null_mut()) };
    check(installed)
}

extern "C" fn arm(_signal: libc::c_int) {
    let nanos = GRACE_NANOS.load(Ordering::SeqCst).max(1);
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
    let setting = libc::itimerspec { it_interval: zero, it_value: value };
    // SAFETY: the timer was created before this handler was installed; the setting is a live value.
    unsafe { libc::timer_settime(TIMER.load(Ordering::SeqCst), 0, &raw const setting, ptr::null_mut()) };
}

/// Waits until the process between this one and the master has exited and the master is the parent.
fn await_adoption(master: i32) -> io::Result<()> {
    let limit = Instant::now() + ADOPTION_LIMIT;
    while crate::process::parent_id() != master {
        // There is no event for a change of the parent.
        if Instant::now() > limit || !is_alive(master) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the master is gone"));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn is_alive(pid: i32) -> bool {
    // EPERM, after a change of user, means that it exists.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::Error::ESRCH)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
