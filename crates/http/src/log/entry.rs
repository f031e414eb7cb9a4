//! The line of one request, from its head until the kernel has its response or its connection ended.

use super::{AccessLog, MAX_SPARE, queue::Waiting};
use crate::{
    Forwarded, Scheme,
    connection::{speech::Said, unread::Unread},
    request::{id::RequestId, trace::TraceContext},
};
use hostler_access::{Draft, End, Start};
use hostler_sys::{clock, logging::access};
use hyper::{HeaderMap, Request};
use std::{cell::RefCell, net::SocketAddr, rc::Rc};

/// What nginx logs for a client that left before there was a response.
const CLIENT_LEFT: u16 = 499;
/// The status that another protocol follows.
const SWITCHING_PROTOCOLS: u16 = 101;

/// What a head has at the least beside its fields: a status line, Date, and an empty line.
const LEAST_HEAD: usize = 54;
/// How long a field of a head is, at the least. To look at each would cost every request; it matters for those alone that
/// were cut off.
const LEAST_FIELD: usize = 8;

const MILLISECOND: u64 = 1_000_000;

/// The line of a request under way. The request's record and the body of its response share it.
pub(crate) struct Entry {
    log: &'static AccessLog,
    draft: RefCell<Draft>,
    state: RefCell<State>,
    /// How long it waits in this process, if it may.
    waiting: RefCell<Option<Waiting>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// On the monotonic clock.
    began: u64,
    /// Bytes of the response's body that were given to hyper.
    bytes: u64,
    /// How long the head is, at the least.
    head_length: u64,
    /// Bytes that the connection had sent before.
    sent_before: u64,
    first_byte: Option<u64>,
    queue: Option<u64>,
    /// It is one of those that have a line whatever becomes of them.
    sampled: bool,
    /// The server or the application ended it early.
    failed: bool,
    /// A part of it is lost: the connection broke.
    broken: bool,
    /// All of it was sent past hyper, whatever hyper makes of the request.
    past_hyper: bool,
    /// The client has the whole response, as far as the kernel knows.
    complete: bool,
    /// The client closed its side before that.
    left: bool,
}

impl AccessLog {
    /// Begins the line of a request; `None` if it is to have none.
    pub(crate) fn begin<B>(
        &'static self,
        request: &Request<B>,
        (client, scheme): (Option<SocketAddr>, Scheme),
        began: u64,
    ) -> Option<Rc<Entry>> {
        if self.excluded.has(request.uri().path()) {
            return None;
        }
        let entry = self.new_entry(began);
        let start = Start {
            client,
            line: Some((request.method(), request.uri())),
            version: Some(request.version()),
            scheme: scheme.as_str(),
            headers: request.headers(),
            request_id: b"",
            trace: None,
            longest: access::longest_line(),
        };
        if self.needs.identity() {
            self.begin_identified(&mut entry.draft.borrow_mut(), request, &start, began);
        } else {
            self.format.begin(&mut entry.draft.borrow_mut(), &start);
        }
        Some(entry)
    }

    /// As [`AccessLog::begin`], with what a request has to be asked for.
    fn begin_identified<B>(&self, draft: &mut Draft, request: &Request<B>, start: &Start<'_>, began: u64) {
        let id = if self.needs.request_id { self.ids.of(request, began) } else { RequestId::default() };
        let trace = if self.needs.trace { TraceContext::of(request.headers()) } else { None };
        let forwarded = request.extensions().get::<Forwarded>().and_then(|forwarded| forwarded.scheme);
        let scheme = forwarded.map_or(start.scheme, |scheme| scheme.as_str());
        let trace = trace.as_ref().map(TraceContext::ids);
        self.format.begin(draft, &Start { scheme, request_id: id.as_bytes(), trace, ..*start });
    }
}

