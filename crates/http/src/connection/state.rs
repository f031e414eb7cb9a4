//! The state of a connection and its transitions: a pure state machine, without I/O.
//!
//! ```text
//!            Head                 response complete and written, body ended
//! Awaiting ───────► in exchange ─────────────────────────────────────────► Awaiting
//!    ▲  │ BytesRead     │ response complete, body abandoned, BodyDrained ────►
//!    │  ▼               │
//!    │ Reading          ├─ Upgraded   ├─ hyper ended, expired, broken
//!    └─ Parked          ▼             ▼
//!       (from Awaiting) Upgraded      Closing
//! ```
//!
//! On an HTTP/2 connection ([`ConnState::Streams`]) each stream is an exchange of its own ([`crate::h2`]); here is only
//! whether any is open, and where the bytes of the last responses are.
//!
//! A connection is idle if neither side owes the other a byte: the body of the last request was read to its end (or
//! hyper has read what was left of it), the kernel has every byte of every response, and no further request has been
//! parsed. Only an idle connection may be parked, handed over, expire while waiting for a request, or be closed by a
//! drain. [`ConnState::is_idle`] is the one definition.
//!
//! Not here: the side effects of a transition ([`super::handle`]), the one-byte form with its look-up tables
//! ([`super::table`]), and time ([`crate::limits`]).

/// What the client has still to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestState {
    /// The head of a request; no byte of it was read.
    AwaitingHead,
    /// The rest of a head.
    ReadingHead,
    /// The rest of a body that the application may still read.
    Body,
    /// Nothing.
    Ended,
    /// The rest of a body that was dropped unread. hyper reads it if it is at hand, or ends the connection.
    Abandoned,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseState {
    /// There is no request.
    None,
    /// The application has the request.
    Pending,
    /// hyper has the head; the body is not complete.
    Sending,
    /// hyper has all of it.
    Complete,
    /// Its body failed: the connection ends, visibly for the client.
    Failed,
}

/// Where the bytes are that are not sent yet, of this response and earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputState {
    /// The kernel has all of them.
    Written,
    /// In the outbox, and not in hyper.
    InOutbox,
    /// In hyper, and perhaps in the outbox.
    InHyper,
}

/// A connection that speaks HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpState {
    pub(crate) request: RequestState,
    pub(crate) response: ResponseState,
    pub(crate) output: OutputState,
}

/// A connection that speaks HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamsState {
    /// Whether a request is open.
    pub(crate) open: bool,
    /// Of the responses that are complete.
    pub(crate) output: OutputState,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnState {
    /// Not in hyper: idle for a while, or no byte was received yet.
    Parked,
    /// In hyper: HTTP/1.
    Http(HttpState),
    /// In hyper: HTTP/2.
    Streams(StreamsState),
    /// Another protocol owns the socket after a 101.
    Upgraded,
    /// HTTP is over; what is buffered is sent, then the socket is closed.
    Closing,
}

/// What happens on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// hyper was given the socket, to speak HTTP/1.
    Attached,
    /// hyper was given the socket, to speak HTTP/2.
    StreamsAttached,
    /// The last open stream has ended.
    StreamsEnded,
    /// hyper was given bytes of the client.
    BytesRead,
    /// hyper has parsed the head of a request and called the service.
    Head {
        /// A body follows.
        body: bool,
    },
    /// The body was read to its end.
    BodyEnded,
    /// The body was dropped before its end.
    BodyAbandoned,
    /// hyper did not end the connection over an abandoned body: it has read the rest.
    BodyDrained,
    /// hyper has the head of the response.
    ResponseStarted,
    /// hyper has the whole response.
    ResponseComplete,
    /// The body of the response failed.
    ResponseFailed,
    /// hyper's write buffer is empty.
    HyperFlushed,
    /// Bytes were put into the outbox.
    OutboxFilled,
    /// The kernel has taken everything.
    OutboxEmpty,
    /// The idle connection was taken back from hyper.
    Parked,
    /// Another protocol owns the socket from now on.
    Upgraded,
    /// HTTP is over on this connection.
    Ended,
}

/// What the server waits for while it is the client's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// A request: the connection is idle.
    Request,
    /// The rest of a request's head.
    RequestHead,
    /// More of a request's body.
    RequestBody,
    /// That the client reads what it was sent.
    ResponseRead,
    /// The client's end-of-file on a connection that is closing.
    Linger,
}

impl HttpState {
    const FRESH: Self = Self {
        request: RequestState::AwaitingHead,
        response: ResponseState::None,
        output: OutputState::Written,
    };

