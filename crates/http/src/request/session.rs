//! A protocol that follows a request, as the scoreboard shows it.

use hostler_wire::Page;

/// A WebSocket or another protocol, until it ends.
pub(crate) struct SessionRecord {
    page: &'static Page,
    /// Where the page shows it, if there was room.
    slot: Option<usize>,
}

impl SessionRecord {
    /// Of a protocol that follows the request that the page shows there.
    pub(super) fn new(page: &'static Page, request: Option<usize>) -> Self {
        Self { page, slot: page.session_began(request) }
    }
}

impl Drop for SessionRecord {
    fn drop(&mut self) {
        self.page.session_ended(self.slot);
    }
}
