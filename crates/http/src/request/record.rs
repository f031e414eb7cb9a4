//! A request in flight, as the scoreboard shows it: the one place that knows its method, path, client, status and time. When
//! it is dropped, the request has its line in the access log.

use crate::{
    Began, RequestFacts, RequestId,
    log::{entry::Entry, facts, queue::Waiting},
    request::session::SessionRecord,
};
use hostler_sys::clock;
use hostler_wire::{Page, method_index};
use hyper::Method;
use std::rc::Rc;

/// The place of GET in [`hostler_wire::METHODS`].
const GET: u8 = 0;

/// A request from its head until the kernel has its response, or its connection ended.
pub(crate) struct RequestRecord {
    page: &'static Page,
    /// It does not reach the application, and is never in flight.
    is_refused: bool,
    /// Its place in [`hostler_wire::METHODS`].
    method: u8,
    /// Where the page shows it, if there was room.
    slot: Option<usize>,
    /// On the monotonic clock.
    pub(crate) began_nanos: u64,
    /// The status of the response; 0 until there is one.
    pub(crate) status: u16,
    /// Its line in the access log, if it is to have one.
    pub(crate) entry: Option<Rc<Entry>>,
    has_given_id: bool,
    /// How long it has waited for its application, in nanoseconds, before it was read; `None` if it has none.
    queued: Option<u64>,
    /// Where is noted how long it has waited since, if it did.
    waiting: Option<Waiting>,
}

impl RequestRecord {
    pub(crate) fn new(page: &'static Page, method: &Method, slot: Option<usize>, began_nanos: u64) -> Self {
        // Most are GETs, and to see that is cheaper than to read the name.
        let method = if *method == Method::GET { GET } else { method_index(method.as_str()) };
        Self::with(page, method, slot, began_nanos)
    }

    fn with(page: &'static Page, method: u8, slot: Option<usize>, began_nanos: u64) -> Self {
        Self {
            page,
            is_refused: false,
            method,
            slot,
            began_nanos,
            status: 0,
            entry: None,
            has_given_id: false,
            queued: None,
            waiting: None,
        }
    }

    /// Of a request that does not reach the application; its method may not have been read.
    #[cold]
    pub(crate) fn of_refusal(
        page: &'static Page,
        method: Option<&Method>,
        began_nanos: u64,
        entry: Option<Rc<Entry>>,
    ) -> Self {
        let mut record = Self::with(page, method_index(method.map_or("", Method::as_str)), None, began_nanos);
        (record.is_refused, record.entry) = (true, entry);
        record
    }

    /// It has waited so long for its application until it was read; how long it waits from now on is noted there.
    #[inline]
    pub(crate) fn is_queued(&mut self, nanos: u64, waiting: Option<Waiting>) {
        self.queued = Some(nanos);
        self.waiting = waiting;
    }

    /// Its response has this status.
    pub(crate) fn responds(&mut self, status: u16) {
        self.status = status;
        self.page.request_responded(self.slot, status);
    }

    /// Whether [`Self::describe`] knows all of this method and path.
    #[inline]
    pub(crate) fn shows_whole(&self, method: &Method, path: &str) -> bool {
        self.slot.is_some() && Page::shows_whole(method.as_str(), path)
    }

    /// The kernel has all that will be sent of the response. `left`: the client had closed its side before; its connection
    /// has sent so many bytes in all.
    pub(crate) fn sent(self, left: bool, sent: u64) {
        if let Some(entry) = &self.entry {
            entry.complete(left);
            if !entry.is_complete() {
                entry.ends_at(sent);
            }
        }
    }

    /// Another protocol follows.
    pub(crate) fn session(&self) -> SessionRecord {
        SessionRecord::new(self.page, self.slot)
    }

    /// It has this id in its header.
    pub(crate) fn is_given(&mut self, id: Option<RequestId>) {
        let Some(id) = id else { return };
        let text = String::from_utf8_lossy(id.as_bytes()).into_owned();
        self.page.request_identified(self.slot, &text);
        facts::given(self.began_nanos, text);
        self.has_given_id = true;
    }

    /// What the log says of it: as one text with its age, and in parts.
    pub(crate) fn describe(&self) -> (String, RequestFacts) {
        let requests = if self.is_refused { Vec::new() } else { self.page.requests_in_flight() };
        let own = requests.into_iter().filter(|request| request.started_at == self.began_nanos);
        let text = hostler_sys::board::describe(&own.collect::<Vec<_>>());
        (text, RequestFacts::in_flight(Began(self.began_nanos)))
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let now = clock::now();
        let nanos = now.saturating_sub(self.began_nanos);
        if let Some(queued) = self.queued {
            let here = self.waiting.as_ref().map_or(0, |waiting| waiting.end_at(now));
            self.page.request_queued(queued + here);
        }
        match self.is_refused {
            false => self.page.request_ended(self.slot, self.method, self.status, nanos),
            true => self.page.request_refused(self.method, self.status, nanos),
        }
        if self.has_given_id {
            facts::forget(self.began_nanos);
        }
        if let Some(entry) = self.entry.take() {
            entry.finish(self.status, now);
        }
    }
}
