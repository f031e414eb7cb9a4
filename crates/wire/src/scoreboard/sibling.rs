//! The pages of other processes.

use super::{Page, PageState};
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

    /// How loaded it is.
    #[must_use]
    pub fn score(&self) -> u64 {
        self.0.score()
    }
}
