//! How many workers there are, their deadlines, and when they are recycled.

use super::YEAR;
use crate::{ByteSize, Percent, Unit, WorkerCount, macros::settings};
use std::time::Duration;

settings! {
    #[heading("Workers")]
    /// How many workers there are, their deadlines, and when they are recycled.
    #[derive(Copy)]
    pub struct Supervision {
        /// Worker processes to keep alive; auto is one per usable processor. With MIN:MAX as many as the load needs.
        #[option(
            "workers", default = WorkerCount::Fixed(1), range(1, 1024), short('w'), common_env("WEB_CONCURRENCY"), common
        )]
        pub workers: WorkerCount,
        /// With MIN:MAX for --workers or --task-workers: how long fewer must have been enough before there are fewer.
        #[option("scale-down-after", default = Duration::from_secs(10), range(1, 86_400))]
        pub scale_down_after: Duration,
        /// How long a worker may take to be ready before it is reported and replaced; 0 disables it.
        #[option("boot-timeout", default = Some(Duration::from_secs(600)), range(0, 86_400))]
        pub boot_timeout: Option<Duration>,
        /// How long a worker's event loop may be blocked before the worker is reported and replaced; 0 disables it.
        #[option("stall-timeout", default = Some(Duration::from_secs(30)), range(0, 86_400), common)]
        pub stall_timeout: Option<Duration>,
        /// How long a callback may block the event loop before it is logged where; 0 disables it.
        #[option(
            "slow-callback", default = Some(Duration::from_secs(1)), unit(Unit::Milliseconds), range(0, 3_600_000)
        )]
        pub slow_callback: Option<Duration>,
        /// How long requests in flight may take to finish when a worker stops.
        #[option("graceful-timeout", default = Duration::from_secs(30), range(0, 86_400), common, aliases(&["timeout-graceful-shutdown"]))]
        pub graceful_timeout: Duration,
        /// How long a worker may take to stop before it is killed; another name for --graceful-timeout.
        #[option("workers-kill-timeout", default = None, example("30"), range(1, 1800))]
        pub workers_kill_timeout: Option<Duration>,
        /// How long to serve on after SIGTERM, each response closing its connection.
        #[option("drain-delay", default = Duration::ZERO, range(0, 3_600), common)]
        pub drain_delay: Duration,
        /// The age at which a worker is recycled.
        #[option("workers-lifetime", default = None, example("6h"), range(1, YEAR), common)]
        pub lifetime: Option<Duration>,
        /// Jitter of --workers-lifetime: up to this part of it is taken off, in percent.
        #[option("workers-lifetime-jitter", default = Percent(10), range(0, 100))]
        pub lifetime_jitter: Percent,
        /// The number of requests after which a worker is recycled.
        #[option("max-requests", default = None, example("10000"), range(1, u64::MAX), common, aliases(&["limit-max-requests"]))]
        pub max_requests: Option<u64>,
        /// Jitter of --max-requests: up to this number is taken off; a tenth of it unless set.
        #[option("max-requests-jitter", default = None, example("1000"), range(0, u64::MAX))]
        pub max_requests_jitter: Option<u64>,
        /// The memory at which a worker is recycled: its proportional share (PSS), a plain number in MiB.
        #[option("workers-max-rss", default = None, example("512MiB"), unit(Unit::Mebibytes), range(1, 1 << 32), common)]
        pub max_memory: Option<ByteSize>,
        /// How often the memory of workers is measured.
        #[option("rss-sample-interval", default = Duration::from_secs(30), range(1, 300))]
        pub memory_interval: Duration,
        /// Measurements in a row over the limit before a worker is recycled.
        #[option("rss-samples", default = 1, range(1, 1000))]
        pub memory_samples: u32,
        /// The shortest time between two recycled workers.
        #[option("respawn-interval", default = Duration::from_millis(3500), range(0, YEAR))]
        pub respawn_interval: Duration,
        /// How many workers may be recycled at a time.
        #[option("max-replacing", default = 1, range(1, 1024))]
        pub max_replacing: u16,
        /// Replace workers that crashed; always on.
        #[option("respawn-failed-workers", default = true)]
        pub respawn_failed_workers: bool,
    }
}

impl Supervision {
    /// The greatest number that jitter takes off `max_requests`, which leaves at least one request.
    #[must_use]
    pub fn requests_jitter(&self) -> u64 {
        let most = self.max_requests.unwrap_or(0);
        self.max_requests_jitter.unwrap_or(most / 10).min(most.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Supervision;

    #[test]
    fn jitter_is_a_tenth_of_the_requests_unless_set() {
        let jitter = |max_requests, max_requests_jitter| {
            Supervision { max_requests, max_requests_jitter, ..Supervision::default() }.requests_jitter()
        };
        assert_eq!(jitter(Some(1000), None), 100);
        assert_eq!(jitter(Some(1000), Some(0)), 0);
        assert_eq!(jitter(Some(1), Some(5)), 0);
        assert_eq!(jitter(None, None), 0);
    }
}
