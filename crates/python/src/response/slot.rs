//! The slot where an application puts its response and hyper's task waits for it.

use super::ResponseBody;
use hostler_http::Aborted;
use hyper::Response;
use std::task::{Context, Poll, Waker};

/// A response, or that there will be none.
pub(crate) type ResponseResult = Result<Response<ResponseBody>, Aborted>;

/// Empty, waited for, or filled.
#[derive(Default)]
pub(crate) struct ResponseSlot {
    response: Option<ResponseResult>,
    waiting: Option<Waker>,
}

impl ResponseSlot {
    /// Puts the response; the returned waker is to be woken.
    #[must_use]
    pub(crate) fn put(&mut self, response: ResponseResult) -> Option<Waker> {
        self.response = Some(response);
        self.waiting.take()
    }

    /// Takes out what is not wanted any more, to be dropped outside of the cell: that may run Python code.
    pub(crate) fn clear(&mut self) -> Option<ResponseResult> {
        self.waiting = None;
        self.response.take()
    }

    /// The response, once there is one; otherwise `cx` is woken for it.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<ResponseResult> {
        match self.response.take() {
            Some(response) => Poll::Ready(response),
            None => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
