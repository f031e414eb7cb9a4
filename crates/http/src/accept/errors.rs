//! Errors of accept(2): go on at once, or pause.
//!
//! The listener stays readable as long as a connection waits. A retry at once after an error that persists (no
//! descriptors, no memory for sockets) would spin and keep the requests in flight from being served.

use std::{
    io,
    time::{Duration, Instant},
};
use tracing::warn;

/// How long the queue is left alone after an error that persists.
const PAUSE: Duration = Duration::from_millis(100);
/// After this many errors in a row they are no longer blamed on single clients.
const MAX_CLIENT_ERRORS: u32 = 64;
/// How often at most it is logged that nothing can be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What an error is due to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// No connection waits, or a signal interrupted.
    Nothing,
    /// The connection, which is broken already.
    Connection,
    /// This process or the machine lacks something.
    Resources,
    /// The listening socket was shut down: the server stops, and is about to say so.
    Ended,
}

/// The latest attempts at one queue.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: u32,
    logged: Option<Instant>,
}

impl Attempts {
    /// A connection was accepted.
    pub(crate) fn succeeded(&mut self) {
        self.failed = 0;
    }

    /// Waits as long as this error requires.
    pub(crate) async fn failed(&mut self, error: &io::Error) {
        let now = Instant::now();
        let Some(pause) = self.pause(error) else { return };
        if cause(error) != Cause::Ended
            && self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL)
        {
            self.logged = Some(now);
            warn!(%error, hint = hint(error), "cannot accept");
        }
        tokio::time::sleep(pause).await;
    }

    fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        match cause(error) {
            Cause::Nothing => return None,
            Cause::Connection => self.failed += 1,
            Cause::Resources | Cause::Ended => self.failed = MAX_CLIENT_ERRORS,
        }
        (self.failed >= MAX_CLIENT_ERRORS).then_some(PAUSE)
    }
}

/// Whether the process has no descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::EMFILE | errno::ENFILE))
}

fn cause(error: &io::Error) -> Cause {
    if error.kind() == io::ErrorKind::InvalidData {
        // From a connection that was handed over in an unknown form.
        return Cause::Connection;
    }
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
        return Cause::Nothing;
    }
    match error.raw_os_error() {
        Some(errno::EINVAL) => Cause::Ended,
        Some(number) if errno::OF_CONNECTIONS.contains(&number) => Cause::Connection,
        _ => Cause::Resources,
    }
}

fn hint(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        errno::EMFILE => Some("raise the limit of open files (LimitNOFILE=, ulimit -n)"),
        errno::ENFILE => Some("the whole machine has too many files open (sysctl fs.file-max)"),
        errno::ENOBUFS | errno::ENOMEM => {
            Some("there is no memory for sockets: see the control group's limit, and sysctl net.ipv4.tcp_mem")
        }
        _ => None,
    }
}

/// errno(3), on Linux.
mod errno {
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ENOBUFS: i32 = 105;

    /// What accept(2) reports of a connection that is broken already, and of a firewall (EPERM): EPERM,
    /// ENONET, EPROTO, ENOPROTOOPT, EOPNOTSUPP, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTDOWN,
    /// EHOSTUNREACH.
    pub(super) const OF_CONNECTIONS: [i32; 12] = [1, 64, 71, 92, 95, 100, 101, 103, 104, 110, 112, 113];
}

#[cfg(test)]
mod tests {
    use super::{Attempts, Cause, MAX_CLIENT_ERRORS, PAUSE, cause};
    use std::io::Error;

    fn error(number: i32) -> Error {
        Error::from_raw_os_error(number)
    }

    #[test]
    fn every_error_has_a_cause() {
        // EINTR, EAGAIN.
        assert!([4, 11].iter().all(|number| cause(&error(*number)) == Cause::Nothing));
        // ECONNABORTED, EPROTO, EPERM.
        assert!([103, 71, 1].iter().all(|number| cause(&error(*number)) == Cause::Connection));
        // EINVAL.
        assert_eq!(cause(&error(22)), Cause::Ended);
        // ENOMEM, ENFILE, EMFILE, ENOBUFS, EBADF, ENOTSOCK, and unknown ones.
        let resources = [12, 23, 24, 105, 9, 88, 4711];
        assert!(resources.iter().all(|number| cause(&error(*number)) == Cause::Resources));
        assert_eq!(cause(&Error::other("no number")), Cause::Resources);
    }

    #[test]
    fn errors_that_persist_are_not_retried_at_once() {
        for number in [12, 24, 105, 22] {
            let mut attempts = Attempts::default();
            assert_eq!(attempts.pause(&error(number)), Some(PAUSE));
            assert_eq!(attempts.pause(&error(number)), Some(PAUSE));
            attempts.succeeded();
            assert_eq!(attempts.pause(&error(103)), None);
        }
    }

    #[test]
    fn broken_connections_are_skipped_unless_there_is_nothing_else() {
        let mut attempts = Attempts::default();
        for _ in 1..MAX_CLIENT_ERRORS {
            assert_eq!(attempts.pause(&error(103)), None);
        }
        assert_eq!(attempts.pause(&error(103)), Some(PAUSE));
        attempts.succeeded();
        assert_eq!(attempts.pause(&error(103)), None);
        assert_eq!(attempts.pause(&error(11)), None);
    }
}
