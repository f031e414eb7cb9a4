//! A moment before an answer breaks off.

use std::task::{Context, Poll};

/// hyper drops what it still holds when a body breaks, and writes it when the body has nothing to say. So the break is
/// told at the second time of asking: what the application sent before is on its way by then.
#[derive(Default)]
pub(crate) struct Respite {
    over: bool,
}

impl Respite {
    /// What hyper is told instead of `polled`, of a body that gives the same answer when it is asked again.
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
