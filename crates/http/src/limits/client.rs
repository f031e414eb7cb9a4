//! Time limits for clients: idle connections, heads, bodies, reading responses, and the end of a connection. Parking of idle connections
//! runs at the same pace and is here too.
//!
//! One check of all connections now and then costs less than timers that are set for every request; in return a client
//! may have up to a quarter more than its time. Checks are counted, not seconds: while the application blocks the
//! thread, or the machine is suspended, nothing can be received.

use crate::connection::{ConnectionHandle, WaitsFor};
use crate::connections::Connections;
use hostler_settings::Http;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// How long a client may still send after the last response of its connection. Closing earlier would reset the
/// connection, and the client might lose the response (RFC 9112 §9.6).
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// How many checks there are within the shortest of the limits.
const CHECKS_PER_LIMIT: u32 = 8;
/// A connection that was idle for one to two of these is parked.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

impl Connections {
    /// Ends connections whose clients exceed their time limits; never returns.
    pub async fn enforce_limits(self, settings: Http) {
        let limits = Limits::new(&settings);
        let mut checks = every(limits.interval);
        loop {
            checks.tick().await;
            self.each(|connection| connection.check_progress(|waits_for| limits.max_checks(waits_for)));
        }
    }

    /// Parks connections that were idle for half a second or more; never returns.
    pub async fn park_idle(self) {
        let mut checks = every(IDLE_CHECK_INTERVAL);
        loop {
            checks.tick().await;
            self.each(ConnectionHandle::check_idle);
        }
    }
}

fn every(interval: Duration) -> Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The limits, and how often to check.
struct Limits {
    idle: Duration,
    request_head: Duration,
    request_body: Option<Duration>,
    response_read: Option<Duration>,
    interval: Duration,
}

impl Limits {
    fn new(settings: &Http) -> Self {
        let Http {
            idle_timeout: idle,
            header_read_timeout: request_head,
            body_read_timeout: request_body,
            write_timeout: response_read,
            ..
        } = *settings;
        // Without time to be idle a connection ends with its response; what waits is one without its first request.
        let idle = if idle.is_zero() { request_head } else { idle };
        let shortest = [Some(idle), Some(request_head), request_body, response_read, Some(LINGER)]
            .into_iter()
            .flatten()
            .min();
        let interval = (shortest.unwrap_or(LINGER) / CHECKS_PER_LIMIT).max(Duration::from_millis(1));
        Self { idle, request_head, request_body, response_read, interval }
    }

    /// How many checks in a row may see no progress; `None` is unlimited.
    fn max_checks(&self, waits_for: WaitsFor) -> Option<u32> {
        let limit = match waits_for {
            WaitsFor::Request => Some(self.idle),
            WaitsFor::RequestHead => Some(self.request_head),
            WaitsFor::RequestBody => self.request_body,
            WaitsFor::ResponseRead => self.response_read,
            WaitsFor::Linger => Some(LINGER),
        }?;
        let checks = limit.as_nanos().div_ceil(self.interval.as_nanos());
        Some(u32::try_from(checks).unwrap_or(u32::MAX - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, WaitsFor};
    use hostler_settings::Http;
    use std::time::Duration;

    #[test]
    fn a_first_request_has_time_though_connections_may_not_be_idle() {
        let limits = Limits::new(&Http { idle_timeout: Duration::ZERO, ..Http::default() });
        assert_eq!(limits.max_checks(WaitsFor::Request), limits.max_checks(WaitsFor::RequestHead));
        assert_eq!(limits.interval, Limits::new(&Http::default()).interval);
    }

    #[test]
    fn every_limit_is_kept_whatever_the_shortest_is() {
        let settings = Http {
            header_read_timeout: Duration::from_millis(800),
            body_read_timeout: Some(Duration::from_secs(30)),
            write_timeout: None,
            ..Http::default()
        };
        let limits = Limits::new(&settings);
        assert_eq!(limits.interval, Duration::from_millis(100));
        assert_eq!(limits.max_checks(WaitsFor::RequestHead), Some(8));
        assert_eq!(limits.max_checks(WaitsFor::Request), Some(750));
        assert_eq!(limits.max_checks(WaitsFor::RequestBody), Some(300));
        assert_eq!(limits.max_checks(WaitsFor::ResponseRead), None);
    }
}
