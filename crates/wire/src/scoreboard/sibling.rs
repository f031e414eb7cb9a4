//! The pages of other processes.

use super::{MasterPage, MasterView, Page, PageState, PageView, SeatView};
use crate::Role;

/// The page of another worker, mapped for reading alone: a write would end the process.
#[repr(transparent)]
pub struct SiblingPage(Page);

/// Those of these pages that have ever been a worker's. The first page, which is no worker's, has their number.
#[must_use]
pub fn used(pages: &[SiblingPage]) -> &[SiblingPage] {
    let Some((first, rest)) = pages.split_first() else { return pages };
    let used = first.0.used();
    &rest[..used.saturating_sub(1).min(rest.len())]
}

impl SiblingPage {
    /// What it shows now.
    #[must_use]
    pub fn view(&self) -> PageView {
        PageView::of(&self.0)
    }

    /// What the worker is doing.
    #[must_use]
    pub fn state(&self) -> PageState {
        self.0.state()
    }

    /// What kind of process it is; `None` if the page is vacant or its role is not known.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.0.role()
    }

    /// The index of the slot that it fills, within its group.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.0.slot_index()
    }

    /// When the loop's heartbeat timer fired last.
    #[must_use]
    pub fn beat_at(&self) -> u64 {
        self.0.beat_at()
    }

    /// When the loop turned last.
    #[must_use]
    pub fn turned_at(&self) -> u64 {
        self.0.turned_at()
    }

    /// Whether the loop waits for events.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.0.is_parked()
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.connections()
    }

    /// How loaded it is.
    #[must_use]
    pub fn score(&self) -> u64 {
        self.0.score()
    }
}

/// The master's part of the scoreboard, mapped for reading alone.
#[repr(transparent)]
pub struct MasterRecord(MasterPage);

impl MasterRecord {
    /// What it shows.
    #[must_use]
    pub fn view(&self) -> MasterView {
        self.0.view()
    }

    /// What the master knows of the worker that has this page.
    #[must_use]
    pub fn seat(&self, page: u16) -> SeatView {
        self.0.seat(page).map(super::Seat::view).unwrap_or_default()
    }

    /// See [`MasterPage::consistently`].
    pub fn consistently<R>(&self, read: impl FnMut() -> R) -> R {
        self.0.consistently(read)
    }
}

/// The whole scoreboard, mapped for reading alone.
#[derive(Clone, Copy)]
pub struct Scoreboard {
    /// The master's part.
    pub master: &'static MasterRecord,
    /// The pages of workers; the first is none's.
    pub pages: &'static [SiblingPage],
}

impl Scoreboard {
    /// The master's part, and the page of each worker with its seat, all of one moment as far as counters are concerned.
    #[must_use]
    pub fn read(&self) -> (MasterView, Vec<(SeatView, PageView)>) {
        self.master.consistently(|| {
            let workers = used(self.pages).iter().zip(1..);
            let workers = workers.map(|(page, number)| (self.master.seat(number), page));
            let taken = workers.filter(|(seat, _)| seat.started_at != 0);
            (self.master.view(), taken.map(|(seat, page)| (seat, page.view())).collect())
        })
    }
}
