//! The access log: a line for each request, when the kernel has its response or its connection ended.
//!
//! [`AccessLog`] is what all requests of a worker share: the compiled format (`hostler_access`), which paths have no lines,
//! the clock. An [`entry::Entry`] is the line of one request under way. [`wall`] tells the time of day.
//!
//! Lines are formatted on the serving thread, without the GIL, into the buffer of `hostler_sys::logging::access`, which
//! [`AccessLog::run_writer`] writes a few milliseconds later, or the attendant if the application blocks the thread.
//!
//! Without an access log there are no entries, and nothing here is called.

pub(crate) mod entry;
mod excluded;
pub(crate) mod facts;
pub(crate) mod queue;
pub(crate) mod turns;
mod wall;

use crate::request::id::RequestIds;
use entry::Entry;
use excluded::Excluded;
use hostler_access::{Format, Needs, Program, Stamps};
use hostler_settings::Log;
use hostler_sys::{attendant, logging::access};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};
use wall::Wall;

/// How long lines wait for others at the most, unless they cannot be written. A worker that dies takes them with it. One that
/// comes after as long without any waits for none.
const GATHER: Duration = Duration::from_millis(10);
/// How often lines are written that nothing took, or that wait because the application blocks the loop.
const AGAIN: Duration = Duration::from_millis(50);
/// How many entries are kept for later requests.
const MAX_SPARE: usize = 64;

/// What all lines of a worker have in common. It lives as long as its process.
pub(crate) struct AccessLog {
    format: Program,
    pub(crate) needs: Needs,
    excluded: Excluded,
    /// Of how many requests in a hundred there is a line.
    sample: u64,
    /// How many requests there were, of those that are not excluded.
    count: Cell<u64>,
    pub(crate) ids: RequestIds,
    wall: Wall,
    stamps: RefCell<Stamps>,
    spare: RefCell<Vec<Rc<Entry>>>,
    /// The task that writes.
    writer: RefCell<Option<Waker>>,
}

impl AccessLog {
    /// The access log of this worker, if it is to have one.
    pub(crate) fn new(settings: &Log, worker: u16, ids: RequestIds) -> Option<&'static Self> {
        settings.access_destination()?;
        let format = match Format::parse(settings.format_of_access()) {
            Ok(format) => format,
            Err(error) => {
                // The configuration was checked; a native service may have been given another text.
                tracing::error!(%error, hint = error.hint, "there is no access log: its format is wrong");
                return None;
            }
        };
        let this = Self {
            needs: format.needs(),
            format: format.program(u64::from(worker), u64::from(ids.pid())),
            excluded: Excluded::new(&settings.access_exclude),
            sample: u64::from(settings.access_sample.0),
            count: Cell::new(0),
            ids,
            wall: Wall::default(),
            stamps: RefCell::default(),
            spare: RefCell::default(),
            writer: RefCell::default(),
        };
        Some(Box::leak(Box::new(this)))
    }

    /// Writes lines, many at once while there are many; never returns.
    pub(crate) async fn run_writer(&'static self) {
        attendant::add(AGAIN, |_| {
            access::flush();
        });
        let mut written: Option<Instant> = None;
        loop {
            self.line_added().await;
            // That of a single request is written when its response was.
            if let Some(rest) = written.and_then(|then| GATHER.checked_sub(then.elapsed())) {
                tokio::time::sleep(rest).await;
            }
            while access::flush() {
                tokio::time::sleep(AGAIN).await;
            }
            written = Some(Instant::now());
        }
    }

    async fn line_added(&self) {
        let mut registered = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut registered, true) && self.writer.borrow().is_none() {
                return Poll::Ready(());
            }
            self.writer.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn wake_writer(&self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Whether this request is one of those that have a line.
    fn samples(&self) -> bool {
        if self.sample >= 100 {
            return true;
        }
        let count = self.count.get();
        self.count.set(count + 1);
        // Evenly, whatever clients ask for in turn.
        hostler_sys::random::mix(count.wrapping_add(self.ids.salt())) % 100 < self.sample
    }
}
