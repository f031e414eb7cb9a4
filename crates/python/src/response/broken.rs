//! Breaking a response off: its end tells the client that something is missing.

use std::{
    error::Error,
    fmt,
    task::{Context, Poll},
};

/// The application failed after its response began; the connection is closed so that the client notices.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application failed after its response began")
    }
}

impl Error for Broken {}

/// Delays a break until hyper has written what it holds.
///
/// hyper drops its buffer when a body breaks, and writes it when the body has nothing to give. So the first poll that
/// would break the body is pending instead, and the next one breaks it.
#[derive(Default)]
pub(crate) struct BreakDelay {
    over: bool,
}

impl BreakDelay {
    /// What hyper is told instead of `polled`, of a body that breaks again when it is polled again.
    pub(crate) fn before<T, E>(
        &mut self,
        polled: Poll<Option<Result<T, E>>>,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        if matches!(polled, Poll::Ready(Some(Err(_)))) && !std::mem::replace(&mut self.over, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }
}
