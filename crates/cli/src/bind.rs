//! Binding the listening sockets, with errors that say what to do.

use hostler_config::Config;
use hostler_master::{Listening, Predecessor};
use hostler_settings::{Accept, Bind};
use hostler_sys::{own_file::OwnFile, socket};
use hostler_wire::{ExitStatus, Failure, ListenerInfo, MAX_LISTENING_SOCKETS};
use std::{io, os::fd::OwnedFd, path::Path};
use tracing::warn;

/// The listeners of this server.
#[derive(Default)]
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Listening>,
    /// Unix sockets that this server created and removes at the end.
    pub(crate) files: Vec<OwnFile>,
}

/// Binds the configured addresses, except those whose sockets are inherited from a predecessor.
pub(crate) fn all(config: &Config, predecessor: Option<&mut Predecessor>) -> Result<Bound, Failure> {
    let mut bound = Bound::default();
    let mut wanted = config.settings.listen.addresses();
    match predecessor {
        Some(predecessor) => bound.inherit(predecessor, &mut wanted, config)?,
        None => use_activated(&mut wanted, config),
    }
    for bind in &wanted {
        if let Err(failure) = bound.add(bind, config) {
            bound.unmake();
            let twice = bound.listeners.iter().any(|bound| bound.spec == bind.to_string());
            return Err(if twice { failure.hint("this address is given twice") } else { failure });
        }
    }
    let sockets: usize = bound.listeners.iter().map(|listener| listener.sockets.len()).sum();
    if sockets > MAX_LISTENING_SOCKETS {
        bound.unmake();
        let failure = Failure::new(ExitStatus::Config, format!("{sockets} listening sockets are too many"));
        return Err(failure
            .because(format!("no more than {MAX_LISTENING_SOCKETS} can be passed to workers"))
            .hint("use --accept shared, which needs one per address"));
    }
    Ok(bound)
}

/// Without configured addresses those that systemd passed are listened on.
fn use_activated(wanted: &mut Vec<Bind>, config: &Config) {
    let mut passed: Vec<Bind> = activated().into_iter().map(Bind::Descriptor).collect();
    if !config.binds_chosen && !passed.is_empty() {
        *wanted = passed;
        return;
    }
    passed.retain(|socket| !wanted.contains(socket));
    if !passed.is_empty() {
        let sockets = passed.iter().map(Bind::to_string).collect::<Vec<_>>().join(", ");
        warn!(sockets, "passed sockets are not listened on: other addresses are configured");
    }
}

/// The sockets that systemd passed to this process (sd_listen_fds(3)).
fn activated() -> Vec<i32> {
    let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).filter(|_| ours);
    // SD_LISTEN_FDS_START
    (3..3 + count.unwrap_or(0)).collect()
}

impl Bound {
    /// Takes over the predecessor's listeners: those of the wanted addresses, or, if none are configured, those that a
    /// service manager passed to it.
    fn inherit(
        &mut self,
        predecessor: &mut Predecessor,
        wanted: &mut Vec<Bind>,
        config: &Config,
    ) -> Result<(), Failure> {
        let passed = if config.binds_chosen { Vec::new() } else { predecessor.take_activated() };
        if !passed.is_empty() {
            wanted.clear();
        }
        self.listeners.extend(passed.into_iter().map(|(spec, info, sockets)| Listening {
            spec,
            info,
            sockets,
        }));
        wanted.retain(|bind| match predecessor.take_listener(&bind.to_string()) {
            Some((info, sockets)) => {
                tell_kept_sockets(&info, sockets.len(), config);
                self.listeners.push(Listening { spec: bind.to_string(), info, sockets });
                false
            }
            None => true,
        });
        match wanted.iter().find(|bind| matches!(bind, Bind::Descriptor(_))) {
            Some(bind) => Err(not_passed(bind)),
            None => Ok(()),
        }
    }

    /// Removes the Unix sockets created here after a failure; those of a predecessor stay.
    fn unmake(&self) {
        for file in &self.files {
            let _ = file.remove();
        }
    }

