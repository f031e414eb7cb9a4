//! Times on which the processes of a server have to agree: what one does in time, another one waits for.
//!
//! ```text
//! heartbeat (1 s) < a sibling is silent (3 s)         the accept gate
//! heartbeat ≤ stall timeout / 4                       the master's samples, the worker's reports of stacks
//! cancelled work (0.3 s) + cancelled tasks (0.5 s) < kill margin (1 s)
//!                                                     a drain that ends with the graceful timeout
//! orphan grace (1.4 s) < orphan limit (1.7 s)         a master that was killed
//! ```

use std::time::Duration;

/// How often a worker writes a heartbeat, and how often the master looks at it, unless stalls are to be found sooner.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// A worker whose heartbeat is older than this may be suspended: its siblings do not wait for it to accept.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);
/// How many heartbeats and samples there are at least within the stall timeout.
pub const BEATS_PER_STALL: u32 = 4;
/// A process that drains by itself within the graceful timeout gets this much more before it is killed.
pub const KILL_MARGIN: Duration = Duration::from_secs(1);
/// How long a worker may serve on after its master died: long enough for requests in flight that are nearly done, short
/// enough that no client meets two servers.
pub const ORPHAN_GRACE: Duration = Duration::from_millis(1400);
/// When the kernel kills an orphan that did not exit by itself.
pub const ORPHAN_LIMIT: Duration = Duration::from_millis(1700);

/// How long the last lines of a process wait for a receiver by TCP.
pub const LAST_LINES: Duration = Duration::from_millis(300);

const MIN_HEARTBEAT: Duration = Duration::from_millis(10);

/// How often a worker with this stall timeout writes heartbeats, and how often they are looked at.
#[must_use]
pub fn heartbeat_interval(stall_timeout: Option<Duration>) -> Duration {
    stall_timeout.map_or(HEARTBEAT, |limit| HEARTBEAT.min(limit / BEATS_PER_STALL)).max(MIN_HEARTBEAT)
}

const _: () = assert!(SILENT_AFTER.as_millis() > 2 * HEARTBEAT.as_millis());
const _: () = assert!(ORPHAN_GRACE.as_millis() < ORPHAN_LIMIT.as_millis());
