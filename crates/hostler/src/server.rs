//! The builder of a native server.

use crate::{Request, observer};
use bytes::Bytes;
use hostler_master::{
    CommandLine, Control, ControlPlace, GenerationSpec, Listening, NativeWorkerContext, Plan, Predecessor,
    Spawner, TlsSource,
};
use hostler_settings::{
    Bind, ByteSize, Commas, Companion, ControlSocket, HostPattern, LogFormat, LogLevel, Metrics, OptionValue,
    Peer, ProxyProtocol, Rules, Settings, StaticMount, Unit, WorkerCount,
};
use hostler_sys::{
    beneath,
    logging::{self, Destination, access},
    socket, title,
};
use hostler_wire::{CompanionSpec, Identity, ListenerInfo, WorkerSettings};
use hostler_worker::WorkerContext;
use std::{
    error::Error as StdError,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tower::Service;

/// Why a server could not start. No worker has been forked then.
///
/// Its source is the system's error; nothing is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Standard error cannot be written to.
    #[error("cannot write the log")]
    Log {
        /// The error of dup(2).
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("cannot write the access log to {}", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// The error of open(2).
        source: io::Error,
    },
    /// A directory of static files cannot be entered.
    #[error("cannot serve files of {path}")]
    StaticFiles {
        /// As it was given to [`Server::static_files`].
        path: PathBuf,
        /// The error of open(2).
        source: io::Error,
    },
    /// A certificate or a key cannot be used.
    #[error("{what}: {}", cause.as_deref().unwrap_or("unknown"))]
    Tls {
        /// Which file.
        what: String,
        /// What is wrong with it.
        cause: Option<String>,
    },
    /// What was given as the address of a proxy is none.
    #[error("{peer} is no proxy: addresses, networks such as 10.0.0.0/8, unix: and * are")]
    Proxy {
        /// As it was given to [`Server::forwarded_allow_ips`] or [`Server::proxy_protocol`].
        peer: String,
    },
    /// There cannot be a control socket where [`Server::control_socket`] says.
    #[error("{what}: {cause}")]
    Control {
        /// The path.
        what: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// As it was given to [`Server::bind`] or [`Server::admin`]; `(inherited)` if the sockets of the master before this one were lost during
        /// an upgrade.
        address: String,
        /// The error of the look-up of the name, of bind(2) or of listen(2): in use, not permitted, not an address of this
        /// machine.
        source: io::Error,
    },
}

/// Builds and runs a server: a master process and its workers.
///
/// What is not set has the default of the option of the same name of the program `hostler`. Durations have a resolution of
/// a millisecond.
///
/// ```no_run
/// use std::time::Duration;
///
/// let server = hostler::Server::new()
///     .bind("[::]:8000")
///     .workers(std::thread::available_parallelism()?.get() as u16)
///     .graceful_timeout(Duration::from_secs(20))
///     .workers_lifetime(Duration::from_secs(24 * 3600))
///     .pid_file("/run/shop.pid");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Server {
    addresses: Vec<String>,
    options: Settings,
    companions: Vec<CompanionSpec>,
    /// The first proxy that is none.
    bad_proxy: Option<String>,
    /// The first address of the observer that is none.
    bad_admin: Option<String>,
}

impl Server {
    /// A server with one worker on 127.0.0.1:8000, until these are set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on this TCP address: `127.0.0.1:8000`, `[::1]:8000`, `localhost:0` (0 is any free port, which is logged). Of
    /// a name with several addresses it is the first. May be called several times.
    #[must_use]
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// The number of workers, 1 by default; 0 is taken as 1. `SIGTTIN` and `SIGTTOU` change it later.
    #[must_use]
    pub fn workers(mut self, workers: u16) -> Self {
        self.options.supervision.workers = WorkerCount::Fixed(workers.max(1));
        self
    }

    /// The titles of the processes, as `ps` shows them: this for the master, `NAME worker-1` for a worker. By default
    /// `hostler: master`, `hostler: worker 1`.
    #[must_use]
    pub fn process_name(mut self, name: impl Into<String>) -> Self {
        self.options.process.name = Some(name.into());
        self
    }

    /// How long requests in flight may take to finish when a worker stops, 30 s by default. Then their connections are
    /// closed.
    #[must_use]
    pub fn graceful_timeout(mut self, timeout: Duration) -> Self {
        self.options.supervision.graceful_timeout = timeout;
        self
    }

