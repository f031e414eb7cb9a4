//! What the worker does when its loop waits: marks its page of the scoreboard, wakes the attendant, and exits if the
//! wait fails.

use hostler_eventloop::{Observer, forked, is_parked};
use hostler_sys::{attendant, board, own, process};
use hostler_wire::ExitStatus;
use std::{os::fd::RawFd, panic};

/// Passes the loop's waits on to the scoreboard and the attendant, and claims its descriptors.
pub(crate) struct WorkerObserver;

impl Observer for WorkerObserver {
    fn parked(&self) {
        board::parked(true);
    }

    /// Before waiting for the GIL: a loop that cannot get it is blocked.
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

/// Exits when the wait itself fails, since nothing that Python owns may be dropped without the GIL.
///
/// Called once, by the worker. The wait fails when the application closes descriptors that are not its own.
pub(super) fn exit_when_waits_fail() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        // In a process that the application forked the worker's runtime has no descriptors.
        forked::exit_if_forked_without_gil();
        let lost = own::has_lost();
        if lost {
            tracing::error!("the application has closed descriptors that are not its own: the worker exits");
        } else {
            tell(panicked);
        }
        if lost || is_parked() {
            process::exit_now(ExitStatus::Failed.code());
        }
    }));
}