    /// The request was read and responded to: the next one may follow.
    const fn is_over(self) -> bool {
        matches!((self.request, self.response), (RequestState::Ended, ResponseState::Complete))
    }

    /// Responded to and written, with an abandoned body: when it is polled, hyper reads the rest or ends the connection.
    const fn awaits_hyper(self) -> bool {
        matches!(
            (self.request, self.response, self.output),
            (RequestState::Abandoned, ResponseState::Complete, OutputState::Written)
        )
    }

    /// Starts over once the exchange is complete and hyper has nothing left to write; the outbox may have.
    const fn settled(self) -> Self {
        match self.output {
            OutputState::Written | OutputState::InOutbox if self.is_over() => {
                Self { output: self.output, ..Self::FRESH }
            }
            _ => self,
        }
    }

    const fn step(self, event: Event) -> Self {
        let (request, response, output) = (self.request, self.response, self.output);
        let next = match event {
            Event::BytesRead if matches!(request, RequestState::AwaitingHead) => {
                Self { request: RequestState::ReadingHead, ..self }
            }
            Event::Head { body } => {
                let request = if body { RequestState::Body } else { RequestState::Ended };
                Self { request, response: ResponseState::Pending, output }
            }
            Event::BodyEnded if matches!(request, RequestState::Body) => {
                Self { request: RequestState::Ended, ..self }
            }
            Event::BodyAbandoned if matches!(request, RequestState::Body) => {
                Self { request: RequestState::Abandoned, ..self }
            }
            Event::BodyDrained if self.awaits_hyper() => Self { request: RequestState::Ended, ..self },
            Event::ResponseStarted if matches!(response, ResponseState::Pending) => {
                Self { response: ResponseState::Sending, output: OutputState::InHyper, ..self }
            }
            Event::ResponseComplete
                if matches!(response, ResponseState::Pending | ResponseState::Sending) =>
            {
                Self { response: ResponseState::Complete, output: OutputState::InHyper, ..self }
            }
            Event::ResponseFailed => Self { response: ResponseState::Failed, ..self },
            Event::HyperFlushed if matches!(output, OutputState::InHyper) => {
                Self { output: OutputState::InOutbox, ..self }
            }
            Event::OutboxFilled if matches!(output, OutputState::Written) => {
                Self { output: OutputState::InOutbox, ..self }
            }
            Event::OutboxEmpty if matches!(output, OutputState::InOutbox) => {
                Self { output: OutputState::Written, ..self }
            }
            // About a request that is over, or known already.
            Event::Attached
            | Event::StreamsAttached
            | Event::StreamsEnded
            | Event::BytesRead
            | Event::BodyEnded
            | Event::BodyAbandoned
            | Event::BodyDrained
            | Event::ResponseStarted
            | Event::ResponseComplete
            | Event::HyperFlushed
            | Event::OutboxFilled
            | Event::OutboxEmpty
            | Event::Parked
            | Event::Upgraded
            | Event::Ended => self,
        };
        next.settled()
    }
}

impl StreamsState {
    const FRESH: Self = Self { open: false, output: OutputState::Written };

    const fn step(self, event: Event) -> Self {
        match (event, self.output) {
            (Event::Head { .. }, _) => Self { open: true, ..self },
            (Event::StreamsEnded, _) => Self { open: false, ..self },
            (Event::ResponseComplete, _) => Self { output: OutputState::InHyper, ..self },
            (Event::HyperFlushed, OutputState::InHyper) => Self { output: OutputState::InOutbox, ..self },
            (Event::OutboxEmpty, OutputState::InOutbox) => Self { output: OutputState::Written, ..self },
            _ => self,
        }
    }
}

impl ConnState {
    /// The state after this event.
    #[must_use]
    pub(crate) const fn step(self, event: Event) -> Self {
        match (self, event) {
            (_, Event::Ended) => Self::Closing,
            (Self::Parked, Event::Attached) => Self::Http(HttpState::FRESH),
            (Self::Parked, Event::StreamsAttached) => Self::Streams(StreamsState::FRESH),
            (Self::Http(_), Event::Parked) if self.is_idle() => Self::Parked,
            (Self::Http(_), Event::Upgraded) => Self::Upgraded,
            (Self::Http(exchange), event) => Self::Http(exchange.step(event)),
            (Self::Streams(streams), event) => Self::Streams(streams.step(event)),
            // Bodies and outboxes may report after HTTP has ended.
            (Self::Parked | Self::Upgraded | Self::Closing, _) => self,
        }
    }

