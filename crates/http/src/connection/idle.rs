//! What becomes of an idle connection: it stays, is parked, is handed over to another worker, or is closed.

use super::{
    state::{Event, WaitsFor},
    task::{ConnectionTask, SocketOwner},
};
use crate::{
    App,
    connections::Phase,
    h1::has_whole_head,
    io::{CoalescingIo, transport::Transport},
    request::refusal::Refusal,
};
use hyper::{
    StatusCode,
    rt::{Read, Write},
};
use std::time::{Duration, Instant};
use tracing::debug;

/// How long after a refusal a connection is offered to the handover channel again.
const OFFER_AGAIN: Duration = Duration::from_millis(100);

const HEAD_TIMEOUT: Refusal = Refusal::over(
    StatusCode::REQUEST_TIMEOUT,
    "the request's headers did not arrive in time",
    "--http1-header-read-timeout",
);

/// What became of an idle connection.
pub(super) enum Idle {
    /// It waits for its client.
    Stays,
    /// Its socket has another owner now.
    Changed,
    /// Another worker has it.
    Over,
}

impl<S, A> ConnectionTask<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Transport + Unpin + 'static,
{
    /// Decides on a connection on which neither side owes the other a byte.
    pub(super) fn idle(&mut self) -> Idle {
        if S::CAN_HAND_OVER
            && self.service.server.connections.have_surplus()
            && let Some(idle) = self.leave()
        {
            return idle;
        }
        let (expired, should_park) = (self.service.handle.expired(), self.service.handle.should_park());
        match self.service.server.connections.phase() {
            Phase::HandingOver if S::CAN_HAND_OVER && self.may_offer() => match self.hand_over() {
                true => Idle::Over,
                false => Idle::Changed,
            },
            // Its request may be with the kernel, or on its way.
            Phase::Closing if self.service.handle.has_unread() || self.origin.is_new() => Idle::Stays,
            Phase::Closing => {
                if !self.resume_if_requested() {
                    self.close(true);
                }
                Idle::Changed
            }
            _ if expired == Some(WaitsFor::Request) => {
                self.close(true);
                Idle::Changed
            }
            _ if expired == Some(WaitsFor::RequestHead) => {
                self.service.handle.refuse(HEAD_TIMEOUT);
                self.close(false);
                Idle::Changed
            }
            _ if should_park => {
                if let Some(io) = self.take_io() {
                    self.park(io);
                }
                Idle::Changed
            }
            _ => Idle::Stays,
        }
    }

    /// Keeps a connection outside hyper until its client sends something; gives it back at once if a request has begun.
    fn park(&mut self, io: CoalescingIo<S>) {
        io.shrink();
        let begun = !io.unread().is_empty();
        io.handle().on(Event::Parked);
        self.owner = SocketOwner::Parked(io);
        if begun {
            self.attach();
        }
    }

    /// Keeps a connection that is about to be closed if a whole head has arrived in the last moment.
    fn resume_if_requested(&mut self) -> bool {
        let Some(io) = self.take_io() else { return false };
        let requested = has_whole_head(io.unread());
        self.owner = SocketOwner::Parked(io);
        self.service.handle.on(Event::Parked);
        if requested {
            self.attach();
        }
        requested
    }

    /// Sends the idle connection to another worker; whether the channel took it.
    fn hand_over(&mut self) -> bool {
        let Some(io) = self.take_io() else { return false };
        let listener = u16::try_from(self.origin.listener).unwrap_or_default();
        let channel = &self.service.server.handover;
        let sent = io.with_socket(|socket| channel.send(listener, self.origin.proxied, io.unread(), socket));
        let Err(error) = sent else { return true };
        debug!(%error, "a connection cannot be handed over and is kept");
        self.park(io);
        let now = Instant::now();
        self.refused = Some(now);
        self.service.handle.wake_at(now + OFFER_AGAIN);
        false
    }

    /// Leaves it to another worker, of which there are more than before, if one of them has less to do.
    #[cold]
    fn leave(&mut self) -> Option<Idle> {
        let server = &self.service.server;
        let is_wanted = server.connections.phase() == Phase::Serving && !server.load.gate().is_least_loaded();
        if !is_wanted || !self.may_offer() {
            return None;
        }
        if !self.hand_over() {
            return Some(Idle::Changed);
        }
        self.service.server.connections.one_left();
        Some(Idle::Over)
    }

    fn may_offer(&self) -> bool {
        self.refused.is_none_or(|at| at.elapsed() >= OFFER_AGAIN)
    }
}
