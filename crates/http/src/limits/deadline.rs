//! The request timeout: how long a request may take until its response begins.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A request's deadline, which its application may extend. Found among the request's extensions.
#[derive(Clone, Debug)]
pub struct Deadline {
    began: Instant,
    /// Milliseconds after the beginning.
    due_ms: Arc<AtomicU64>,
}

impl Deadline {
    fn new(limit: Duration) -> Self {
        Self { began: Instant::now(), due_ms: Arc::new(AtomicU64::new(millis(limit))) }
    }

    /// Moves the deadline to this much time from now, if that is later than it was.
    pub fn extend(&self, by: Duration) {
        self.due_ms.fetch_max(millis(self.began.elapsed() + by), Relaxed);
    }

    fn due(&self) -> Instant {
        self.began + Duration::from_millis(self.due_ms.load(Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Wakes the request's task at its deadline.
pub(crate) struct Timer {
    deadline: Deadline,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(crate) fn new(limit: Duration) -> Self {
        let deadline = Deadline::new(limit);
        Self { sleep: Box::pin(sleep_until(deadline.due())), deadline }
    }

    /// Gives the application, which was not called yet, its time from now on.
    pub(crate) fn restart(&self) {
        self.deadline.extend(Duration::from_millis(self.deadline.due_ms.load(Relaxed)));
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline.clone()
    }

    /// Ready when the deadline has passed.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let due = self.deadline.due();
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}
