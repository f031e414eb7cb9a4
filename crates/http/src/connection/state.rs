//! Where a connection stands, and what may happen to it there: a pure state machine, without I/O.
//!
//! ```text
//!            Head                 answer Complete, all written, body Ended
//! Awaiting ───────► in exchange ─────────────────────────────────────────► Awaiting
//!    ▲  │ BytesRead     │ answer Complete, body GivenUp, hyper goes on ──────►
//!    │  ▼               │
//!    │ Reading          ├─ Upgraded   ├─ hyper ended, expired, broken
//!    └─ Resting         ▼             ▼
//!       (from Awaiting) Upgraded     Closing
//! ```
//!
//! A connection is idle if neither side owes the other a byte: the last request's body was read to its end, or hyper
//! has read what was left of it, every answer has been taken by the kernel, and no request has begun. Only an idle connection may rest,
//! go to another worker, expire for saying nothing, or be closed by a drain. [`Life::is_idle`] is the one place that
//! says so.
//!
//! Not here: what happens on a transition ([`super::shared`]), its form in memory ([`super::place`]), and time
//! ([`crate::connections`]).

/// What the client still has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The head of a request; nothing of it was read.
    AwaitingHead,
    /// The rest of a head.
    ReadingHead,
    /// The rest of a body that somebody may still read.
    Body,
    /// Nothing.
    Ended,
    /// The rest of a body that nobody will read. hyper reads it if it is at hand, or ends the connection.
    GivenUp,
}

/// How far the application's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nobody asked.
    None,
    /// The application works on it.
    Pending,
    /// hyper has its head, and the application more of its body.
    Sending,
    /// hyper has all of it.
    Complete,
    /// The application stopped in the middle: the connection ends, visibly.
    Broken,
}

/// Where the bytes are that the client is to get, of this answer and those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// With the kernel.
    Written,
    /// In the outbox, and not in hyper.
    InOutbox,
    /// In hyper, and perhaps in the outbox.
    InHyper,
}

/// A connection on which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) request: Request,
    pub(crate) answer: Answer,
    pub(crate) output: Output,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// hyper has it not: the client has said nothing for a while, or nothing yet.
    Resting,
    /// hyper has it.
    Http(Exchange),
    /// Another protocol has it.
    Upgraded,
    /// What was answered is still sent, then it ends.
    Closing,
}

/// What happens on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// hyper was given the connection.
    Spoken,
    /// hyper was given bytes of the client's.
    BytesRead,
    /// hyper has read a request's head and asks for the answer.
    Head {
        /// A body follows.
        body: bool,
    },
    /// The body was read to its end.
    BodyEnded,
    /// Nobody will read the rest of the body.
    BodyGivenUp,
    /// hyper did not end the connection over a body that was given up: it has read it.
    BodyDrained,
    /// hyper has the answer's head.
    AnswerBegan,
    /// hyper has the whole answer.
    AnswerComplete,
    /// The answer's body failed.
    AnswerBroken,
    /// hyper holds no bytes any more.
    HyperFlushed,
    /// Bytes came into the outbox.
    OutboxFilled,
    /// The kernel has taken everything.
    OutboxEmpty,
    /// hyper gave the connection back, because nothing is said on it.
    Rested,
    /// Another protocol has the connection from now on.
    Upgraded,
    /// HTTP is over on this connection.
    Ended,
}

/// For what a client is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// A request's head.
    Head,
    /// More of a body.
    Body,
    /// That it reads what it was sent.
    Reader,
    /// The end of what it still sends on a connection that is over.
    Goodbye,
}

impl Exchange {
    const FRESH: Self =
        Self { request: Request::AwaitingHead, answer: Answer::None, output: Output::Written };

    /// The next request may follow this one.
    const fn is_over(self) -> bool {
        matches!((self.request, self.answer), (Request::Ended, Answer::Complete))
    }

    /// Everything is said, but for a body that was given up: hyper has read it, or ends the connection when asked.
    const fn awaits_hyper(self) -> bool {
        matches!(
            (self.request, self.answer, self.output),
            (Request::GivenUp, Answer::Complete, Output::Written)
        )
    }

    /// Begins anew when all is said and hyper has nothing left to write; the outbox may have.
    const fn settled(self) -> Self {
        match self.output {
            Output::Written | Output::InOutbox if self.is_over() => {
                Self { output: self.output, ..Self::FRESH }
            }
            _ => self,
        }
    }

    const fn step(self, event: Event) -> Self {
        let (request, answer, output) = (self.request, self.answer, self.output);
        let next = match event {
            Event::BytesRead if matches!(request, Request::AwaitingHead) => {
                Self { request: Request::ReadingHead, ..self }
            }
            Event::Head { body } => {
                let request = if body { Request::Body } else { Request::Ended };
                Self { request, answer: Answer::Pending, output }
            }
            Event::BodyEnded if matches!(request, Request::Body) => Self { request: Request::Ended, ..self },
            Event::BodyGivenUp if matches!(request, Request::Body) => {
                Self { request: Request::GivenUp, ..self }
            }
            Event::BodyDrained if self.awaits_hyper() => Self { request: Request::Ended, ..self },
            Event::AnswerBegan if matches!(answer, Answer::Pending) => {
                Self { answer: Answer::Sending, output: Output::InHyper, ..self }
            }
            Event::AnswerComplete if matches!(answer, Answer::Pending | Answer::Sending) => {
                Self { answer: Answer::Complete, output: Output::InHyper, ..self }
            }
            Event::AnswerBroken => Self { answer: Answer::Broken, ..self },
            Event::HyperFlushed if matches!(output, Output::InHyper) => {
                Self { output: Output::InOutbox, ..self }
            }
            Event::OutboxFilled if matches!(output, Output::Written) => {
                Self { output: Output::InOutbox, ..self }
            }
            Event::OutboxEmpty if matches!(output, Output::InOutbox) => {
                Self { output: Output::Written, ..self }
            }
            // News of a request that is over, or of what is known already.
            Event::Spoken
            | Event::BytesRead
            | Event::BodyEnded
            | Event::BodyGivenUp
            | Event::BodyDrained
            | Event::AnswerBegan
            | Event::AnswerComplete
            | Event::HyperFlushed
            | Event::OutboxFilled
            | Event::OutboxEmpty
            | Event::Rested
            | Event::Upgraded
            | Event::Ended => self,
        };
        next.settled()
    }
}

