//! One stream: a request and its response on an HTTP/2 connection.

use crate::{
    connection::{ConnectionHandle, Exchange, WaitsFor},
    io::file_pieces::FileParts,
    limits::progress::{Progress, ProgressChecks},
    log::entry::Entry,
    request::{
        body::{BodyReport, BodyStatus},
        record::RequestRecord,
        refusal::Refusal,
        session::SessionRecord,
    },
};
use hostler_sys::clock;
use http_body::Body;
use hyper::{HeaderMap, Response};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::Waker,
};

/// The protocol that follows a response.
struct Session {
    _shown: SessionRecord,
    line: Option<(Rc<Entry>, u16)>,
}

/// A stream as its parts see it, for one thread.
pub(crate) struct Stream {
    connection: Rc<ConnectionHandle>,
    /// Its slot.
    pub(super) number: u32,
    /// Wakes the future of the stream.
    waker: Waker,
    /// In flight until the socket has the response.
    record: RefCell<Option<RequestRecord>>,
    /// The protocol that followed the response; its line in the access log, and its status.
    session: RefCell<Option<Session>>,
    /// What becomes of the request's body, if there is one.
    body: Option<Arc<BodyReport>>,
    stage: Cell<Stage>,
    /// hyper has dropped the response, or the request.
    dropped: Cell<bool>,
    /// The loop has turned, and h2 was asked for a reset since.
    turned: Cell<bool>,
    /// Pieces of the response that h2 has, and bytes that it has written.
    unsent: Cell<u32>,
    written: Cell<u64>,
    /// The end of the response waits until h2 has written all before it.
    keeps_end: Cell<bool>,
    /// The protocol that follows the response waits until h2 has written what it has of it.
    protocol_waits: Cell<bool>,
    /// hyper is done with the stream: nothing can reset it any more.
    left: Cell<bool>,
    checks: ProgressChecks,
    /// What the client was waited for too long.
    expired: Cell<Option<WaitsFor>>,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The application has the request.
    Pending,
    /// hyper has the head.
    Begun,
    /// hyper has all of it.
    Complete,
}

impl Stream {
    pub(crate) fn new(
        (connection, number): (Rc<ConnectionHandle>, u32),
        waker: Waker,
        body: Option<Arc<BodyReport>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            connection,
            number,
            waker,
            record: RefCell::default(),
            session: RefCell::default(),
            body,
            stage: Cell::new(Stage::Pending),
            dropped: Cell::default(),
            turned: Cell::default(),
            unsent: Cell::default(),
            written: Cell::default(),
            keeps_end: Cell::default(),
            protocol_waits: Cell::default(),
            left: Cell::default(),
            checks: ProgressChecks::default(),
            expired: Cell::default(),
        })
    }

    /// hyper has the whole response.
    pub(crate) fn complete(&self) {
        self.stage.set(Stage::Complete);
    }

    /// Whether hyper has the whole response, rather than that the stream was reset.
    pub(crate) fn is_complete(&self) -> bool {
        self.stage.get() == Stage::Complete
    }

    /// Whether h2 may have to keep some of a body of this length for a client that makes no room for it. Once h2 is told
    /// the end of such a body, the stream can no longer be reset.
    pub(super) fn may_be_stuck(&self, length: u64) -> bool {
        self.connection.http2().is_none_or(|http2| length > u64::from(http2.least_window()))
    }

    /// Keeps the end of the response back while h2 has some of it; false if it has nothing.
    pub(super) fn keeps_end(&self) -> bool {
        let keeps = self.unsent.get() > 0;
        self.keeps_end.set(keeps);
        keeps
    }

    /// hyper is done with the stream, and h2 may have some of its response.
    pub(super) fn leave(&self) {
        if self.unsent.get() > 0
            && let Some(http2) = self.connection.http2()
        {
            self.left.set(true);
            http2.count_left(true);
        }
    }

    /// h2 is given a piece of the response.
    pub(super) fn piece_given(&self) {
        if self.unsent.replace(self.unsent.get() + 1) == 0 {
            self.connection.count_unsent_stream(true);
        }
    }

    /// Whether the protocol that follows the response waits for the client to make room.
    pub(super) fn protocol_waits(&self, waits: bool) {
        self.protocol_waits.set(waits);
    }

    /// Whether it does.
    pub(super) fn does_protocol_wait(&self) -> bool {
        self.protocol_waits.get()
    }

    /// Whether the client was waited for too long.
    pub(super) fn is_overdue(&self) -> bool {
        self.expired.get().is_some()
    }

    /// Bytes of a piece were written, or given to h2 by the protocol that follows the response.
    pub(super) fn piece_moves(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
        if let Some(http2) = self.connection.http2() {
            http2.data_written(bytes);
        }
    }

    /// h2 has written a piece, or never will.
    pub(super) fn piece_gone(&self) {
        let unsent = self.unsent.get() - 1;
        self.unsent.set(unsent);
        if unsent == 0 {
            self.connection.count_unsent_stream(false);
            if self.left.take()
                && let Some(http2) = self.connection.http2()
            {
                http2.count_left(false);
            }
            if self.keeps_end.take() {
                self.waker.wake_by_ref();
            }
            self.settle();
        }
    }

    /// Ends the record once h2 has written everything.
    fn settle(&self) {
        if !self.dropped.get() || self.unsent.get() > 0 {
            return;
        }
        let Some(record) = self.record.take() else { return };
        if let Some(entry) = &record.entry {
            entry.wrote(self.written.get());
        }
        match self.is_complete() {
            // In flight until the write buffer was flushed.
            true => self.connection.stream_written(record),
            false => drop(record),
        }
    }

    /// Another protocol follows, whose line in the access log is written when it ends: the line, if there is to be one.
    pub(super) fn begin_session(&self) -> Option<Rc<Entry>> {
        let mut record = self.record.borrow_mut();
        let record = record.as_mut()?;
        let (entry, status) = (record.entry.take(), record.status);
        let line = entry.clone().map(|entry| (entry, status));
        self.session.replace(Some(Session { _shown: record.session(), line }));
        entry
    }

    /// That protocol has ended.
    pub(super) fn end_session(&self) {
        if let Some(Session { line: Some((entry, status)), .. }) = self.session.take() {
            entry.complete(false);
            entry.finish(status, clock::now());
        }
    }

    /// The worker exits: a request in flight is cut.
    pub(super) fn cut(&self) {
        if let Some(entry) = self.record.take().as_ref().and_then(|record| record.entry.as_ref()) {
            entry.failed();
            entry.wrote(self.written.get());
        }
        if let Some(Session { line: Some((entry, _)), .. }) = &*self.session.borrow() {
            entry.failed();
        }
        self.end_session();
    }

    /// Checks for progress, some time after the last check. Whether the stream is to be reset.
    pub(super) fn check_progress(&self, max_checks: impl Fn(WaitsFor) -> Option<u32>) -> bool {
        let body = self.body.as_ref().map(|body| (body.status(), body.pieces()));
        let (waits_for, moves) = match body {
            _ if self.unsent.get() > 0 || self.protocol_waits.get() => self.awaits_room(),
            Some((BodyStatus::Open { awaited: true }, pieces)) => {
                (Some(WaitsFor::RequestBody), u64::from(pieces))
            }
            _ => (None, 0),
        };
        let progress = Progress { waits_for, turns: 0, moves, unsent_bytes: 0 };
        let Some(expired) = self.checks.record(progress, max_checks) else { return false };
        self.expired.set(Some(expired));
        // Without a response, the one to a late body is a 408.
        let resets = expired != WaitsFor::RequestBody || self.stage.get() != Stage::Pending;
        self.waker.wake_by_ref();
        resets
    }
}

