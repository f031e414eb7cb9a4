//! The place where an application leaves its answer and hyper's task waits for it.

use super::ResponseBody;
use hostler_http::Aborted;
use hyper::Response;
use std::task::{Context, Poll, Waker};

/// An answer, or the news that there will be none.
pub(crate) type Answered = Result<Response<ResponseBody>, Aborted>;

/// Empty, waited for, or filled.
#[derive(Default)]
pub(crate) struct Slot {
    answer: Option<Answered>,
    waiting: Option<Waker>,
}

impl Slot {
    /// Leaves the answer; whoever is returned is to be woken.
    #[must_use]
    pub(crate) fn put(&mut self, answer: Answered) -> Option<Waker> {
        self.answer = Some(answer);
        self.waiting.take()
    }

    /// Takes out what nobody waits for any more, to be dropped where Python code may run.
    pub(crate) fn clear(&mut self) -> Option<Answered> {
        self.waiting = None;
        self.answer.take()
    }

    /// The answer, once there is one; otherwise `cx` waits for it.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Answered> {
        match self.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
