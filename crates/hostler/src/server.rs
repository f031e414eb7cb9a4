//! The builder of a native server.

use crate::Request;
use bytes::Bytes;
use hostler_master::{NativeSeat, Plan, Spawner};
use hostler_sys::{socket, title};
use hostler_wire::{HttpSettings, ListenerInfo, LogLevel, LogSettings, WorkerSettings};
use std::{
    error::Error as StdError,
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::fd::OwnedFd,
    process::ExitCode,
    time::Duration,
};
use tower::Service;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// As it was given to [`Server::bind`].
        address: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// A server of native workers.
#[derive(Clone, Debug)]
pub struct Server {
    addresses: Vec<String>,
    workers: u16,
    process_name: Option<String>,
    graceful_timeout: Duration,
    backlog: i32,
    log: LogSettings,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            workers: 1,
            process_name: None,
            graceful_timeout: Duration::from_secs(30),
            backlog: 1024,
            log: LogSettings { enabled: true, level: LogLevel::Info },
        }
    }
}

impl Server {
    /// One worker on 127.0.0.1:8000, unless told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on this address (`127.0.0.1:8000`, `[::1]:8000`, `localhost:0`); may be called several times.
    #[must_use]
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// How many worker processes serve; at least one.
    #[must_use]
    pub fn workers(mut self, workers: u16) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// The processes' titles: this for the master, `NAME worker-1` for a worker.
    #[must_use]
    pub fn process_name(mut self, name: impl Into<String>) -> Self {
        self.process_name = Some(name.into());
        self
    }

    /// How long requests in flight may take to finish when the server stops.
    #[must_use]
    pub fn graceful_timeout(mut self, timeout: Duration) -> Self {
        self.graceful_timeout = timeout;
        self
    }

    /// How many connections may wait to be accepted.
    #[must_use]
    pub fn backlog(mut self, backlog: i32) -> Self {
        self.backlog = backlog;
        self
    }

    /// The least important line that is logged.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log.level = level;
        self
    }

    /// Logs nothing.
    #[must_use]
    pub fn no_log(mut self) -> Self {
        self.log.enabled = false;
        self
    }

    /// Serves what `make` returns, until a signal says stop. `make` runs once in each worker.
    ///
    /// # Errors
    /// When an address cannot be bound. What happens later is told by the exit code.
    pub fn serve<S, B>(mut self, make: impl Fn() -> S + 'static) -> Result<ExitCode, Error>
    where
        S: Service<Request, Response = http::Response<B>, Error: Into<Box<dyn StdError + Send + Sync>>>
            + Clone
            + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin + 'static,
    {
        title::init();
        hostler_sys::logging::init(&self.log);
        if self.addresses.is_empty() {
            self.addresses.push("127.0.0.1:8000".into());
        }
        let listeners: Vec<_> =
            self.addresses.iter().map(|address| listen(address, self.backlog)).collect::<Result<_, _>>()?;
        let worker = move |seat: NativeSeat| hostler_worker::native::run(adopt(seat), &make).code();
        let plan = Plan {
            settings: self.settings(&listeners),
            listeners,
            workers: self.workers,
            spawner: Spawner::Native(Box::new(worker)),
            owned_paths: Vec::new(),
        };
        Ok(ExitCode::from(hostler_master::run(plan).code()))
    }

    fn settings(&self, listeners: &[(ListenerInfo, OwnedFd)]) -> WorkerSettings {
        WorkerSettings {
            app: None,
            listeners: listeners.iter().map(|(info, _)| info.clone()).collect(),
            http: HttpSettings::default(),
            log: self.log.clone(),
            process_name: self.process_name.clone(),
            graceful_timeout: self.graceful_timeout,
        }
    }
}

fn adopt(seat: NativeSeat) -> hostler_worker::Seat {
    let NativeSeat { seat, generation, channel, listeners, settings, master_pid } = seat;
    hostler_worker::Seat { seat, generation, channel, listeners, settings, master_pid }
}

fn listen(address: &str, backlog: i32) -> Result<(ListenerInfo, OwnedFd), Error> {
    let bind = || {
        let mut resolved = address.to_socket_addrs()?;
        let first: SocketAddr = resolved.next().ok_or_else(|| io::Error::other("the name has no address"))?;
        let socket = socket::bind_tcp(first, backlog)?;
        let bound = socket::tcp_address(&socket)?;
        hostler_sys::logging::listening(&bound);
        Ok((ListenerInfo::Tcp(bound), socket))
    };
    bind().map_err(|source| Error::Bind { address: address.to_owned(), source })
}
