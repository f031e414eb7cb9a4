//! What to do when nothing can be accepted: go on at once, or leave the queue alone for a while.
//!
//! The kernel says that a connection waits as long as one does. Whoever asks again at once after an error that does not
//! pass by itself (no descriptors, no memory for sockets) turns in circles and keeps the requests that it has from
//! being served.

use std::{
    io,
    time::{Duration, Instant},
};
use tracing::warn;

/// How long the queue is left alone.
const PAUSE: Duration = Duration::from_millis(100);
/// So many connections in a row that went wrong are no affair of single clients any more.
const MANY: u32 = 64;
/// How often it is said that nothing can be accepted.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Whose affair an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affair {
    /// Nobody's: nothing waits, or a signal came.
    Nobodys,
    /// The client's, whose connection it was.
    Clients,
    /// This process's or the machine's.
    Ours,
}

/// What became of the latest attempts at one queue.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: u32,
    told: Option<Instant>,
}

impl Attempts {
    /// A connection was taken.
    pub(crate) fn succeeded(&mut self) {
        self.failed = 0;
    }

    /// Waits for as long as this error asks for.
    pub(crate) async fn failed(&mut self, error: &io::Error) {
        let now = Instant::now();
        let Some(pause) = self.pause(error) else { return };
        if self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY) {
            self.told = Some(now);
            warn!(%error, hint = hint(error), "cannot accept");
        }
        tokio::time::sleep(pause).await;
    }

    fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        match affair(error) {
            Affair::Nobodys => return None,
            Affair::Clients => self.failed += 1,
            Affair::Ours => self.failed = MANY,
        }
        (self.failed >= MANY).then_some(PAUSE)
    }
}

/// Whether the process has no descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::EMFILE | errno::ENFILE))
}

fn affair(error: &io::Error) -> Affair {
    if error.kind() == io::ErrorKind::InvalidData {
        // Of one that was handed over in a way that nobody understands.
        return Affair::Clients;
    }
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
        return Affair::Nobodys;
    }
    match error.raw_os_error() {
        Some(number) if errno::OF_CONNECTIONS.contains(&number) => Affair::Clients,
        _ => Affair::Ours,
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
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ENOBUFS: i32 = 105;

    /// What accept(2) passes on from a connection that is broken already, and what a firewall says (EPERM): EPERM,
    /// ENONET, EPROTO, ENOPROTOOPT, EOPNOTSUPP, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTDOWN,
    /// EHOSTUNREACH.
    pub(super) const OF_CONNECTIONS: [i32; 12] = [1, 64, 71, 92, 95, 100, 101, 103, 104, 110, 112, 113];
}

#[cfg(test)]
mod tests {
    use super::{Affair, Attempts, MANY, PAUSE, affair};
    use std::io::Error;

    fn error(number: i32) -> Error {
        Error::from_raw_os_error(number)
    }

    #[test]
    fn every_error_is_somebody_s_affair() {
        // EINTR, EAGAIN.
        assert!([4, 11].iter().all(|number| affair(&error(*number)) == Affair::Nobodys));
        // ECONNABORTED, EPROTO, EPERM.
        assert!([103, 71, 1].iter().all(|number| affair(&error(*number)) == Affair::Clients));
        // ENOMEM, ENFILE, EMFILE, ENOBUFS, EBADF, EINVAL, ENOTSOCK, and what nobody has thought of.
        let ours = [12, 23, 24, 105, 9, 22, 88, 4711];
        assert!(ours.iter().all(|number| affair(&error(*number)) == Affair::Ours));
        assert_eq!(affair(&Error::other("no number")), Affair::Ours);
    }

    #[test]
    fn what_does_not_pass_by_itself_is_not_tried_again_at_once() {
        for number in [12, 24, 105, 22] {
            let mut attempts = Attempts::default();
            assert_eq!(attempts.pause(&error(number)), Some(PAUSE));
            assert_eq!(attempts.pause(&error(number)), Some(PAUSE));
            attempts.succeeded();
            assert_eq!(attempts.pause(&error(103)), None);
        }
    }

    #[test]
    fn broken_connections_are_passed_over_unless_there_is_nothing_else() {
        let mut attempts = Attempts::default();
        for _ in 1..MANY {
            assert_eq!(attempts.pause(&error(103)), None);
        }
        assert_eq!(attempts.pause(&error(103)), Some(PAUSE));
        attempts.succeeded();
        assert_eq!(attempts.pause(&error(103)), None);
        assert_eq!(attempts.pause(&error(11)), None);
    }
}