    fn add(&mut self, bind: &Bind, config: &Config) -> Result<(), Failure> {
        let spec = bind.to_string();
        let (info, sockets) = match bind {
            Bind::Tcp { host, port } => tcp(host, *port, backlog(config), sockets_per_listener(config))?,
            Bind::Unix(path) => single(self.unix(path, config)?),
            Bind::Descriptor(number) => single(descriptor(*number, backlog(config))?),
        };
        self.listeners.push(Listening { spec, info, sockets });
        Ok(())
    }

    fn unix(&mut self, path: &Path, config: &Config) -> Result<(ListenerInfo, OwnedFd), Failure> {
        let shown = format!("unix:{}", path.display());
        // Absolute, because --working-dir changes the directory of workers.
        let path = std::path::absolute(path).map_err(|error| refused(&shown, &error, 0))?;
        let mode = config.settings.listen.uds_permissions.map(|mode| mode.0);
        let (socket, made) =
            socket::bind_unix(&path, mode, backlog(config)).map_err(|error| refused(&shown, &error, 0))?;
        hostler_sys::logging::listening(&shown);
        self.files.push(made);
        Ok((ListenerInfo::Unix(path), socket))
    }
}

fn single((info, socket): (ListenerInfo, OwnedFd)) -> (ListenerInfo, Vec<OwnedFd>) {
    (info, vec![socket])
}

/// One socket for all workers, or one for each.
pub(crate) fn sockets_per_listener(config: &Config) -> u16 {
    match config.settings.listen.accept {
        Accept::Shared => 1,
        Accept::PerWorker => hostler_master::worker_count(config.settings.supervision.workers),
    }
}

fn backlog(config: &Config) -> i32 {
    i32::from(config.settings.listen.backlog)
}

fn tcp(host: &str, port: u16, backlog: i32, count: u16) -> Result<(ListenerInfo, Vec<OwnedFd>), Failure> {
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let address = socket::resolve((host, port)).map_err(|error| unresolved(&shown, &error))?;
    let bound = socket::listen_tcp(address, backlog, count).map_err(|error| refused(&shown, &error, port))?;
    Ok((ListenerInfo::Tcp(bound.0), bound.1))
}

fn descriptor(number: i32, backlog: i32) -> Result<(ListenerInfo, OwnedFd), Failure> {
    let shown = format!("fd://{number}");
    let (socket, info) = socket::adopt(number, backlog).map_err(|error| refused(&shown, &error, 0))?;
    hostler_sys::logging::listening(&info);
    Ok((info, socket))
}

/// Connections wait in the queues of the old server's sockets: an upgrade changes neither their number nor how they share.
fn tell_kept_sockets(info: &ListenerInfo, sockets: usize, config: &Config) {
    let wanted = sockets_per_listener(config);
    if matches!(info, ListenerInfo::Tcp(_)) && (sockets > 1) != (wanted > 1) {
        warn!(address = %info, sockets, wanted, "--accept takes effect with a start: the sockets of the old server are kept");
    }
}

fn not_passed(bind: &Bind) -> Failure {
    Failure::new(ExitStatus::Failed, format!("cannot listen on {bind}"))
        .because("the server that is to be replaced does not have this socket")
        .hint("a socket is passed at a start only: stop the server, and start it with the socket")
}

fn unresolved(address: &str, error: &io::Error) -> Failure {
    cannot_listen(address, error)
        .hint("--host takes an address of this machine or a name that resolves to one")
}

fn refused(address: &str, error: &io::Error, port: u16) -> Failure {
    let failure = cannot_listen(address, error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.hint(
            "another program, or another hostler, listens there; stop it or choose another address",
        ),
        io::ErrorKind::PermissionDenied if (1..1024).contains(&port) => failure.hint(
            "ports below 1024 need CAP_NET_BIND_SERVICE: use a port from 1024 on, let systemd bind it, or grant the capability",
        ),
        io::ErrorKind::AddrNotAvailable => failure
            .hint("this machine does not have that address; 0.0.0.0 and [::] stand for all of its addresses"),
        _ => failure,
    }
}

fn cannot_listen(address: &str, error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, format!("cannot listen on {address}")).because(error.to_string())
}