impl Life {
    /// Where the connection stands after this.
    #[must_use]
    pub(crate) const fn step(self, event: Event) -> Self {
        match (self, event) {
            (_, Event::Ended) => Self::Closing,
            (Self::Resting, Event::Spoken) => Self::Http(Exchange::FRESH),
            (Self::Http(_), Event::Rested) if self.is_idle() => Self::Resting,
            (Self::Http(_), Event::Upgraded) => Self::Upgraded,
            (Self::Http(exchange), event) => Self::Http(exchange.step(event)),
            // A body or an outbox may tell of itself when HTTP is over already.
            (Self::Resting | Self::Upgraded | Self::Closing, _) => self,
        }
    }

    /// Neither side owes the other a byte, but for a head that the client may have begun.
    #[must_use]
    pub(crate) const fn is_idle(self) -> bool {
        match self {
            Self::Resting => true,
            Self::Http(Exchange { request, answer, output }) => {
                matches!(request, Request::AwaitingHead | Request::ReadingHead)
                    && matches!((answer, output), (Answer::None, Output::Written))
            }
            Self::Upgraded | Self::Closing => false,
        }
    }

    /// hyper may be asked to give the connection back until the client says something.
    #[must_use]
    pub(crate) fn may_rest(self) -> bool {
        self.is_idle() && matches!(self, Self::Http(Exchange { request: Request::AwaitingHead, .. }))
    }

    /// An application works on an answer for this connection.
    #[must_use]
    pub(crate) const fn awaits_application(self) -> bool {
        match self {
            Self::Http(exchange) => matches!(exchange.answer, Answer::Pending | Answer::Sending),
            Self::Resting | Self::Upgraded | Self::Closing => false,
        }
    }

    /// hyper has written nothing of the answer yet, nor holds anything of an earlier one: an interim answer may go out.
    #[must_use]
    pub(crate) fn may_send_interim(self) -> bool {
        match self {
            Self::Http(Exchange { answer, output, .. }) => {
                answer == Answer::Pending && output != Output::InHyper
            }
            Self::Resting | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The kernel has the whole answer, and the client still owes the rest of the request.
    #[must_use]
    pub(crate) const fn is_answered_early(self) -> bool {
        match self {
            Self::Http(Exchange { request, answer, output }) => {
                matches!(request, Request::Body | Request::GivenUp)
                    && matches!((answer, output), (Answer::Complete, Output::Written))
            }
            Self::Resting | Self::Upgraded | Self::Closing => false,
        }
    }

    /// The answer stopped in the middle.
    #[must_use]
    pub(crate) fn is_broken(self) -> bool {
        matches!(self, Self::Http(Exchange { answer: Answer::Broken, .. }))
    }

    /// hyper has bytes to write.
    #[must_use]
    pub(crate) fn is_in_hyper(self) -> bool {
        matches!(self, Self::Http(Exchange { output: Output::InHyper, .. }))
    }

    /// All that the client had to say was read, as far as it is known.
    #[must_use]
    pub(crate) fn is_heard_out(self) -> bool {
        match self {
            Self::Http(Exchange { request, .. }) => {
                matches!(request, Request::AwaitingHead | Request::Ended)
            }
            Self::Resting => true,
            Self::Upgraded | Self::Closing => false,
        }
    }

    /// Somebody may still read the body of the request.
    #[must_use]
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Http(Exchange { request: Request::Body, .. }))
    }

    /// Somebody gave up the body of the request, and what hyper made of it shows when it is asked again.
    #[must_use]
    pub(crate) const fn awaits_hyper(self) -> bool {
        match self {
            Self::Http(exchange) => exchange.awaits_hyper(),
            Self::Resting | Self::Upgraded | Self::Closing => false,
        }
    }

    /// All that was answered is with the kernel.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn owes_no_bytes(self) -> bool {
        match self {
            Self::Http(exchange) => exchange.output == Output::Written,
            Self::Resting => true,
            Self::Upgraded | Self::Closing => false,
        }
    }

    /// What the client is waited for, if it is. `reading`: somebody waits for its body. `blocked`: its socket takes no more.
    #[must_use]
    pub(crate) fn waits_for(self, reading: bool, blocked: bool) -> Option<WaitsFor> {
        match self {
            _ if blocked => Some(WaitsFor::Reader),
            Self::Closing => Some(WaitsFor::Goodbye),
            _ if self.is_idle() => Some(WaitsFor::Head),
            Self::Http(Exchange { request: Request::Body, .. }) if reading => Some(WaitsFor::Body),
            Self::Http(_) | Self::Resting | Self::Upgraded => None,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
