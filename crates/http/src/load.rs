//! What this worker has to do, on its page of the scoreboard: connections, requests, and the request limit.

use crate::{
    accept::gate::Gate,
    compress::Compression,
    log::{AccessLog, facts::Began, turns::Turns},
    request::{added::AddedHeaders, id::RequestIds, record::RequestRecord},
};
use hostler_settings::{Compress, Log, Responses, Tracing};
use hostler_sys::clock;
use hostler_wire::{Page, SiblingPage};
use hyper::{Method, Uri};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    os::fd::RawFd,
    rc::Rc,
    task::{Poll, Waker},
};

/// What is the same for all requests of this worker.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The worker's number.
    pub worker: u16,
    /// The log.
    pub log: &'a Log,
    /// Ids of requests.
    pub tracing: &'a Tracing,
    /// Compressed responses.
    pub compress: &'a Compress,
    /// Headers of responses.
    pub responses: &'a Responses,
}

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
    /// Requests have ids in headers, lines in the access log, or compressed responses; or responses are given headers.
    has_extras: bool,
    access_log: Option<&'static AccessLog>,
    compression: Option<&'static Compression>,
    added: Option<&'static AddedHeaders>,
    ids: RequestIds,
    turns: Turns,
    /// When the last request began.
    current: Cell<u64>,
    /// The page has a place for it.
    has_place: Cell<bool>,
}

impl Load {
    /// Keeps `own`, which has this number among `pages`.
    #[must_use]
    pub fn new(
        own: &'static Page,
        pages: &'static [SiblingPage],
        number: u16,
        request_limit: Option<u64>,
        features: Features<'_>,
    ) -> Self {
        let ids = RequestIds::new(features.tracing);
        own.set_seed(ids.seed());
        let compression = Compression::new(features.compress);
        let added = AddedHeaders::new(features.responses);
        crate::log::facts::set_worker(&ids, features.worker);
        let access_log = AccessLog::new(features.log, features.worker, ids.clone());
        let (requests, at_limit) = (Cell::new(0), RefCell::default());
        let gate = Gate::new(own, pages, number);
        Self(Rc::new(Shared {
            page: own,
            gate,
            requests,
            request_limit,
            at_limit,
            has_extras: ids.identify() || access_log.is_some() || compression.is_some() || added.is_some(),
            access_log,
            compression,
            added,
            ids,
            turns: Turns::default(),
            current: Cell::new(0),
            has_place: Cell::new(false),
        }))
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

    /// Writes the access log, if there is one; never returns.
    pub async fn write_access_log(self) {
        match self.0.access_log {
            Some(log) => log.run_writer().await,
            None => std::future::pending().await,
        }
    }

    /// Whether there is something to be done about a request beside its response.
    #[inline]
    pub(crate) fn has_extras(&self) -> bool {
        self.0.has_extras
    }

    /// The access log, if there is one.
    pub(crate) fn access_log(&self) -> Option<&'static AccessLog> {
        self.0.access_log
    }

    /// How responses are compressed, if they are.
    pub(crate) fn compression(&self) -> Option<&'static Compression> {
        self.0.compression
    }

    /// Headers that responses are given, if there are any.
    pub(crate) fn added(&self) -> Option<&'static AddedHeaders> {
        self.0.added
    }

    /// The request that began last; when the application is called for it, this is that one.
    pub(crate) fn current(&self) -> Began {
        Began(self.0.current.get())
    }

    /// Whether the page shows all of this method and path of that request.
    pub(crate) fn shows_current(&self, method: &Method, path: &str) -> bool {
        self.0.has_place.get() && Page::shows_whole(method.as_str(), path)
    }

    /// How requests get their ids.
    #[must_use]
    pub fn ids(&self) -> &RequestIds {
        &self.0.ids
    }

    /// How long a request that begins now has waited in the kernel for the loop, in nanoseconds; `None` if that is not
    /// known.
    pub(crate) fn kernel_wait(&self, connection: RawFd, now: u64) -> Option<u64> {
        self.0.turns.kernel_wait(self.0.page.turned_at(), now, connection)
    }

    /// Whether connections are this worker's to accept.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Records that a request began that is not for the application, and so does not count for the request limit.
    pub(crate) fn begin_without_application(
        &self,
        method: &Method,
        uri: &Uri,
        peer: Option<SocketAddr>,
    ) -> RequestRecord {
        let now = clock::now();
        let slot = self.0.page.request_began(now, method.as_str(), uri.path(), peer);
        RequestRecord::new(self.0.page, method, slot, now)
    }

    /// Records that a request began.
    pub(crate) fn begin(&self, method: &Method, uri: &Uri, peer: Option<SocketAddr>) -> RequestRecord {
        let shared = &self.0;
        let now = clock::now();
        // The application may block this thread.
        hostler_sys::attendant::wake();
        let slot = shared.page.request_began(now, method.as_str(), uri.path(), peer);
        shared.current.set(now);
        shared.has_place.set(slot.is_some());
        let count = shared.requests.get() + 1;
        shared.requests.set(count);
        if shared.request_limit == Some(count)
            && let Some(waker) = shared.at_limit.take()
        {
            waker.wake();
        }
        RequestRecord::new(shared.page, method, slot, now)
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