impl AccessLog {
    fn new_entry(&'static self, began: u64) -> Rc<Entry> {
        let entry = self.spare.borrow_mut().pop();
        let entry = entry.unwrap_or_else(|| {
            let (draft, state, waiting) = Default::default();
            Rc::new(Entry { log: self, draft, state, waiting })
        });
        entry.state.replace(State { began, sampled: self.samples(), ..State::default() });
        entry
    }

    /// The line of a request that is refused before it has become one.
    #[cold]
    pub(crate) fn unread(
        &'static self,
        unread: &Unread,
        (client, scheme): (Option<SocketAddr>, Scheme),
    ) -> Option<Rc<Entry>> {
        let line = unread.line.as_ref();
        if line.is_some_and(|line| self.excluded.has(line.target.path())) {
            return None;
        }
        let entry = self.new_entry(unread.began);
        let id = self.ids.made(unread.refused);
        let start = Start {
            client,
            line: line.map(|line| (&line.method, &line.target)),
            version: line.and_then(|line| line.version),
            scheme: scheme.as_str(),
            headers: &HeaderMap::new(),
            request_id: id.as_bytes(),
            trace: None,
            longest: access::longest_line(),
        };
        self.format.begin(&mut entry.draft.borrow_mut(), &start);
        Some(entry)
    }
}

/// The line of what follows a 101, until its connection ends.
pub(crate) struct SessionEntry {
    entry: Rc<Entry>,
    /// Once the 101 was written: how many bytes the connection had sent with it, and what the protocol has said.
    protocol: Option<(u64, Rc<Said>)>,
}

impl SessionEntry {
    pub(crate) fn new(entry: Rc<Entry>) -> Self {
        Self { entry, protocol: None }
    }

    /// The protocol follows when the connection has sent so many bytes.
    pub(crate) fn follows(&mut self, sent: u64, said: Rc<Said>) {
        self.protocol = Some((sent, said));
    }

    /// The worker exits.
    pub(crate) fn cut(&self) {
        if !self.protocol.as_ref().is_some_and(|(_, said)| said.is_all()) {
            self.entry.failed();
        }
    }

    /// The client was sent so many bytes by the connection in all. `lost`: the client has broken it; `cut`: the server ended
    /// it, and the client had not taken everything.
    pub(crate) fn finish(self, sent: u64, lost: bool, cut: bool) {
        let Self { entry, protocol } = self;
        let lost = lost || (protocol.is_none() && !cut);
        if let Some((before, said)) = protocol {
            // More is sent than said over TLS, and by TLS.
            let taken = sent.saturating_sub(before);
            entry.sent(if lost || cut { said.bytes().min(taken) } else { said.bytes() });
        }
        match (lost, cut) {
            (true, _) => entry.broken(),
            (false, true) => entry.failed(),
            (false, false) => {}
        }
        entry.complete(false);
        entry.finish(SWITCHING_PROTOCOLS, clock::now());
    }
}