    /// Neither side owes the other a byte, except for a head that the client may have begun.
    #[must_use]
    pub(crate) const fn is_idle(self) -> bool {
        match self {
            Self::Parked => true,
            Self::Http(HttpState { request, response, output }) => {
                matches!(request, RequestState::AwaitingHead | RequestState::ReadingHead)
                    && matches!((response, output), (ResponseState::None, OutputState::Written))
            }
            Self::Streams(_) | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The connection may be taken back from hyper until the client sends something.
    #[must_use]
    pub(crate) fn may_park(self) -> bool {
        self.is_idle() && matches!(self, Self::Http(HttpState { request: RequestState::AwaitingHead, .. }))
    }

    /// An application works on a response for this connection.
    #[must_use]
    pub(crate) const fn awaits_application(self) -> bool {
        match self {
            Self::Http(exchange) => {
                matches!(exchange.response, ResponseState::Pending | ResponseState::Sending)
            }
            Self::Parked | Self::Streams(_) | Self::Upgraded | Self::Closing => false,
        }
    }

    /// hyper has nothing of this response nor of an earlier one: an interim response may be sent.
    #[must_use]
    pub(crate) fn may_send_interim(self) -> bool {
        match self {
            Self::Http(HttpState { response, output, .. }) => {
                response == ResponseState::Pending && output != OutputState::InHyper
            }
            Self::Parked | Self::Streams(_) | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The kernel has the whole response, and the request has not been read to its end.
    #[must_use]
    pub(crate) const fn is_responded_early(self) -> bool {
        match self {
            Self::Http(HttpState { request, response, output }) => {
                matches!(request, RequestState::Body | RequestState::Abandoned)
                    && matches!((response, output), (ResponseState::Complete, OutputState::Written))
            }
            Self::Parked | Self::Streams(_) | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The body of the response failed.
    #[must_use]
    pub(crate) fn has_failed(self) -> bool {
        matches!(self, Self::Http(HttpState { response: ResponseState::Failed, .. }))
    }

    /// hyper has bytes to write.
    #[must_use]
    pub(crate) fn is_in_hyper(self) -> bool {
        matches!(self, Self::Http(HttpState { output: OutputState::InHyper, .. }))
    }

    /// There is no request, and hyper has nothing to write: a response may be sent past it, as the last one.
    #[must_use]
    pub(crate) const fn may_refuse(self) -> bool {
        match self {
            Self::Http(HttpState { request, response, output }) => {
                matches!(request, RequestState::AwaitingHead | RequestState::ReadingHead)
                    && matches!(response, ResponseState::None)
                    && !matches!(output, OutputState::InHyper)
            }
            Self::Parked | Self::Upgraded | Self::Closing | Self::Streams(_) => false,
        }
    }

    /// All that the client has sent so far was read.
    #[must_use]
    pub(crate) fn is_request_read(self) -> bool {
        match self {
            Self::Http(HttpState { request, .. }) => {
                matches!(request, RequestState::AwaitingHead | RequestState::Ended)
            }
            Self::Parked => true,
            Self::Streams(_) | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The application may still read the body of the request.
    #[must_use]
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Http(HttpState { request: RequestState::Body, .. }))
    }

    /// The body was abandoned; polling hyper shows what became of the rest.
    #[must_use]
    pub(crate) const fn awaits_hyper(self) -> bool {
        match self {
            Self::Http(exchange) => exchange.awaits_hyper(),
            Self::Parked | Self::Streams(_) | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The kernel has every byte of every response that is complete.
    #[must_use]
    pub(crate) fn owes_no_bytes(self) -> bool {
        match self {
            Self::Http(exchange) => exchange.output == OutputState::Written,
            Self::Streams(streams) => streams.output == OutputState::Written,
            Self::Parked => true,
            Self::Upgraded | Self::Closing => false,
        }
    }

    /// What the client has to do, if it is its turn. `reading`: the application waits for the body. `blocked`: the send
    /// buffer of the socket is full.
    #[must_use]
    pub(crate) fn waits_for(self, reading: bool, blocked: bool) -> Option<WaitsFor> {
        match self {
            _ if blocked => Some(WaitsFor::ResponseRead),
            Self::Closing => Some(WaitsFor::Linger),
            Self::Http(HttpState { request: RequestState::ReadingHead, .. }) if self.is_idle() => {
                Some(WaitsFor::RequestHead)
            }
            _ if self.is_idle() => Some(WaitsFor::Request),
            Self::Streams(StreamsState { open: false, .. }) => Some(WaitsFor::Request),
            Self::Http(HttpState { request: RequestState::Body, .. }) if reading => {
                Some(WaitsFor::RequestBody)
            }
            Self::Http(_) | Self::Streams(_) | Self::Parked | Self::Upgraded => None,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
