//! Threads of ours beside the application's: they take no signals, and they are gone when they are said to be.

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::SeqCst},
    },
    thread::{Builder, JoinHandle, Thread, yield_now},
};

/// Room for a log line and what it is made of; only what is used costs memory.
const STACK: usize = 256 * 1024;

/// A thread that every signal passes by, so that the application's go to threads that know of them.
#[derive(Debug)]
pub struct Quiet {
    handle: JoinHandle<()>,
    kernel_id: Arc<AtomicI32>,
}

impl Quiet {
    /// Starts one.
    ///
    /// # Errors
    /// The kernel's: too many threads, no memory.
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let kernel_id = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&kernel_id);
        // It inherits the mask, so there is no moment at which a signal could find it open.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let started = Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
            told.store(nix::unistd::gettid().as_raw(), SeqCst);
            work();
        });
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        Ok(Self { handle: started?, kernel_id })
    }

    /// The thread, to be woken.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// Whether its work is done.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until the kernel, too, counts it no more: CPython reads that number at a fork, and warns.
    pub fn join(self) {
        // A panic of it was reported by the panic hook.
        let _ = self.handle.join();
        let kernel_id = self.kernel_id.load(SeqCst);
        while kernel_id != 0 && exists(kernel_id) {
            yield_now();
        }
    }
}

/// Whether this process has a thread of this number (tgkill(2) with signal 0).
fn exists(thread: i32) -> bool {
    let process = std::process::id().cast_signed();
    // SAFETY: a system call with integers only; signal 0 is never delivered.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::Quiet;
    use nix::sys::signal::{SigSet, Signal};
    use std::sync::mpsc::channel;

    #[test]
    fn signals_pass_it_by_and_whoever_started_it_still_gets_them() {
        let (sender, receiver) = channel();
        let quiet = Quiet::start("quiet", move || sender.send(SigSet::thread_get_mask().unwrap()).unwrap());
        assert!(receiver.recv().unwrap().contains(Signal::SIGTERM));
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
        quiet.unwrap().join();
    }

    #[test]
    fn a_joined_one_is_counted_no_more() {
        for _ in 0..200 {
            let quiet = Quiet::start("quiet", || {}).unwrap();
            let id = std::sync::Arc::clone(&quiet.kernel_id);
            quiet.join();
            let id = id.load(std::sync::atomic::Ordering::SeqCst);
            assert!(id != 0 && !std::path::Path::new(&format!("/proc/self/task/{id}")).exists());
        }
    }
}
