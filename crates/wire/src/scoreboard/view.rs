//! A page as it was read.

use super::{InFlight, Page, PageState, Totals};
use crate::Role;

/// A page as it was read, part by part: its process goes on writing meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct PageView {
    /// What the worker is doing.
    pub state: PageState,
    /// What kind of process it is; `None` if the page is vacant.
    pub role: Option<Role>,
    /// The index of its slot.
    pub slot: u32,
    /// Whether its loop waits for events.
    pub parked: bool,
    /// When its heartbeat timer fired last, on the scoreboard's clock.
    pub beat_at: u64,
    /// When its loop turned last, on the same clock.
    pub turned_at: u64,
    /// How late its timers were last, in nanoseconds.
    pub lag: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests in flight, background work included.
    pub in_flight: u64,
    /// Open WebSockets and other protocols that follow a request.
    pub open_sessions: u64,
    /// What it has counted.
    pub totals: Totals,
    /// The requests in flight, oldest first, as far as the page has room for them.
    pub requests: Vec<InFlight>,
    /// The same for WebSockets and other protocols.
    pub sessions: Vec<InFlight>,
    /// From which ids of requests are made.
    pub seed: [u64; 2],
}

impl PageView {
    /// Reads a page.
    #[must_use]
    pub fn of(page: &Page) -> Self {
        Self {
            state: page.state(),
            role: page.role(),
            slot: page.slot_index(),
            parked: page.is_parked(),
            beat_at: page.beat_at(),
            turned_at: page.turned_at(),
            lag: page.lag(),
            connections: page.connections(),
            in_flight: page.in_flight(),
            open_sessions: page.open_sessions(),
            totals: page.totals(),
            requests: page.requests_in_flight(),
            sessions: page.sessions(),
            seed: page.seed(),
        }
    }
}