impl Entry {
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.borrow_mut());
    }

    /// Whether it is to be found out how long the request waited.
    pub(crate) fn wants_queue(&self) -> bool {
        self.log.needs.queue
    }

    /// The request waited for so long before it began.
    pub(crate) fn waited(&self, nanos: Option<u64>) {
        self.update(|state| state.queue = nanos);
    }

    /// Its application may be called later: for how long it waits is noted there.
    pub(crate) fn waits(&self, waiting: Waiting) {
        self.waiting.replace(Some(waiting));
    }

    /// It has waited for its turn; it may wait for a thread from now on.
    pub(crate) fn turn_comes(&self) {
        if let Some(waiting) = &*self.waiting.borrow() {
            waiting.end();
        }
    }

    /// How long it waited in all, in whole milliseconds if a part of it was measured by the kernel.
    fn queue(&self, now: u64) -> Option<u64> {
        let State { queue, .. } = *self.state.borrow();
        let Some(waiting) = self.waiting.take() else { return queue };
        let here = waiting.end_at(now);
        Some(match queue {
            None | Some(0) => here,
            Some(kernel) => (kernel + here) / MILLISECOND * MILLISECOND,
        })
    }

    /// The response begins.
    pub(crate) fn responded(&self, headers: &HeaderMap, length: Option<u64>) {
        if self.log.needs.first_byte {
            let now = clock::now();
            self.update(|state| state.first_byte = Some(now.saturating_sub(state.began)));
        }
        let head_length = LEAST_HEAD + LEAST_FIELD * headers.len();
        self.update(|state| state.head_length = head_length as u64);
        self.log.format.responded(&mut self.draft.borrow_mut(), headers, length);
    }

    /// So many bytes of the body were given to hyper, or to the socket.
    pub(crate) fn sent(&self, bytes: u64) {
        self.update(|state| state.bytes += bytes);
    }

    /// The connection has sent so many bytes so far: what it had when the request began is not this response's.
    pub(crate) fn begins_behind(&self, sent: u64) {
        self.update(|state| state.sent_before = sent);
    }

    /// The response was not sent to its end, and the connection has sent so many bytes in all.
    pub(crate) fn ends_at(&self, sent: u64) {
        self.update(|state| {
            let head_and_body = sent.saturating_sub(state.sent_before);
            state.bytes = state.bytes.min(head_and_body.saturating_sub(state.head_length));
        });
    }

    /// Of a response on a stream, h2 has written so many bytes: the rest is lost.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.update(|state| {
            state.broken |= bytes < state.bytes;
            state.bytes = state.bytes.min(bytes);
        });
    }

    /// The client was not given so many of the bytes, which are lost.
    pub(crate) fn lacks(&self, bytes: u64) {
        self.update(|state| {
            state.broken |= bytes > 0;
            state.bytes = state.bytes.saturating_sub(bytes);
        });
    }

    /// The connection broke before all of the response was written.
    pub(crate) fn broken(&self) {
        self.update(|state| state.broken |= !state.past_hyper);
    }

    /// The server or the application ends the response early.
    pub(crate) fn failed(&self) {
        self.update(|state| state.failed |= !state.past_hyper);
    }

    /// All of the response was sent past hyper, which will say that there was none.
    pub(crate) fn sent_past_hyper(&self) {
        self.update(|state| state.past_hyper = !state.failed && !state.broken);
    }

    /// The kernel has the whole response, unless it failed.
    /// `left`: its client had closed its side before.
    pub(crate) fn complete(&self, left: bool) {
        self.update(|state| {
            state.complete = !state.failed && !state.broken;
            state.left = left;
        });
    }

    /// Whether the kernel has the whole response.
    pub(crate) fn is_complete(&self) -> bool {
        self.state.borrow().complete
    }

    /// Writes the line. `status` is 0 if there was no response.
    pub(crate) fn finish(self: Rc<Self>, status: u16, now: u64) {
        let (log, state) = (self.log, *self.state.borrow());
        if !state.sampled && state.complete && status < 500 {
            return log.keep(self);
        }
        let (second, nanos, offset) = log.wall.at(now);
        let client_left = state.left || (!state.complete && !state.failed);
        let end = End {
            second,
            nanos,
            offset,
            status: match status {
                0 if client_left => Some(CLIENT_LEFT),
                0 => None,
                status => Some(status),
            },
            bytes: state.bytes,
            duration_nanos: now.saturating_sub(state.began),
            first_byte_nanos: state.first_byte,
            queue_nanos: self.queue(now),
            client_left,
            complete: state.complete,
        };
        let first = access::add(|out| {
            log.format.finish(&self.draft.borrow(), &end, &mut log.stamps.borrow_mut(), out);
        });
        if first {
            log.wake_writer();
        }
        log.keep(self);
    }
}

impl AccessLog {
    /// Keeps an entry for a later request.
    fn keep(&self, entry: Rc<Entry>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE && Rc::strong_count(&entry) == 1 {
            spare.push(entry);
        }
    }
}
