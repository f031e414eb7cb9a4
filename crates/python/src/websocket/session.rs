//! The state of one WebSocket, between an application and its connection.
//!
//! ```text
//! Connecting ──accept──► Open ──close, client gone──► Closed
//!     └──refuse──► Closed
//! ```
//! Messages that the application sends are framed at once, into a buffer that the driver empties; messages of the
//! client go into a bounded queue, from which `receive` takes them.

use super::{
    ABNORMAL, Handshake, Interface, Sockets,
    inbox::{Inbox, Message},
    sockets::Restart,
};
use crate::{
    call::{ApplicationTask, Entry, Origin},
    logging::{request_error, request_mistake},
    response::{ResponseBody, ResponseResult, ResponseSlot, status_alone},
};
use bytes::Bytes;
use hostler_eventloop::{GilCell, Tasks, WaitQueue, reject, resolve};
use hostler_http::{BackgroundTasks, Link, Upgrades};
use hostler_websocket::{Deflater, write_close};
use hyper::{Response, StatusCode};
use pyo3::{exceptions::asyncio::CancelledError, prelude::*};
use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// One WebSocket.
pub(crate) struct Session {
    pub(super) state: GilCell<State>,
    /// `receive` calls that wait.
    pub(super) receivers: WaitQueue,
    pub(super) sockets: Rc<Sockets>,
    pub(super) tasks: Rc<Tasks>,
    pub(super) upgrades: Upgrades,
    background: BackgroundTasks,
    pub(super) handshake: Handshake,
    pub(super) interface: Rc<dyn Interface>,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) response: ResponseSlot,
    /// Messages that wait for the application.
    pub(super) inbox: Inbox,
    /// Frames for the client.
    pub(super) outgoing: Vec<u8>,
    pub(super) deflater: Option<Deflater>,
    /// Futures of `send` calls that wait for room.
    pub(super) senders: Vec<Py<PyAny>>,
    pub(super) driver: Option<Waker>,
    /// The application, if it is suspended.
    task: Option<ApplicationTask>,
}

pub(super) enum Phase {
    Connecting,
    Open {
        /// Among the open ones of the worker.
        _entry: Entry<Rc<dyn Restart>>,
    },
    Closed {
        code: u16,
        reason: String,
        by: Closer,
    },
}

/// Which side ended a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closer {
    Application,
    /// The server, which restarts.
    Server,
    Client,
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Open,
    Closed,
}

impl Session {
    pub(crate) fn new(
        (tasks, sockets): (&Rc<Tasks>, &Rc<Sockets>),
        interface: Rc<dyn Interface>,
        link: &Link,
        handshake: Handshake,
    ) -> Rc<Self> {
        let state = State {
            phase: Phase::Connecting,
            response: ResponseSlot::default(),
            inbox: Inbox::default(),
            outgoing: Vec::new(),
            deflater: None,
            senders: Vec::new(),
            driver: None,
            task: None,
        };
        Rc::new(Self {
            state: GilCell::new(state),
            receivers: WaitQueue::default(),
            sockets: Rc::clone(sockets),
            tasks: Rc::clone(tasks),
            upgrades: link.upgrades.clone(),
            background: link.background.clone(),
            handshake,
            interface,
        })
    }