impl Stream {
    /// What the client is waited for while h2 has some of the response, and what moves meanwhile.
    fn awaits_room(&self) -> (Option<WaitsFor>, u64) {
        match self.connection.http2() {
            // It reads too slowly for any stream: the connection is checked for that.
            _ if self.connection.is_blocked() => (None, 0),
            // It makes no room for any stream: they are served one after the other.
            Some(http2) if !http2.has_window() => (Some(WaitsFor::ResponseRead), http2.written()),
            _ => (Some(WaitsFor::ResponseRead), self.written.get()),
        }
    }

    /// Tells the log that the body is larger than it may be.
    fn report_body(&self) {
        if self.body.as_ref().is_some_and(|body| body.is_too_large()) {
            let describe =
                || self.record.borrow().as_ref().map(RequestRecord::describe).unwrap_or_default().1;
            self.connection.report(&self.connection.limits().body_too_large(), describe);
        }
    }
}

/// The exchange of a stream.
pub(crate) struct StreamExchange(Rc<Stream>);

impl StreamExchange {
    pub(super) fn new(stream: Rc<Stream>) -> Self {
        Self(stream)
    }
}

impl Drop for StreamExchange {
    fn drop(&mut self) {
        self.0.report_body();
        self.0.dropped.set(true);
        self.0.settle();
    }
}

impl Exchange for StreamExchange {
    fn connection(&self) -> &ConnectionHandle {
        &self.0.connection
    }

    fn begin(&self, record: RequestRecord) -> bool {
        let waits = self.0.connection.poll_time.is_used_up(record.began_nanos);
        self.0.record.replace(Some(record));
        waits
    }

    /// hyper asks h2 for a reset whenever the future is not ready, so it is asked once before the application is called.
    fn has_turned(&self) -> bool {
        if !self.0.turned.replace(true) {
            self.0.waker.wake_by_ref();
            return false;
        }
        self.0.connection.poll_time.is_used_up(clock::now());
        true
    }

    fn body_status(&self) -> BodyStatus {
        self.0.body.as_ref().map_or(BodyStatus::Ended, |body| body.status())
    }

    fn refusal(&self) -> Option<Refusal> {
        let too_large = self.0.body.as_ref().is_some_and(|body| body.is_too_large());
        too_large.then(|| self.0.connection.limits().body_too_large())
    }

    fn is_body_overdue(&self) -> bool {
        self.0.expired.get() == Some(WaitsFor::RequestBody)
    }

    fn describe_request(&self) -> (String, crate::RequestFacts) {
        self.0.record.borrow().as_ref().map(RequestRecord::describe).unwrap_or_default()
    }

    fn response_starts(&self, status: u16) {
        if let Some(record) = &mut *self.0.record.borrow_mut() {
            record.responds(status);
        }
        self.0.stage.set(Stage::Begun);
    }

    /// hyper resets the stream.
    fn response_failed(&self) {}

    /// Nothing in the response says that its connection ends; GOAWAY does.
    fn prepare<B: Body>(&self, _response: &mut Response<B>, _is_http_10: bool) {}

    /// Frames of other streams may come in between.
    fn file_parts(&self) -> Option<&FileParts> {
        None
    }

    fn prepare_answer(&self, _headers: &mut HeaderMap) {}

    fn prepare_own(&self, _headers: &mut HeaderMap) {}
}
