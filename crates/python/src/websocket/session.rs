//! A WebSocket between an application and its connection.
//!
//! ```text
//! Connecting ──accept──► Open ──close, client gone──► Closed
//!     └──refuse──► Closed
//! ```
//! Messages that the application sends are framed at once, into a buffer that the driver empties; messages of the
//! client go into a queue with a limit, from which `receive` takes them.

use super::{
    ABNORMAL, Handshake, Sockets, driver,
    inbox::{Inbox, Message, Received},
};
use crate::{
    awaitable::{Source, Waiting, reject, resolve},
    gil::GilCell,
    line::Line,
    response::{Answered, Head, ResponseBody, Slot},
    running::{Purpose, Running},
    task::Tasks,
};
use bytes::Bytes;
use hostler_http::Upgrades;
use hostler_websocket::{
    Agreement, DeflateOptions, Deflater, Opcode, is_sendable_close_code, write_close, write_frame,
};
use hostler_wire::DeflateSettings;
use hyper::{
    Response, StatusCode,
    header::{
        CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
        UPGRADE,
    },
};
use pyo3::{exceptions::PyValueError, prelude::*};
use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// So many bytes wait for the client before the application has to.
const MOST_OUTGOING: usize = 64 * 1024;

/// Makes the interface's own object of it.
pub(crate) type Present = for<'py> fn(Python<'py>, Received<'_>) -> PyResult<Bound<'py, PyAny>>;
/// The interface's own error for those who send to a client that is gone.
pub(crate) type Gone = Box<dyn Fn(Python<'_>) -> PyErr>;

/// Why something cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// The handshake is not answered yet.
    NotAccepted,
    /// The handshake is answered already.
    AlreadyAccepted,
    /// The application itself has closed.
    ClosedByUs,
    /// The client has closed, or is gone.
    ClientGone,
}

/// One WebSocket.
pub(crate) struct Session {
    state: GilCell<State>,
    /// `receive` calls that wait.
    receivers: Line,
    sockets: Rc<Sockets>,
    tasks: Rc<Tasks>,
    upgrades: Upgrades,
    handshake: Handshake,
    present: Present,
    gone: Gone,
}

struct State {
    phase: Phase,
    answer: Slot,
    /// Messages that wait for the application.
    inbox: Inbox,
    /// Frames for the client.
    outgoing: Vec<u8>,
    deflater: Option<Deflater>,
    /// Futures of `send` calls that wait for room.
    senders: Vec<Py<PyAny>>,
    driver: Option<Waker>,
    /// The application, if it is suspended.
    running: Option<Running>,
}

enum Phase {
    Connecting,
    Open,
    Closed { code: u16, reason: String, by_us: bool },
}

/// How far a session has come when its application ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Open,
    Closed,
}

impl Session {
    pub(crate) fn new(
        sockets: Rc<Sockets>,
        tasks: Rc<Tasks>,
        upgrades: Upgrades,
        handshake: Handshake,
        present: Present,
        gone: Gone,
    ) -> Rc<Self> {
        let state = State {
            phase: Phase::Connecting,
            answer: Slot::default(),
            inbox: Inbox::default(),
            outgoing: Vec::new(),
            deflater: None,
            senders: Vec::new(),
            driver: None,
            running: None,
        };
        let (state, receivers) = (GilCell::new(state), Line::default());
        Rc::new(Self { state, receivers, sockets, tasks, upgrades, handshake, present, gone })
    }

    /// The answer to the handshake, once there is one; otherwise `cx` is woken for it.
    pub(crate) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Answered> {
        self.state.with(py, |state| state.answer.poll(cx))
    }

    /// The application is suspended.
    pub(crate) fn runs(&self, py: Python<'_>, task: Bound<'_, PyAny>, request: Purpose) {
        self.state.with(py, |state| state.running = Some(Running::new(task, request)));
        if self.stage(py) == Stage::Closed {
            self.goes_on(py);
        }
    }

    /// The socket is closed: if the application goes on, that is work in flight.
    fn goes_on(&self, py: Python<'_>) {
        let Some(mut running) = self.state.with(py, |state| state.running.take()) else { return };
        running.goes_on(py);
        self.state.with(py, |state| state.running = Some(running));
    }

    /// The application returned or raised: what it left undone is done for it. Says how far it had come.
    pub(crate) fn application_ended(&self, py: Python<'_>, failed: bool) -> Stage {
        let running = self.state.with(py, |state| state.running.take());
        drop(running);
        let stage = self.stage(py);
        match stage {
            Stage::Connecting => self.refuse(py, status_alone(StatusCode::INTERNAL_SERVER_ERROR)),
            Stage::Open => self.end_by_us(py, if failed { 1011 } else { 1000 }, String::new()),
            Stage::Closed => {}
        }
        stage
    }

    fn stage(&self, py: Python<'_>) -> Stage {
        self.state.with(py, |state| match state.phase {
            Phase::Connecting => Stage::Connecting,
            Phase::Open => Stage::Open,
            Phase::Closed { .. } => Stage::Closed,
        })
    }

