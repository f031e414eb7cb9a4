//! What the loop's wait means to the worker: its page of the scoreboard, the attendant, and the end when it fails.

use hostler_eventloop::{Observer, forked, is_parked};
use hostler_sys::{attendant, board, own, process};
use hostler_wire::ExitStatus;
use std::{os::fd::RawFd, panic};

/// Tells siblings, the master and the attendant what the loop does.
pub(crate) struct WorkerObserver;

impl Observer for WorkerObserver {
    fn parked(&self) {
        board::parked(true);
    }

    /// Before the GIL is waited for: a loop that cannot have it is blocked.
    fn unparked(&self) {
        board::parked(false);
    }

    fn turn_begins(&self) {
        attendant::wake();
    }

    fn opened(&self, descriptor: RawFd) {
        own::claim(&descriptor);
    }

    fn closing(&self, descriptor: RawFd) {
        own::disclaim(descriptor);
    }
}

/// Ends the process when the wait itself fails: nothing that Python owns may be dropped without the GIL.
///
/// For the worker, once. What fails the wait is an application that closes descriptors which are not its own.
pub(super) fn end_with_failed_waits() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        // A process that the application forked, back from it, finds the worker's runtime without descriptors.
        forked::exit_if_forked_without_gil();
        let lost = own::has_lost();
        if lost {
            tracing::error!("the application has closed descriptors that are not its own: the worker ends");
        } else {
            tell(panicked);
        }
        if lost || is_parked() {
            process::exit_now(ExitStatus::Failed.code());
        }
    }));
}
