//! A request in flight, as the scoreboard shows it: the one place that knows its method, path, client, status and time.

use hostler_sys::clock;
use hostler_wire::Page;

/// A request from its head until the kernel has its response, or its connection ended.
pub(crate) struct RequestRecord {
    page: &'static Page,
    /// Where the page shows it, if there was room.
    slot: Option<usize>,
    /// On the monotonic clock.
    pub(crate) began_nanos: u64,
    /// The status of the response; 0 until there is one.
    pub(crate) status: u16,
}

impl RequestRecord {
    pub(crate) fn new(page: &'static Page, slot: Option<usize>, began_nanos: u64) -> Self {
        Self { page, slot, began_nanos, status: 0 }
    }

    /// Method, path and age, for the log.
    pub(crate) fn describe(&self) -> String {
        let requests = self.page.requests_in_flight();
        let own = requests.into_iter().filter(|request| request.started_at == self.began_nanos);
        hostler_sys::board::describe(&own.collect::<Vec<_>>())
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let nanos = clock::now().saturating_sub(self.began_nanos);
        self.page.request_ended(self.slot, self.status, nanos);
    }
}
