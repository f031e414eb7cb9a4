//! What this worker has to do, kept on its page of the scoreboard for everybody to see.

use hostler_sys::clock;
use hostler_wire::{Page, PageState, Role, SiblingPage};
use hyper::{Method, Uri};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

/// A sibling whose loop has not come around for this long, and does not wait either, is busy: nobody waits
/// for it to accept.
const BUSY_AFTER: u64 = Duration::from_millis(5).as_nanos() as u64;
/// A sibling whose heartbeat is older than this may be stopped; the heart beats once a second.
const SILENT_AFTER: u64 = Duration::from_secs(3).as_nanos() as u64;
/// A worker without requests for this long gives memory back. Idle connections have given up their buffers by then.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(2);

/// This worker's page, and its siblings'; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Load(Rc<Shared>);

struct Shared {
    own: &'static Page,
    /// The pages of all workers, and which of them is the own one.
    pages: &'static [SiblingPage],
    number: usize,
    requests: Cell<u64>,
    /// After how many requests this worker has done its share.
    limit: Option<u64>,
    at_limit: RefCell<Option<Waker>>,
}

impl Load {
    /// Keeps `own`, which is the one of this number among `pages`.
    #[must_use]
    pub fn new(
        own: &'static Page,
        pages: &'static [SiblingPage],
        number: u16,
        request_limit: Option<u64>,
    ) -> Self {
        let (requests, at_limit) = (Cell::new(0), RefCell::default());
        let number = usize::from(number);
        Self(Rc::new(Shared { own, pages, number, requests, limit: request_limit, at_limit }))
    }

    /// Waits until this worker has begun as many requests as it was made for.
    pub async fn limit_reached(&self) {
        let shared = &self.0;
        std::future::poll_fn(|cx| {
            if shared.limit.is_some_and(|limit| shared.requests.get() >= limit) {
                return Poll::Ready(());
            }
            shared.at_limit.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Beats for ever: as long as the loop serves timers, everybody sees that it lives. A worker that has nothing to do
    /// for a while gives back the memory that its last requests needed.
    pub async fn beat(self, interval: Duration) {
        let mut beats = tokio::time::interval(interval);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut seen, mut rested) = (0, Duration::ZERO);
        loop {
            beats.tick().await;
            self.0.own.beat(clock::now());
            hostler_sys::logging::tell_lost();
            let requests = self.0.requests.get();
            let rests = requests == std::mem::replace(&mut seen, requests) && self.0.own.in_flight() == 0;
            let before = rested;
            rested = if rests { rested + interval } else { Duration::ZERO };
            if before < GIVE_BACK_AFTER && rested >= GIVE_BACK_AFTER {
                hostler_sys::memory::give_back();
            }
        }
    }

    /// The page that this worker writes.
    #[must_use]
    pub fn page(&self) -> &'static Page {
        self.0.own
    }

    /// Whether a connection is this worker's to take: no healthy sibling has less to do.
    pub(crate) fn is_least(&self) -> bool {
        let mine = self.0.own.score();
        // Nobody has less than nothing.
        mine == 0 || {
            let now = clock::now();
            // By an eighth at least.
            let less = |page: &SiblingPage| page.score().saturating_add(page.score() / 8) < mine;
            !self.siblings().any(|page| less(page) && is_available(page, now))
        }
    }

    /// Whether somebody who fills this slot comes to accept.
    pub(crate) fn is_slot_served(&self, slot: u32) -> bool {
        let now = clock::now();
        self.siblings().any(|page| page.slot_index() == slot && is_available(page, now))
    }

    /// The other workers that serve HTTP. Pages of other roles count neither connections nor requests.
    fn siblings(&self) -> impl Iterator<Item = &'static SiblingPage> {
        let own: *const SiblingPage = &raw const self.0.pages[self.0.number];
        hostler_wire::used(self.0.pages).iter().filter(move |page| {
            page.role() == Some(Role::Http) && page.state() == PageState::Serving && !std::ptr::eq(*page, own)
        })
    }

    /// A request began.
    pub(crate) fn begin(&self, method: &Method, uri: &Uri, peer: Option<SocketAddr>) -> Tracked {
        let shared = &self.0;
        let now = clock::now();
        // The application may block this thread.
        hostler_sys::attendant::wake();
        let slot = shared.own.request_began(now, method.as_str(), uri.path(), peer);
        let count = shared.requests.get() + 1;
        shared.requests.set(count);
        if shared.limit == Some(count)
            && let Some(waker) = shared.at_limit.take()
        {
            waker.wake();
        }
        Tracked { page: shared.own, slot, began: now, status: 0 }
    }

    /// A connection is this worker's from now on, until the guard is dropped.
    pub(crate) fn connection(&self) -> Counted {
        self.0.own.connection_opened();
        Counted(self.0.own)
    }
}

fn is_available(page: &SiblingPage, now: u64) -> bool {
    if page.is_parked() {
        now.saturating_sub(page.beat_at()) < SILENT_AFTER
    } else {
        now.saturating_sub(page.turned_at()) < BUSY_AFTER
    }
}

/// An open connection.
pub(crate) struct Counted(&'static Page);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

/// A request in flight, until its answer was sent or dropped.
pub(crate) struct Tracked {
    page: &'static Page,
    slot: Option<usize>,
    began: u64,
    /// The status that was answered.
    pub(crate) status: u16,
}

impl Tracked {
    /// Method, path and age, for the log.
    pub(crate) fn describe(&self) -> String {
        let requests = self.page.requests_in_flight();
        let own = requests.into_iter().filter(|request| request.started_at == self.began);
        hostler_sys::board::describe(&own.collect::<Vec<_>>())
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let nanos = clock::now().saturating_sub(self.began);
        self.page.request_ended(self.slot, self.status, nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::Load;
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
        let load = Load::new(own, pages, 201, None);
        assert!(load.is_slot_served(202));
        assert!(!load.is_slot_served(201), "its own page is no sibling's");
        assert!(load.is_least());
        own.connection_opened();
        own.connection_opened();
        assert!(!load.is_least(), "the sibling has less to do");
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
        let load = Load::new(&board.pages()[1], pages, 1, None);
        load.page().connection_opened();
        load.page().connection_opened();
        assert!(load.is_least(), "a companion that beats takes no connections");
        assert!(!load.is_slot_served(2));
    }
}
