//! Clients that shut down their side while their requests wait in the queue.
//!
//! TCP has one word for "I have said everything and wait for the answer" and for "I am gone". Whoever means the first
//! says it with the request; a client that was waiting and then shuts down has given up, and its request does not run.

use super::pool::Progress;
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// A client that shuts down its side later than this after its request has given up.
const WITH_THE_REQUEST: Duration = Duration::from_secs(1);

/// The request of a connection that may be in the queue.
#[derive(Default)]
pub(super) struct Queued {
    request: RefCell<Option<(Progress, Instant)>>,
    /// Its client shut down its side with the request.
    half_closed: Cell<bool>,
}

impl Queued {
    /// A request was put into the queue.
    pub(super) fn note(&self, progress: &Progress) {
        self.request.replace(Some((progress.clone(), Instant::now())));
        self.half_closed.set(false);
    }

    /// The client has shut down its side; whether it is to be answered.
    pub(super) fn is_served(&self) -> bool {
        let Some((progress, since)) = &*self.request.borrow() else { return true };
        if progress.is_taken() || since.elapsed() < WITH_THE_REQUEST {
            self.half_closed.set(true);
        }
        self.half_closed.get()
    }
}
