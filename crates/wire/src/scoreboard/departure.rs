//! Why workers end, and what state a server is in: as numbers on the scoreboard, and by name.

/// Declares an enumeration whose values are numbers on the scoreboard from 1 on, and have names.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name {
            /// Not known: the master has written nothing yet.
            Unknown = 0,
            $($(#[$doc])* $value,)+
        }

        impl $name {
            /// All but [`Self::Unknown`], in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The name, in metrics, status and log.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "unknown",
                    $(Self::$value => $text,)+
                }
            }

            /// The one of this number.
            #[must_use]
            pub fn from_number(number: u32) -> Self {
                Self::ALL.iter().copied().find(|it| *it as u32 == number).unwrap_or(Self::Unknown)
            }
        }
    };
}

named! {
    /// Why a worker ends.
    Departure {
        /// It reached `--max-requests`.
        MaxRequests = "max-requests",
        /// It reached `--workers-lifetime`.
        Lifetime = "lifetime",
        /// It exceeded `--workers-max-rss`.
        Memory = "max-rss",
        /// Another generation took over.
        Reload = "reload",
        /// Files of the application have changed.
        Changed = "files-changed",
        /// Its generation failed.
        ReloadFailed = "reload-failed",
        /// There are to be fewer workers.
        FewerWorkers = "fewer-workers",
        /// The server stops.
        Stop = "stop",
        /// Another server took over.
        Upgrade = "upgrade",
        /// It was killed because it took longer than `--graceful-timeout`.
        GracefulTimeout = "graceful-timeout",
        /// It was killed because it did not exit at once.
        QuickStop = "quick-stop",
        /// Its loop was blocked for longer than `--stall-timeout`.
        Stall = "stall-timeout",
        /// It was not ready within `--boot-timeout`.
        BootTimeout = "boot-timeout",
        /// It could not start.
        BootFailed = "boot-failed",
        /// It was killed by a signal that the server has not sent: a crash, the kernel out of memory, an operator.
        Signal = "signal",
        /// It exited by itself.
        Exit = "exit",
        /// The operator asked for new workers.
        Restart = "restart",
    }
}

named! {
    /// What a server is doing.
    ServerState {
        /// Not all workers have served yet.
        Starting = "starting",
        /// It serves.
        Serving = "serving",
        /// It serves, and another generation is being started.
        Reloading = "reloading",
        /// It was told to stop, and serves on for `--drain-delay`.
        Draining = "draining",
        /// It stops.
        Stopping = "stopping",
        /// Another server has the service.
        Replaced = "replaced",
    }
}

named! {
    /// What became of a reload.
    Reload {
        /// It is under way.
        Running = "running",
        /// The new generation serves.
        Succeeded = "succeeded",
        /// The new generation was given up; the one before serves on.
        Failed = "failed",
        /// A later reload took its place.
        Superseded = "superseded",
    }
}

#[cfg(test)]
mod tests {
    use super::{Departure, Reload, ServerState};

    #[test]
    fn numbers_and_names_are_unique_and_lead_back() {
        assert!(Departure::ALL.iter().all(|it| Departure::from_number(*it as u32) == *it));
        assert!(ServerState::ALL.iter().all(|it| ServerState::from_number(*it as u32) == *it));
        assert_eq!(Reload::from_number(0), Reload::Unknown);
        let mut names: Vec<_> = Departure::ALL.iter().map(|it| it.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Departure::ALL.len());
    }
}
