//! The heartbeat: a timer of the serving loop, so that it stops when the loop is blocked.

use hostler_sys::clock;
use hostler_wire::Page;
use std::{mem, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// A worker that was idle for this long gives memory back. Idle connections are parked by then.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(2);

/// Writes heartbeats to the page, as long as the loop serves timers; never returns. `activity` is
/// [`crate::Running::activity`].
pub(crate) async fn beat(page: &'static Page, period: Duration, activity: impl Fn() -> Option<u64>) {
    let mut beats = interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut idle_for) = (Some(0), Duration::ZERO);
    loop {
        let due = beats.tick().await;
        page.lags(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
        page.beat(clock::now());
        hostler_sys::logging::report_lost();
        let served = activity();
        let is_idle = served.is_some() && served == mem::replace(&mut seen, served);
        let before = idle_for;
        idle_for = if is_idle { idle_for + period } else { Duration::ZERO };
        if before < GIVE_BACK_AFTER && idle_for >= GIVE_BACK_AFTER {
            hostler_sys::memory::give_back();
        }
    }
}
