//! The accept gate: whether a connection is this worker's to accept, by what the scoreboard says of its siblings.

use hostler_sys::clock;
use hostler_wire::{Page, PageState, Role, SiblingPage, timing};
use std::time::Duration;

/// A sibling whose loop has not turned for this long, and does not wait for events either, is busy: it is not left
/// connections.
const BUSY_AFTER_NANOS: u64 = Duration::from_millis(5).as_nanos() as u64;
/// A sibling whose heartbeat is older than this may be suspended.
const SILENT_AFTER_NANOS: u64 = timing::SILENT_AFTER.as_nanos() as u64;

/// This worker's page, and those of its siblings.
pub(crate) struct Gate {
    own: &'static Page,
    /// The pages of all workers, and which of them is the own one.
    pages: &'static [SiblingPage],
    number: usize,
}

impl Gate {
    /// `own` has this number among `pages`.
    pub(crate) fn new(own: &'static Page, pages: &'static [SiblingPage], number: u16) -> Self {
        Self { own, pages, number: usize::from(number) }
    }

    /// Whether a connection is this worker's to accept: no healthy sibling has less to do.
    pub(crate) fn is_least_loaded(&self) -> bool {
        let mine = self.own.score();
        mine == 0 || {
            let now = clock::now();
            // By an eighth at least.
            let less = |page: &SiblingPage| page.score().saturating_add(page.score() / 8) < mine;
            !self.siblings().any(|page| less(page) && is_available(page, now))
        }
    }

    /// How many connections this worker has beyond its share, as there are now.
    pub(crate) fn surplus(&self) -> usize {
        let now = clock::now();
        let (mut workers, mut all) = (1, self.own.connections());
        for sibling in self.siblings().filter(|page| is_available(page, now)) {
            workers += 1;
            all += sibling.connections();
        }
        let surplus = self.own.connections().saturating_sub(all.div_ceil(workers));
        usize::try_from(surplus).unwrap_or(usize::MAX)
    }

    /// Whether the worker in this slot accepts.
    pub(crate) fn is_slot_served(&self, slot: u32) -> bool {
        let now = clock::now();
        self.siblings().any(|page| page.slot_index() == slot && is_available(page, now))
    }

    /// The other workers that serve HTTP. Pages of other roles count neither connections nor requests.
    fn siblings(&self) -> impl Iterator<Item = &'static SiblingPage> {
        let own: *const SiblingPage = &raw const self.pages[self.number];
        hostler_wire::used(self.pages).iter().filter(move |page| {
            page.role() == Some(Role::Http) && page.state() == PageState::Serving && !std::ptr::eq(*page, own)
        })
    }
}

fn is_available(page: &SiblingPage, now: u64) -> bool {
    if page.is_parked() {
        now.saturating_sub(page.beat_at()) < SILENT_AFTER_NANOS
    } else {
        now.saturating_sub(page.turned_at()) < BUSY_AFTER_NANOS
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use hostler_sys::{board, clock};
    use hostler_wire::{PageState, Role, SlotId};

    #[test]
    fn siblings_are_seen_behind_any_number_of_vacant_pages() {
        let board = board::Board::create().unwrap();
        let pages = board::map_all(board.for_reading().try_clone_to_owned().unwrap()).unwrap();
        // As after a reload of a hundred workers.
        for number in [201u16, 202] {
            let page = &board.pages()[usize::from(number)];
            board.pages()[0].will_use(number);
            page.set_state(PageState::Serving);
            page.identify(Role::Http, SlotId::http(number));
            page.beat(clock::now());
            page.set_parked(true);
        }
        let own = &board.pages()[201];
        let gate = Gate::new(own, pages, 201);
        assert!(gate.is_slot_served(202));
        assert!(!gate.is_slot_served(201), "its own page is no sibling's");
        assert!(gate.is_least_loaded());
        own.connection_opened();
        own.connection_opened();
        assert!(!gate.is_least_loaded(), "the sibling has less to do");
    }

    #[test]
    fn processes_of_other_roles_are_no_siblings() {
        let board = board::Board::create().unwrap();
        let pages = board::map_all(board.for_reading().try_clone_to_owned().unwrap()).unwrap();
        for (number, role) in [(1, Role::Http), (2, Role::Companion)] {
            let page = &board.pages()[usize::from(number)];
            board.pages()[0].will_use(number);
            page.set_state(PageState::Serving);
            page.identify(role, SlotId::http(number));
            page.beat(clock::now());
            page.set_parked(true);
        }
        let own = &board.pages()[1];
        let gate = Gate::new(own, pages, 1);
        own.connection_opened();
        own.connection_opened();
        assert!(gate.is_least_loaded(), "a companion that beats takes no connections");
        assert!(!gate.is_slot_served(2));
    }
}
