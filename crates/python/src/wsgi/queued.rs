//! Clients that half-close their connection while their request is in the queue.
//!
//! In TCP a FIN means "I have sent everything and wait for the response" as well as "I am gone". A client that means
//! the first sends it with the request; one that was waiting and then half-closes has given up, and its request does not
//! run.

use super::pool::Progress;
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// A client that half-closes later than this after its request has given up.
const HALF_CLOSE_WINDOW: Duration = Duration::from_secs(1);

/// The request of a connection that may be in the queue.
#[derive(Default)]
pub(super) struct Queued {
    request: RefCell<Option<(Progress, Instant)>>,
    /// Its client half-closed together with the request.
    half_closed: Cell<bool>,
}

impl Queued {
    /// A request was queued.
    pub(super) fn note(&self, progress: &Progress) {
        self.request.replace(Some((progress.clone(), Instant::now())));
        self.half_closed.set(false);
    }

    /// The client has half-closed; whether it still gets a response.
    pub(super) fn is_served(&self) -> bool {
        let Some((progress, since)) = &*self.request.borrow() else { return true };
        if progress.is_taken() || since.elapsed() < HALF_CLOSE_WINDOW {
            self.half_closed.set(true);
        }
        self.half_closed.get()
    }
}
