//! What this worker has to do, on its page of the scoreboard: connections, requests, and the request limit.

use crate::{accept::gate::Gate, request::record::RequestRecord};
use hostler_sys::clock;
use hostler_wire::{Page, SiblingPage};
use hyper::{Method, Uri};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    task::{Poll, Waker},
};

/// This worker's load; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Load(Rc<Shared>);

struct Shared {
    page: &'static Page,
    gate: Gate,
    requests: Cell<u64>,
    /// The worker is to be recycled after this many requests.
    request_limit: Option<u64>,
    at_limit: RefCell<Option<Waker>>,
}

impl Load {
    /// Keeps `own`, which has this number among `pages`.
    #[must_use]
    pub fn new(
        own: &'static Page,
        pages: &'static [SiblingPage],
        number: u16,
        request_limit: Option<u64>,
    ) -> Self {
        let (requests, at_limit) = (Cell::new(0), RefCell::default());
        let gate = Gate::new(own, pages, number);
        Self(Rc::new(Shared { page: own, gate, requests, request_limit, at_limit }))
    }

    /// Waits until this worker has begun as many requests as its limit.
    pub async fn limit_reached(&self) {
        let shared = &self.0;
        std::future::poll_fn(|cx| {
            if shared.request_limit.is_some_and(|limit| shared.requests.get() >= limit) {
                return Poll::Ready(());
            }
            shared.at_limit.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// How many requests have begun in all; `None` while one is in flight.
    #[must_use]
    pub fn requests_if_idle(&self) -> Option<u64> {
        (self.0.page.in_flight() == 0).then(|| self.0.requests.get())
    }

    /// The page that this worker writes.
    #[must_use]
    pub fn page(&self) -> &'static Page {
        self.0.page
    }

    /// Whether connections are this worker's to accept.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Records that a request began.
    pub(crate) fn begin(&self, method: &Method, uri: &Uri, peer: Option<SocketAddr>) -> RequestRecord {
        let shared = &self.0;
        let now = clock::now();
        // The application may block this thread.
        hostler_sys::attendant::wake();
        let slot = shared.page.request_began(now, method.as_str(), uri.path(), peer);
        let count = shared.requests.get() + 1;
        shared.requests.set(count);
        if shared.request_limit == Some(count)
            && let Some(waker) = shared.at_limit.take()
        {
            waker.wake();
        }
        RequestRecord::new(shared.page, slot, now)
    }

    /// Counts a connection on the page until the value is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.0.page.connection_opened();
        OpenConnection(self.0.page)
    }
}

/// An open connection, as the scoreboard counts it.
pub(crate) struct OpenConnection(&'static Page);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}
