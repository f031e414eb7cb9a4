//! The builder of a native server.

use crate::Request;
use bytes::Bytes;
use hostler_master::{
    CommandLine, Companion, GenerationSpec, Listening, NativeWorkerContext, Plan, Predecessor, Spawner,
};
use hostler_settings::{Bind, ByteSize, LogLevel, Settings, WorkerCount};
use hostler_sys::{
    logging::{self, Destination},
    socket, title,
};
use hostler_wire::{GroupId, Identity, ListenerInfo, WorkerSettings};
use std::{
    error::Error as StdError,
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::fd::OwnedFd,
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    time::Duration,
};
use tower::Service;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Standard error cannot be written to.
    #[error("cannot write the log")]
    Log {
        /// The system's reason.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// As it was given to [`Server::bind`].
        address: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// A server of native workers. What is not set has the default of the option of the same name.
#[derive(Clone, Debug, Default)]
pub struct Server {
    addresses: Vec<String>,
    options: Settings,
    companions: Vec<Companion>,
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
        self.options.supervision.workers = WorkerCount::Fixed(workers.max(1));
        self
    }

    /// The processes' titles: this for the master, `NAME worker-1` for a worker.
    #[must_use]
    pub fn process_name(mut self, name: impl Into<String>) -> Self {
        self.options.process.name = Some(name.into());
        self
    }

    /// How long requests in flight may take to finish when the server stops.
    #[must_use]
    pub fn graceful_timeout(mut self, timeout: Duration) -> Self {
        self.options.supervision.graceful_timeout = timeout;
        self
    }

    /// How long to serve on after SIGTERM, each answer ending its connection.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.options.supervision.drain_delay = delay;
        self
    }

    /// The age at which a worker is replaced; chance takes off up to a tenth.
    #[must_use]
    pub fn workers_lifetime(mut self, lifetime: Duration) -> Self {
        self.options.supervision.lifetime = Some(lifetime);
        self
    }

    /// The number of requests after which a worker is replaced; chance takes off up to a tenth.
    #[must_use]
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.options.supervision.max_requests = Some(requests.max(1));
        self
    }

    /// The memory of a worker (its proportional share) above which it is replaced, in KiB.
    #[must_use]
    pub fn workers_max_rss(mut self, kibibytes: u64) -> Self {
        self.options.supervision.max_memory = Some(ByteSize::kib(kibibytes));
        self
    }

    /// The least time between two such replacements.
    #[must_use]
    pub fn respawn_interval(mut self, interval: Duration) -> Self {
        self.options.supervision.respawn_interval = interval;
        self
    }

    /// How long a worker's loop may stand still before it is reported and replaced; zero is for ever.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.options.supervision.stall_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// How long a request may take until its response begins, before it is answered with 504.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.http.request_timeout = Some(timeout);
        self
    }

    /// A file for the master's process id, written when all workers serve.
    #[must_use]
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.process.pid_file = Some(path.into());
        self
    }

    /// How many connections may wait to be accepted.
    #[must_use]
    pub fn backlog(mut self, backlog: u16) -> Self {
        self.options.listen.backlog = backlog;
        self
    }

    /// The least important line that is logged.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.options.log.level = level;
        self
    }

    /// Logs nothing.
    #[must_use]
    pub fn no_log(mut self) -> Self {
        self.options.log.enabled = false;
        self
    }

    /// Runs a program beside the workers; not part of the interface yet.
    #[doc(hidden)]
    #[must_use]
    pub fn companion(mut self, name: &str, program: &str, args: &[&str]) -> Self {
        let id = u16::try_from(self.companions.len() + 1).unwrap_or(u16::MAX);
        self.companions.push(Companion {
            id: GroupId(id),
            name: name.to_owned(),
            program: program.into(),
            args: args.iter().map(Into::into).collect(),
            env: Vec::new(),
            graceful_timeout: Duration::from_secs(5),
        });
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
        if let Err(error) = logging::open(Destination::StandardError) {
            return Err(Error::Log { source: error });
        }
        logging::init(&self.options.log);
        if self.addresses.is_empty() {
            self.addresses.extend(self.options.listen.addresses().iter().map(Bind::to_string));
        }
        let mut predecessor =
            Predecessor::find().map_err(|source| Error::Bind { address: "(inherited)".into(), source })?;
        let mut listeners = Vec::new();
        for address in &self.addresses {
            let inherited = predecessor.as_mut().and_then(|before| before.take_listener(address));
            let (info, sockets) = match inherited {
                Some(inherited) => inherited,
                None => listen(address, i32::from(self.options.listen.backlog))?,
            };
            listeners.push(Listening { spec: address.clone(), info, sockets });
        }
        let worker = move |context: NativeWorkerContext| match adopt(context) {
            Ok(context) => hostler_worker::native::run(context, &make).code(),
            Err(error) => {
                tracing::error!(%error, "a worker could not begin");
                hostler_wire::ExitStatus::Boot.code()
            }
        };
        let plan = Plan {
            spec: GenerationSpec {
                companions: self.companions.clone(),
                ..GenerationSpec::new(self.settings(&listeners), Spawner::Native(Rc::new(worker)))
            },
            listeners,
            reload: None,
            owned_files: Vec::new(),
            log_file: None,
            pid_file: self.options.process.pid_file.clone(),
            command_line: CommandLine::own(),
            predecessor,
        };
        Ok(ExitCode::from(hostler_master::run(plan).code()))
    }

    fn settings(&self, listeners: &[Listening]) -> WorkerSettings {
        WorkerSettings {
            options: self.options.clone(),
            listeners: listeners.iter().map(Listening::settings).collect(),
            identity: Identity::default(),
        }
    }
}

fn adopt(context: NativeWorkerContext) -> io::Result<hostler_worker::WorkerContext> {
    let NativeWorkerContext { assignment, channel, stacks, board, shared, settings, master_pid } = context;
    let shared = hostler_worker::Shared::from_descriptors(shared)?;
    let page = hostler_sys::board::map_own(board, assignment.page)?.keep();
    Ok(hostler_worker::WorkerContext { assignment, page, channel, stacks, shared, settings, master_pid })
}

fn listen(address: &str, backlog: i32) -> Result<(ListenerInfo, Vec<OwnedFd>), Error> {
    let bind = || {
        let mut resolved = address.to_socket_addrs()?;
        let first: SocketAddr = resolved.next().ok_or_else(|| io::Error::other("the name has no address"))?;
        let socket = socket::bind_tcp(first, backlog)?;
        let bound = socket::tcp_address(&socket)?;
        hostler_sys::logging::listening(&bound);
        Ok((ListenerInfo::Tcp(bound), vec![socket]))
    };
    bind().map_err(|source| Error::Bind { address: address.to_owned(), source })
}
