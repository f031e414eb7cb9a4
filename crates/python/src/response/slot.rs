//! The place where an application leaves its answer and hyper's task waits for it.

use super::ResponseBody;
use hyper::Response;
use std::task::{Context, Poll, Waker};

/// Empty, waited for, or filled.
#[derive(Default)]
pub(crate) struct Slot {
    answer: Option<Response<ResponseBody>>,
    waiting: Option<Waker>,
}

impl Slot {
    /// Leaves the answer; whoever is returned is to be woken.
    #[must_use]
    pub(crate) fn put(&mut self, answer: Response<ResponseBody>) -> Option<Waker> {
        self.answer = Some(answer);
        self.waiting.take()
    }

    /// The answer, once there is one; otherwise `cx` waits for it.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Response<ResponseBody>> {
        match self.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
