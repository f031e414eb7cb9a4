//! The scoreboard: a page of shared memory for each process that reports what it does. The process alone writes its page,
//! all others read it.
//!
//! [`Page`] is one's own, or the master's view of all; [`SiblingPage`] is one in memory that cannot be written. What a
//! page says is a hint: its process runs code of the application, which may write anything there.
//!
//! Plain atomics without ordering between them: a reader may see a request that has just ended, never memory that is
//! not there. The page survives its process, so what it was doing can be reported afterwards.
//!
//! Files: `page` the layout, state and counters, `ring` the requests in flight, `totals` counters that are added up, `times`
//! histograms, `master` what the master writes of the server and of each worker, `view` a page as it was read,
//! `departure` why workers end, `sibling` what other processes may read, `glance` the beginning of a page for readers of the file.

mod departure;
mod glance;
mod master;
mod page;
mod ring;
mod sibling;
mod times;
mod totals;
mod view;

pub use departure::{Departure, Reload, ServerState};
pub use glance::Glance;
pub use master::{MasterPage, MasterView, Seat, SeatView};
pub use page::{Page, PageState};
pub use ring::InFlight;
pub use sibling::{MasterRecord, Scoreboard, SiblingPage, used};
pub use times::{BOUND_NANOS, BUCKETS, Histogram};
pub use totals::{CLASSES, METHODS, Totals, method_index};
pub use view::PageView;

/// How many pages there are. Pages that were never used cost no memory.
pub const PAGES: usize = 4096;
