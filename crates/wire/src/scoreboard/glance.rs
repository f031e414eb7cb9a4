//! The beginning of a page, for programs that read the scoreboard as a file.

use super::{Page, PageState};
use std::mem::offset_of;

/// The beginning of a page, for programs that read the scoreboard as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Whether the page is a worker's.
    pub used: bool,
    /// Whether the worker serves.
    pub serves: bool,
    /// The index of the worker's slot.
    pub slot: u32,
    /// Open connections.
    pub connections: u64,
    /// Requests whose responses are not sent yet.
    pub in_flight: u64,
}

impl Glance {
    /// How many bytes of a page are needed.
    pub const SIZE: usize = offset_of!(Page, in_flight) + 8;

    /// Reads the beginning of a page.
    #[must_use]
    pub fn of(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| std::array::from_fn(|n| bytes[at + n]);
        let long = |at: usize| std::array::from_fn(|n| bytes[at + n]);
        let state = u32::from_ne_bytes(word(offset_of!(Page, state)));
        Self {
            used: state != PageState::Vacant as u32,
            serves: state == PageState::Serving as u32,
            slot: u32::from_ne_bytes(word(offset_of!(Page, slot_index))),
            connections: u64::from_ne_bytes(long(offset_of!(Page, connections))),
            in_flight: u64::from_ne_bytes(long(offset_of!(Page, in_flight))),
        }
    }
}
