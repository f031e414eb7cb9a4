//! What the scoreboard says of the server: its state, how many workers serve, its reloads, and why a worker ended.

use crate::{predecessor::Predecessor, run::Master};
use hostler_sys::{board::Board, clock, process::WaitStatus};
use hostler_wire::{Departure, Generation, GroupId, Reload, ServerState, WorkerId};
use std::time::SystemTime;

/// The server starts.
pub(crate) fn begin(board: &Board) {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(unix.as_millis()).unwrap_or(0);
    board.master().starts(std::process::id(), clock::now(), millis);
}

impl Master {
    /// Shows how the server is, after each turn.
    pub(crate) fn show(&self) {
        let (page, arbiter) = (self.resources.board.master(), &self.arbiter);
        let replaces = self.plan.predecessor.as_ref().is_some_and(Predecessor::is_the_service);
        page.set_service(!arbiter.is_replaced() && !replaces);
        page.set_state(self.state());
        let serving = u32::try_from(arbiter.serving(GroupId::HTTP)).unwrap_or(u32::MAX);
        page.turn(clock::now(), serving, u32::from(arbiter.slots(GroupId::HTTP)), arbiter.generation());
    }

    fn state(&self) -> ServerState {
        let arbiter = &self.arbiter;
        if arbiter.is_replaced() {
            ServerState::Replaced
        } else if arbiter.is_lame_duck() {
            ServerState::Draining
        } else if arbiter.is_stopping() {
            ServerState::Stopping
        } else if !arbiter.is_complete() && !self.resources.board.master().has_started() {
            ServerState::Starting
        } else if self.is_reloading() {
            ServerState::Reloading
        } else {
            ServerState::Serving
        }
    }

    /// Shows how a reload stands, after what it has changed: with its success the new generation is seen, too.
    pub(crate) fn show_reload(&self, outcome: Reload, generation: Generation) {
        self.show();
        self.resources.board.master().reload(outcome, generation, clock::now());
    }

    /// Why a worker has ended.
    pub(crate) fn departure(&self, id: WorkerId, status: WaitStatus) -> Departure {
        let seat = self.fleet.get(id).and_then(|worker| self.fleet.seat(&worker.assignment));
        let seat = seat.map(hostler_wire::Seat::view).unwrap_or_default();
        match (seat.departure, status) {
            (Some(why), _) => why,
            (None, WaitStatus::Signaled { .. }) => Departure::Signal,
            (None, _) if self.arbiter.is_stopping() => Departure::Stop,
            (None, _) if self.arbiter.was_told_to_exit(id) => Departure::FewerWorkers,
            (None, _) if seat.serving_at == 0 => Departure::BootFailed,
            (None, _) => Departure::Exit,
        }
    }
}