    /// The worker drains: the client should come again, to another one (RFC 6455 §7.4.1, IANA registry: 1012).
    pub(super) fn restart(&self, py: Python<'_>) {
        if self.stage(py) == Stage::Open {
            self.end_by_us(py, 1012, "the server restarts".into());
        }
    }

    /// hyper let go of the handshake before it was answered.
    pub(crate) fn abandoned(&self, py: Python<'_>) {
        self.closed(py, ABNORMAL, String::new());
    }

    /// The client closed, or is gone.
    pub(super) fn closed(&self, py: Python<'_>, code: u16, reason: String) {
        self.end(py, Phase::Closed { code, reason, by_us: false });
    }

    /// Sends a close frame; nothing follows it.
    fn end_by_us(&self, py: Python<'_>, code: u16, reason: String) {
        let driver = self.state.with(py, |state| {
            write_close(&mut state.outgoing, code, &reason);
            state.driver.take()
        });
        if let Some(driver) = driver {
            driver.wake();
        }
        self.end(py, Phase::Closed { code, reason, by_us: true });
    }

    /// Nothing more comes: tells those that wait.
    fn end(&self, py: Python<'_>, phase: Phase) {
        let senders = self.state.with(py, |state| {
            if !matches!(state.phase, Phase::Closed { .. }) {
                state.phase = phase;
            }
            std::mem::take(&mut state.senders)
        });
        self.sockets.remove(self);
        // Each wakes the next one when it goes.
        self.receivers.wake_first(py);
        for sender in senders {
            reject(sender.bind(py), (self.gone)(py));
        }
        self.goes_on(py);
    }

    fn present_end<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (code, reason) = self.state.with(py, |state| match &state.phase {
            Phase::Closed { code, reason, .. } => (*code, reason.clone()),
            Phase::Connecting | Phase::Open => (ABNORMAL, String::new()),
        });
        (self.present)(py, Received::Closed(code, &reason))
    }
}

/// What an adapter does for the application.
impl Session {
    /// The names of subprotocols that the client offers.
    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.handshake.subprotocols
    }

    /// Answers the handshake with a 101 that has these headers, too.
    pub(crate) fn accept(
        self: &Rc<Self>,
        py: Python<'_>,
        head: Head,
        subprotocol: Option<&str>,
    ) -> PyResult<Result<(), NotSent>> {
        if let Err(too_late) = self.may_be_answered(py) {
            return Ok(Err(too_late));
        }
        let Some(settings) = self.sockets.settings() else { return Ok(Err(NotSent::ClientGone)) };
        let agreement = settings.deflate.and_then(|deflate| {
            let DeflateSettings { window_bits, context_takeover } = deflate;
            self.handshake.agree(DeflateOptions { window_bits, context_takeover })
        });
        let answer = self.switching(head, subprotocol, agreement.as_ref())?;
        self.sockets.add(self);
        let inflater = agreement.as_ref().map(Agreement::inflater);
        let session = Rc::clone(self);
        self.upgrades
            .set(Box::new(move |stream| Box::pin(driver::drive(session, stream, settings, inflater))));
        let waiting = self.state.with(py, |state| {
            state.phase = Phase::Open;
            state.deflater = agreement.as_ref().map(Agreement::deflater);
            state.answer.put(Ok(answer))
        });
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        Ok(Ok(()))
    }

    /// Whether the handshake waits for its answer.
    pub(crate) fn may_be_answered(&self, py: Python<'_>) -> Result<(), NotSent> {
        self.state.with(py, |state| match state.phase {
            Phase::Connecting => Ok(()),
            Phase::Closed { by_us: false, .. } => Err(NotSent::ClientGone),
            Phase::Open | Phase::Closed { .. } => Err(NotSent::AlreadyAccepted),
        })
    }

    /// The answer that ends HTTP on the connection (RFC 6455 §4.2.2).
    fn switching(
        &self,
        head: Head,
        subprotocol: Option<&str>,
        agreement: Option<&Agreement>,
    ) -> PyResult<Response<ResponseBody>> {
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| PyValueError::new_err(format!("{text:?} is no header value")))
        };
        let mut answer = status_alone(StatusCode::SWITCHING_PROTOCOLS);
        let headers = answer.headers_mut();
        *headers = head.into_parts().1;
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, value(&self.handshake.accept)?);
        if let Some(name) = subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value(name)?);
        }
        match agreement {
            Some(agreement) => drop(headers.insert(SEC_WEBSOCKET_EXTENSIONS, value(&agreement.response)?)),
            // What the application says of extensions would have the client use them.
            None => drop(headers.remove(SEC_WEBSOCKET_EXTENSIONS)),
        }
        Ok(answer)
    }

    /// Answers the handshake with anything but a 101.
    pub(crate) fn refuse(&self, py: Python<'_>, answer: Response<ResponseBody>) {
        let waiting = self.state.with(py, |state| state.answer.put(Ok(answer)));
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        self.end(py, Phase::Closed { code: ABNORMAL, reason: String::new(), by_us: true });
    }

    /// Sends a message; returns a future if the application should wait before it sends more.
    pub(crate) fn send<'py>(
        &self,
        py: Python<'py>,
        opcode: Opcode,
        payload: &[u8],
    ) -> PyResult<Result<Option<Bound<'py, PyAny>>, NotSent>> {
        let sent = self.state.with(py, |state| match &state.phase {
            Phase::Open => {
                match &mut state.deflater {
                    Some(deflater) => deflater.write_frame(&mut state.outgoing, opcode, payload),
                    None => write_frame(&mut state.outgoing, opcode, payload),
                }
                Ok((state.driver.take(), state.outgoing.len() >= MOST_OUTGOING))
            }
            Phase::Closed { by_us: false, .. } => Err(NotSent::ClientGone),
            Phase::Closed { .. } => Err(NotSent::ClosedByUs),
            Phase::Connecting => Err(NotSent::NotAccepted),
        });
        let (driver, full) = match sent {
            Ok(sent) => sent,
            Err(not_sent) => return Ok(Err(not_sent)),
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        if !full {
            return Ok(Ok(None));
        }
        let future = self.tasks.future(py)?;
        self.state.with(py, |state| state.senders.push(future.clone().unbind()));
        Waiting::alone(&future).map(|waiting| Ok(Some(waiting)))
    }

    /// Closes an open session. A code that may not be sent becomes 1000.
    pub(crate) fn close(&self, py: Python<'_>, code: u16, reason: String) -> Result<(), NotSent> {
        self.state.with(py, |state| match state.phase {
            Phase::Open => Ok(()),
            Phase::Connecting => Err(NotSent::NotAccepted),
            Phase::Closed { by_us: false, .. } => Err(NotSent::ClientGone),
            Phase::Closed { .. } => Err(NotSent::ClosedByUs),
        })?;
        self.end_by_us(py, if is_sendable_close_code(code) { code } else { 1000 }, reason);
        Ok(())
    }

    /// Awaits the next message; after the end that is the end, however often it is asked for.
    pub(crate) fn receive(self: Rc<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Waiting::at(py, Messages(self))
    }
}

