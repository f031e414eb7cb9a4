//! Threads of our own beside the application's: they block all signals, and joining waits until the kernel has forgotten
//! them.

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::SeqCst},
    },
    thread::{Builder, JoinHandle, Thread, yield_now},
};

/// The stack in bytes, enough to format a log line; only what is used costs memory.
const STACK_SIZE: usize = 256 * 1024;

/// A thread that blocks all signals, so that they are delivered to threads of the application.
#[derive(Debug)]
pub struct SignalFreeThread {
    handle: JoinHandle<()>,
    kernel_id: Arc<AtomicI32>,
}

impl SignalFreeThread {
    /// Starts one.
    ///
    /// # Errors
    /// The kernel's: too many threads, no memory.
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let kernel_id = Arc::new(AtomicI32::new(0));
        let id = Arc::clone(&kernel_id);
        // It inherits the mask, so no signal can be delivered to it at any time.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let started = Builder::new().name(name.into()).stack_size(STACK_SIZE).spawn(move || {
            id.store(nix::unistd::gettid().as_raw(), SeqCst);
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

    /// Waits until the kernel no longer counts it either: CPython reads that number at a fork, and warns.
    pub fn join(self) {
        // The panic hook has reported a panic.
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
    use super::SignalFreeThread;
    use nix::sys::signal::{SigSet, Signal};
    use std::sync::mpsc::channel;

    #[test]
    fn it_blocks_signals_and_its_starter_does_not() {
        let (sender, receiver) = channel();
        let thread = SignalFreeThread::start("blocked", move || {
            sender.send(SigSet::thread_get_mask().unwrap()).unwrap()
        });
        assert!(receiver.recv().unwrap().contains(Signal::SIGTERM));
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
        thread.unwrap().join();
    }

    #[test]
    fn a_joined_one_is_no_longer_counted() {
        for _ in 0..200 {
            let thread = SignalFreeThread::start("blocked", || {}).unwrap();
            let id = std::sync::Arc::clone(&thread.kernel_id);
            thread.join();
            let id = id.load(std::sync::atomic::Ordering::SeqCst);
            assert!(id != 0 && !std::path::Path::new(&format!("/proc/self/task/{id}")).exists());
        }
    }
}