    /// How long to keep accepting after `SIGTERM`, each response closing its connection; 0 by default. For load balancers
    /// that need time to notice that this server goes away.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.options.supervision.drain_delay = delay;
        self
    }

    /// The age at which a worker is recycled, less a jitter of up to a tenth; unlimited by default.
    #[must_use]
    pub fn workers_lifetime(mut self, lifetime: Duration) -> Self {
        self.options.supervision.lifetime = Some(lifetime);
        self
    }

    /// The number of requests after which a worker is recycled, less a jitter of up to a tenth; unlimited by default, and 0
    /// is taken as 1.
    #[must_use]
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.options.supervision.max_requests = Some(requests.max(1));
        self
    }

    /// The memory in KiB above which a worker is recycled, as its proportional set size (PSS), measured every 30 s; unlimited
    /// by default.
    #[must_use]
    pub fn workers_max_rss(mut self, kibibytes: u64) -> Self {
        self.options.supervision.max_memory = Some(ByteSize::kib(kibibytes));
        self
    }

    /// The shortest time between two recycled workers, 3.5 s by default.
    #[must_use]
    pub fn respawn_interval(mut self, interval: Duration) -> Self {
        self.options.supervision.respawn_interval = interval;
        self
    }

    /// How long a service may block the loop of a worker before the worker is reported, killed and replaced; 30 s by
    /// default, and 0 disables it.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.options.supervision.stall_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// How long a request may take until its response begins; unlimited by default. Then the future of the service is
    /// dropped, and the response is a 504.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.http.request_timeout = Some(timeout);
        self
    }

    /// Serves the files of a directory beneath this path, before the service is asked: `.static_files("/static", "dist")`. May be
    /// called several times, and the longest path that matches wins. At `/` the service gets what has no file. Files are served as by
    /// the program `hostler` with its defaults: conditions, ranges, encoded files beside them.
    #[must_use]
    pub fn static_files(mut self, route: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        self.options.static_files.mounts.push(StaticMount::new(route.into(), directory.into()));
        self
    }

    /// Serves all addresses over TLS, with the certificate and the key in these files (PEM). May be called several times: clients
    /// get the certificate for the host that they ask for, or the first. Files that change are read again, and sessions are
    /// resumed at any worker, as by the program `hostler`.
    #[must_use]
    pub fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.options.tls.certificate.push(certificate.into());
        self.options.tls.keyfile.push(key.into());
        self
    }

    /// Believes what these proxies say of their clients in `X-Forwarded-…` and `Forwarded`: addresses, networks such as
    /// `10.0.0.0/8`, `unix:` for the clients of Unix sockets, `*` for everyone, separated by commas; without this call, those of
    /// this machine. What was said of a request is its [`Forwarded`](crate::Forwarded) and in its `ConnectionInfo`.
    #[must_use]
    pub fn forwarded_allow_ips(mut self, peers: &str) -> Self {
        self.options.proxy.trusted = self.peers(peers);
        self
    }

    /// Each connection of these peers, written as for [`Server::forwarded_allow_ips`], begins with the header of the PROXY
    /// protocol in this form; one without it is closed. Other peers send none.
    #[must_use]
    pub fn proxy_protocol(mut self, version: ProxyProtocol, peers: &str) -> Self {
        self.options.proxy.protocol = version;
        self.options.proxy.senders = self.peers(peers);
        self
    }

    fn peers(&mut self, text: &str) -> Commas<Peer> {
        let rules = Rules { min: 0, max: 0, unit: Unit::Base };
        Commas::read(&[text.to_owned()], &rules).unwrap_or_else(|bad| {
            self.bad_proxy.get_or_insert(bad.0);
            Commas(Vec::new())
        })
    }

    /// Where a process of its own serves a dashboard, `/metrics`, `/status.json` and the probes `/livez`, `/readyz`, `/startupz`:
    /// `127.0.0.1:9090`, `unix:/run/shop/admin.sock` or `unix:@shop-admin`; nowhere by default. May be called several times. It shows
    /// paths and addresses of clients, to everybody who can connect.
    #[must_use]
    pub fn admin(mut self, address: impl AsRef<str>) -> Self {
        match Bind::parse(address.as_ref(), &Metrics::admin().rules) {
            Some(bind @ (Bind::Tcp { .. } | Bind::Unix(_))) => self.options.metrics.admin.push(bind),
            _ => drop(self.bad_admin.get_or_insert(address.as_ref().to_owned())),
        }
        self
    }

    /// Names by which browsers may ask [`Server::admin`] for the dashboard and `/status.json`, beside IP addresses and names without a
    /// dot: `metrics.example.com`, `.example.com` for all below it, `*` for any, separated by commas.
    #[must_use]
    pub fn admin_hosts(mut self, hosts: &str) -> Self {
        let names = hosts.split(',').map(str::trim).filter(|name| !name.is_empty());
        self.options.metrics.admin_hosts.0.extend(names.map(HostPattern::exactly));
        self
    }

    /// How many workers have to serve for `/readyz` to say that the server is ready, 1 by default.
    #[must_use]
    pub fn ready_workers(mut self, workers: u16) -> Self {
        self.options.metrics.ready_workers = workers.max(1);
        self
    }

    /// A file for the process id of the master, written when all workers serve, and removed at the end; none by default.
    #[must_use]
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.process.pid_file = Some(path.into());
        self
    }

    /// The Unix socket on which `hostler ctl` is answered; by default it is in /run/hostler, $XDG_RUNTIME_DIR/hostler or
    /// /tmp/hostler-UID.
    #[must_use]
    pub fn control_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.process.control_socket = ControlSocket::Path(path.into());
        self
    }

    /// Without a control socket: `hostler ctl` cannot reach this server.
    #[must_use]
    pub fn no_control_socket(mut self) -> Self {
        self.options.process.control_socket = ControlSocket::Off;
        self
    }

    /// How many connections may wait to be accepted on each address, 1024 by default (listen(2)).
    #[must_use]
    pub fn backlog(mut self, backlog: u16) -> Self {
        self.options.listen.backlog = backlog;
        self
    }

    /// The lowest level that is logged to standard error, `Info` by default.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.options.log.level = level;
        self
    }

    /// How lines of the log are written: as text, the default, or each as one JSON object. A JSON log makes the access log
    /// JSON, too, unless that has a format of its own.
    #[must_use]
    pub fn log_format(mut self, format: LogFormat) -> Self {
        self.options.log.format = format;
        self
    }

    /// Disables logging.
    #[must_use]
    pub fn no_log(mut self) -> Self {
        self.options.log.enabled = false;
        self
    }

    /// The most threads of a worker for blocking work: `tokio::task::spawn_blocking`, and what is built on it, such as
    /// `tokio::fs`. More of it waits for one that is free. 512, tokio's, by default.
    #[must_use]
    pub fn runtime_blocking_threads(mut self, threads: u16) -> Self {
        self.options.runtime.blocking_threads = Some(threads.max(1));
        self
    }

    /// Appends a line for each request to this file, `-` for standard output, when its response is complete; SIGUSR1 reopens
    /// the file. There is none by default.
    #[must_use]
    pub fn access_log(mut self, file: impl Into<PathBuf>) -> Self {
        self.options.log.access = true;
        self.options.log.access_file = Some(file.into());
        self
    }

    /// The format of these lines: `common`, `combined` (the default), `json`, or a text with `%(name)s`, as with
    /// `--access-log-fmt`.
    #[must_use]
    pub fn access_log_format(mut self, format: impl Into<String>) -> Self {
        self.options.log.access_format = Some(format.into());
        self
    }

    /// Compresses responses of text and the like with zstd, gzip or brotli, as clients prefer, unless the service has done so; by
    /// default none is. As with `--compress`: from 1 KiB on, neither event streams nor ranges.
    #[must_use]
    pub fn compress(mut self) -> Self {
        self.options.compress.enabled = true;
        self
    }

    /// How hard to try, from 1 (fast) to 9 (small), as with `--compress-level`; 3 for zstd, 4 for brotli and 5 for gzip by default.
    #[must_use]
    pub fn compress_level(mut self, level: u8) -> Self {
        self.options.compress.level = Some(level.clamp(1, 9));
        self
    }

    /// Runs a program beside the workers; not part of the interface yet.
    #[doc(hidden)]
    #[must_use]
    pub fn companion(mut self, name: &str, program: &str, args: &[&str]) -> Self {
        let command = [program].iter().chain(args).map(|word| (*word).to_owned()).collect();
        self.companions.push(CompanionSpec {
            companion: Companion::new(name, command),
            identity: Identity::default(),
            directory: None,
            env: Vec::new(),
        });
        self
    }

    /// Makes this process the master, and serves until a signal stops it. `make` runs once in each worker, inside its tokio
    /// runtime; each request is handled by a clone of the service it returns. See [the crate](crate#processes) for what
    /// must not happen before this call.
    ///
    /// The exit code is 0 after a stop by a signal, 3 if no worker could start, 1 after other failures; `main` should return
    /// it.
    ///
    /// # Errors
    /// When an address cannot be bound, or standard error cannot be logged to. Later failures are logged, and show in the
    /// exit code.
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
        logging::follow(&self.options.log);
        self.open_access_log()?;
        for mount in &self.options.static_files.mounts {
            beneath::check(&mount.path)
                .map_err(|source| Error::StaticFiles { path: mount.path.clone(), source })?;
        }
        if let Some(peer) = self.bad_proxy {
            return Err(Error::Proxy { peer });
        }
        if self.addresses.is_empty() {
            self.addresses.extend(self.options.listen.addresses().iter().map(Bind::to_string));
        }
        let tls = self.certificates()?;
        let mut predecessor =
            Predecessor::find().map_err(|source| Error::Bind { address: "(inherited)".into(), source })?;
        let mut listeners = Vec::new();
        for address in &self.addresses {
            let inherited = predecessor.as_mut().and_then(|before| before.take_listener(address));
            let (info, sockets) = match inherited {
                Some(inherited) => inherited,
                None => listen(address, self.options.listen.backlog)?,
            };
            listeners.push(Listening { spec: address.clone(), info, sockets, tls: tls.is_some() });
        }
        if let Some(address) = self.bad_admin {
            let text = "it is no address of the form HOST:PORT or unix:PATH";
            return Err(Error::Bind { address, source: io::Error::new(io::ErrorKind::InvalidInput, text) });
        }
        let (admin, owned_files) = observer::listen(&self.options.metrics, predecessor.as_mut())?;
        let control = self.open_control(predecessor.is_some()).inspect_err(|_| {
            owned_files.iter().for_each(|file| drop(file.remove()));
        })?;
        let worker = move |context: NativeWorkerContext| match adopt(context) {
            Ok(context) => hostler_worker::native::run(context, &make).code(),
            Err(error) => {
                tracing::error!(%error, "a worker could not start");
                hostler_wire::ExitStatus::Boot.code()
            }
        };
        let plan = Plan {
            admin,
            spec: GenerationSpec {
                companions: self.companions.clone(),
                companion_watcher: Some(Rc::new(|channel| hostler_companion::run_forked(channel).code())),
                tls,
                observer: observer::observer(&self.options.metrics),
                ..GenerationSpec::new(self.settings(&listeners), Spawner::Native(Rc::new(worker)))
            },
            listeners,
            reread: None,
            owned_files,
            log_file: None,
            access_log: self.options.log.access_destination().map(std::path::Path::to_owned),
            pid_file: self.options.process.pid_file.clone(),
            command_line: CommandLine::own(),
            control,
            predecessor,
        };
        Ok(ExitCode::from(hostler_master::run(plan).code()))
    }

    fn open_control(&self, replaces: bool) -> Result<Control, Error> {
        let option = &self.options.process.control_socket;
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let opened = ControlPlace { option, variable: &variable, replaces }.open();
        opened.map_err(|failure| Error::Control {
            what: failure.message,
            cause: failure.cause.unwrap_or_default(),
        })
    }

    fn open_access_log(&self) -> Result<(), Error> {
        let Some(path) = self.options.log.access_destination() else { return Ok(()) };
        access::open(path)
            .and_then(access::write_to)
            .map_err(|source| Error::AccessLog { path: path.to_owned(), source })
    }

    fn certificates(&self) -> Result<Option<TlsSource>, Error> {
        let options = self.options.tls.clone();
        let loaded = hostler_tls::load(&options, SystemTime::now(), &|path| std::fs::read(path))
            .map_err(|failure| Error::Tls { what: failure.message, cause: failure.cause })?;
        Ok(loaded.map(|loaded| {
            loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            TlsSource { options, loaded }
        }))
    }

    fn settings(&self, listeners: &[Listening]) -> WorkerSettings {
        WorkerSettings {
            options: self.options.clone(),
            listeners: listeners.iter().map(Listening::settings).collect(),
            identity: Identity::default(),
            failure: None,
        }
    }
}

fn adopt(context: NativeWorkerContext) -> io::Result<WorkerContext> {
    let NativeWorkerContext { assignment, descriptors, settings, master_pid } = context;
    WorkerContext::from_bundle(assignment, descriptors, settings, master_pid)
}

fn listen(address: &str, backlog: u16) -> Result<(ListenerInfo, Vec<OwnedFd>), Error> {
    let bound = socket::resolve(address)
        .and_then(|first| socket::listen_tcp(first, i32::from(backlog), 1, socket::Families::Default));
    match bound {
        Ok((address, sockets)) => Ok((ListenerInfo::Tcp(address), sockets)),
        Err(source) => Err(Error::Bind { address: address.to_owned(), source }),
    }
}