/// The session's messages, as what `receive` waits for.
struct Messages(Rc<Session>);

impl Source for Messages {
    fn line(&self) -> &Line {
        &self.0.receivers
    }

    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (message, over, driver) = self.0.state.with(py, |state| {
            let was_full = state.inbox.is_full();
            let message = state.inbox.take();
            // The driver waits for room.
            let driver = if was_full && !state.inbox.is_full() { state.driver.take() } else { None };
            (message, matches!(state.phase, Phase::Closed { .. }), driver)
        });
        if let Some(driver) = driver {
            driver.wake();
        }
        match message {
            Some(message) => (self.0.present)(py, message.received()).map(Some),
            None if over => self.0.present_end(py).map(Some),
            None => Ok(None),
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.tasks.future(py)
    }

    fn fetch(&self, _py: Python<'_>) -> PyResult<()> {
        // The driver reads whenever there is room.
        Ok(())
    }
}

/// What the driver does for the connection.
impl Session {
    /// Remembers whom to wake when the application sends or takes a message.
    pub(super) fn driven_by(&self, py: Python<'_>, waker: &Waker) {
        self.state.with(py, |state| match &state.driver {
            Some(kept) if kept.will_wake(waker) => {}
            _ => state.driver = Some(waker.clone()),
        });
    }

    pub(super) fn has_room(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.inbox.is_full())
    }

    /// Whether the application is done with the connection.
    pub(super) fn is_closed_by_us(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Closed { by_us: true, .. }))
    }

    /// Takes the frames that wait for the client, in exchange for an empty buffer.
    pub(super) fn take_outgoing(&self, py: Python<'_>, empty: &mut Vec<u8>) {
        let senders = self.state.with(py, |state| {
            std::mem::swap(&mut state.outgoing, empty);
            std::mem::take(&mut state.senders)
        });
        for sender in senders {
            resolve(sender.bind(py), py.None().into_bound(py));
        }
    }

    /// Gives the application a message.
    pub(super) fn deliver(&self, py: Python<'_>, text: bool, data: Bytes) {
        // Nobody waits who would take it in the loop's next turn.
        let stays = self.receivers.is_empty(py);
        let message = if text { Message::Text(data) } else { Message::Binary(data) };
        let message = if stays { message.alone() } else { message };
        self.state.with(py, |state| state.inbox.put(message));
        self.receivers.wake_first(py);
    }
}

/// An answer without headers and body.
pub(crate) fn status_alone(status: StatusCode) -> Response<ResponseBody> {
    let mut answer = Response::new(ResponseBody::Whole(None));
    *answer.status_mut() = status;
    answer
}
