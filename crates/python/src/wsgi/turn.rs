//! Letting the loop turn between two steps of an application that is called in place.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Waits for a turn of the loop: by then everything sent before was written, and sockets and timers were polled.
#[derive(Default)]
pub(super) struct Turn {
    waiting: Option<Arc<Signal>>,
}

impl Turn {
    /// Ready once the loop has turned; asked after that, it waits for another turn.
    ///
    /// hyper may poll a pending body again at once, so being polled does not mean that the loop turned. This waits for
    /// the runtime's wake-up, which comes after it has polled its sockets (`tokio::task::yield_now`).
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        match &self.waiting {
            Some(signal) if signal.over.load(Relaxed) => {
                self.waiting = None;
                Poll::Ready(())
            }
            Some(signal) => {
                signal.follow(cx.waker());
                Poll::Pending
            }
            None => {
                let signal = Arc::new(Signal::new(cx.waker()));
                let waker = Waker::from(Arc::clone(&signal));
                // The first poll registers the waker with the runtime; the future is not polled again.
                let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
                self.waiting = Some(signal);
                Poll::Pending
            }
        }
    }

    /// Waits for a turn.
    pub(super) async fn pass() {
        let mut turn = Self::default();
        std::future::poll_fn(|cx| turn.poll(cx)).await;
    }
}

/// Waits until the tasks that are ready now have run; sockets are not polled.
pub(super) async fn after_ready_tasks() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Signal {
    over: AtomicBool,
    task: Mutex<Waker>,
}

impl Signal {
    fn new(task: &Waker) -> Self {
        Self { over: AtomicBool::new(false), task: Mutex::new(task.clone()) }
    }

    fn follow(&self, task: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(task);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.over.store(true, Relaxed);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}