    /// The names of subprotocols that the client offers.
    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.handshake.subprotocols
    }

    /// The response to the handshake, once there is one; otherwise `cx` is woken for it.
    pub(crate) fn poll_response(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<ResponseResult> {
        self.state.with(py, |state| state.response.poll(cx))
    }

    /// The application is suspended.
    pub(crate) fn suspended(&self, py: Python<'_>, task: ApplicationTask) {
        self.state.with(py, |state| state.task = Some(task));
        if self.stage(py) == Stage::Closed {
            self.outlived(py);
        }
    }

    /// The socket is closed: if the application goes on, its task counts as in flight.
    fn outlived(&self, py: Python<'_>) {
        let Some(mut task) = self.state.with(py, |state| state.task.take()) else { return };
        task.outlives_request(py);
        self.state.with(py, |state| state.task = Some(task));
    }

    /// The application returned or raised: ends the session for it, and logs mistakes.
    pub(crate) fn application_ended(
        &self,
        py: Python<'_>,
        error: Option<PyErr>,
        origin: impl FnOnce() -> Option<Origin>,
    ) {
        let task = self.state.with(py, |state| state.task.take());
        let origin = || task.map(ApplicationTask::into_origin).or_else(origin);
        let facts = || origin().map(|origin| origin.facts()).unwrap_or_default();
        let stage = self.stage(py);
        match stage {
            Stage::Connecting => self.refuse(py, status_alone(StatusCode::INTERNAL_SERVER_ERROR)),
            // The application is cancelled when the worker stops without a drain.
            Stage::Open if self.is_cut(py, error.as_ref()) => return self.restart(py),
            Stage::Open => {
                let code = if error.is_some() { 1011 } else { 1000 };
                self.end_by_us(py, Closer::Application, code, String::new());
            }
            Stage::Closed => {}
        }
        let name = self.interface.name();
        match (error, stage) {
            (Some(error), Stage::Closed) if self.interface.is_departure(py, &error) => {}
            (Some(error), _) => {
                let what = format!("the {name} application raised in a WebSocket");
                request_error(py, &what, &error, &facts());
            }
            (None, Stage::Connecting) => {
                let what = format!("the {name} application returned without accepting the WebSocket");
                request_mistake(py, &what, &facts());
            }
            (None, _) => {}
        }
    }

    /// Whether the application ended because the worker stops.
    fn is_cut(&self, py: Python<'_>, error: Option<&PyErr>) -> bool {
        self.background.is_draining() && error.is_some_and(|error| error.is_instance_of::<CancelledError>(py))
    }

    /// Cancels the application's task; the server responds to the handshake in its place.
    pub(crate) fn cancel(&self, py: Python<'_>) {
        self.abandoned(py);
        let cancel = self.state.with(py, |state| state.task.as_ref().map(|task| task.canceller(py)));
        if let Some(cancel) = cancel {
            cancel();
        }
    }

    /// Whether the handshake has no response yet.
    pub(crate) fn is_connecting(&self, py: Python<'_>) -> bool {
        self.stage(py) == Stage::Connecting
    }

    fn stage(&self, py: Python<'_>) -> Stage {
        self.state.with(py, |state| match state.phase {
            Phase::Connecting => Stage::Connecting,
            Phase::Open { .. } => Stage::Open,
            Phase::Closed { .. } => Stage::Closed,
        })
    }

    /// hyper dropped the handshake before its response.
    pub(crate) fn abandoned(&self, py: Python<'_>) {
        self.closed(py, ABNORMAL, String::new());
    }

    /// Refuses the handshake with another response than a 101.
    pub(crate) fn refuse(&self, py: Python<'_>, response: Response<ResponseBody>) {
        let waiting = self.state.with(py, |state| state.response.put(Ok(response)));
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        self.end(py, Phase::Closed { code: ABNORMAL, reason: String::new(), by: Closer::Application });
    }

    /// Sends a close frame; nothing follows it.
    pub(super) fn end_by_us(&self, py: Python<'_>, by: Closer, code: u16, reason: String) {
        let driver = self.state.with(py, |state| {
            write_close(&mut state.outgoing, code, &reason);
            state.driver.take()
        });
        if let Some(driver) = driver {
            driver.wake();
        }
        self.end(py, Phase::Closed { code, reason, by });
    }

    /// Nothing more comes: tells those that wait.
    fn end(&self, py: Python<'_>, phase: Phase) {
        let (before, senders) = self.state.with(py, |state| {
            let before = match state.phase {
                Phase::Closed { .. } => None,
                Phase::Connecting | Phase::Open { .. } => Some(std::mem::replace(&mut state.phase, phase)),
            };
            (before, std::mem::take(&mut state.senders))
        });
        drop(before);
        // Each wakes the next one when it leaves.
        self.receivers.wake_first(py);
        for sender in senders {
            reject(sender.bind(py), self.interface.gone(py));
        }
        self.outlived(py);
    }
}

impl Restart for Session {
    /// RFC 6455 §7.4.1, IANA registry: 1012.
    fn restart(&self, py: Python<'_>) {
        if self.stage(py) == Stage::Open {
            self.end_by_us(py, Closer::Server, 1012, "the server restarts".into());
        }
    }
}

/// What the driver does for the connection.
impl Session {
    /// Has the driver woken when the application sends or takes a message.
    pub(super) fn driven_by(&self, py: Python<'_>, waker: &Waker) {
        self.state.with(py, |state| match &state.driver {
            Some(kept) if kept.will_wake(waker) => {}
            _ => state.driver = Some(waker.clone()),
        });
    }

    pub(super) fn has_room(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.inbox.is_full())
    }

    /// Whether our close frame is on its way.
    pub(super) fn is_closed_by_us(&self, py: Python<'_>) -> bool {
        let by_us = |by| matches!(by, Closer::Application | Closer::Server);
        self.state.with(py, |state| matches!(state.phase, Phase::Closed { by, .. } if by_us(by)))
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
        // Without a waiting `receive`, it is not taken in the loop's next turn.
        let stays = self.receivers.is_empty(py);
        let message = if text { Message::Text(data) } else { Message::Binary(data) };
        let message = if stays { message.alone() } else { message };
        self.state.with(py, |state| state.inbox.put(message));
        self.receivers.wake_first(py);
    }

    /// The client closed, or is gone.
    pub(super) fn closed(&self, py: Python<'_>, code: u16, reason: String) {
        self.end(py, Phase::Closed { code, reason, by: Closer::Client });
    }
}
