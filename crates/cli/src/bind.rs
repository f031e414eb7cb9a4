//! Binding the listening sockets, with errors that say what to do.

use crate::admin;
use hostler_config::Config;
use hostler_master::{Listening, OPEN_TO_ALL, Predecessor};
use hostler_settings::{Accept, Bind, Tls};
use hostler_sys::{
    identity::{find_group, find_user},
    own_file::OwnFile,
    socket::{self, Access, Families},
};
use hostler_wire::{ExitStatus, Failure, ListenerInfo, MAX_LISTENING_SOCKETS};
use std::{
    io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};
use tracing::warn;

/// The listeners of this server.
#[derive(Default)]
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Listening>,
    /// The observer's.
    pub(crate) admin: Vec<Listening>,
    /// Unix sockets that this server created and removes at the end.
    pub(crate) files: Vec<OwnFile>,
}

/// Binds the configured addresses, except those whose sockets are inherited from a predecessor.
pub(crate) fn all(config: &Config, predecessor: Option<&mut Predecessor>) -> Result<Bound, Failure> {
    let mut bound = Bound::default();
    let mut wanted = addresses(config);
    match predecessor {
        Some(predecessor) => bound.inherit(predecessor, &mut wanted, config)?,
        None => use_activated(&mut wanted, config),
    }
    for bind in &wanted {
        if let Err(failure) = bound.add_another(bind, config) {
            bound.unmake();
            return Err(failure);
        }
    }
    for listener in &mut bound.listeners {
        listener.tls = is_tls(&listener.spec, &config.settings.tls);
    }
    match bound.too_many(config) {
        Some(failure) => {
            bound.unmake();
            Err(failure)
        }
        None => Ok(bound),
    }
}

/// An address, and how it went.
pub(crate) type Tried = (Bind, Result<(), Failure>);

/// Binds each of the configured addresses, and closes it; how that went with each, and with all of them together. Sockets that a
/// service manager passes are there at a start only: those that this process has are looked at.
pub(crate) fn each(config: &Config) -> (Vec<Tried>, Option<Failure>) {
    let mut bound = Bound::default();
    let try_one = |bind: Bind| {
        let tried = match bind {
            Bind::Descriptor(number) => bound.look_at(number),
            _ => bound.add_another(&bind, config),
        };
        (bind, tried)
    };
    let mut outcomes: Vec<_> = addresses(config).into_iter().map(try_one).collect();
    for bind in config.settings.metrics.addresses() {
        let tried = admin::listen(&bind, &mut bound).map(|(info, socket)| {
            let (spec, sockets) = (bind.to_string(), vec![socket]);
            bound.admin.push(Listening { spec, info, sockets, tls: false });
        });
        outcomes.push((bind, tried));
    }
    let too_many = bound.too_many(config);
    bound.unmake();
    (outcomes, too_many)
}

/// What an address has to do with one that is listened on already, if that may be why it cannot be.
pub(crate) fn overlap(before: &str, address: &str) -> Option<String> {
    if before == address {
        return Some("this address is given twice".into());
    }
    let (first, second): (SocketAddr, SocketAddr) = (before.parse().ok()?, address.parse().ok()?);
    let includes = first.ip().is_unspecified() || second.ip().is_unspecified();
    let message = || format!("{before} is given as well, and one of the two includes the other");
    (includes && first.port() == second.port() && first.port() != 0).then(message)
}

/// What is to be listened on: with `--ssl-bind` that, and other addresses only if they were chosen.
fn addresses(config: &Config) -> Vec<Bind> {
    let tls = &config.settings.tls.bind;
    let mut wanted = match tls.is_empty() || config.plain_binds_chosen {
        true => config.settings.listen.addresses(),
        false => Vec::new(),
    };
    wanted.extend_from_slice(tls);
    wanted
}

/// Whether an address is served over TLS.
fn is_tls(spec: &str, tls: &Tls) -> bool {
    match tls.bind.is_empty() {
        true => !tls.certificate.is_empty(),
        false => tls.bind.iter().any(|bind| bind.to_string() == spec),
    }
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
            tls: false,
        }));
        let access = access(config)?;
        wanted.retain(|bind| {
            let (spec, before) = (bind.to_string(), self.listeners.len());
            // A name has as many as it had addresses.
            while let Some((info, sockets)) = predecessor.take_listener(&spec) {
                tell_kept_sockets(&info, sockets.len(), config);
                tell_access(&info, access);
                self.listeners.push(Listening { spec: spec.clone(), info, sockets, tls: false });
            }
            self.listeners.len() == before
        });
        match wanted.iter().find(|bind| matches!(bind, Bind::Descriptor(_))) {
            Some(bind) => Err(not_passed(bind)),
            None => Ok(()),
        }
    }

    /// Looks at a socket that is to be passed to the server, if this process has it: another one may at the start.
    fn look_at(&mut self, number: i32) -> Result<(), Failure> {
        let spec = format!("fd://{number}");
        match socket::passed(number) {
            Ok(None) => {
                warn!(
                    address = spec,
                    "not tried: this process was not passed that socket, as the server is to be"
                );
                Ok(())
            }
            Ok(Some((copy, info))) => {
                self.listeners.push(Listening { spec, info, sockets: vec![copy], tls: false });
                Ok(())
            }
            Err(error) => Err(refused(&spec, &error, 0)),
        }
    }

    /// Whether these are more sockets than workers can be given.
    fn too_many(&self, config: &Config) -> Option<Failure> {
        let sockets: usize = self.listeners.iter().map(|listener| listener.sockets.len()).sum();
        (sockets + config.settings.metrics.addresses().len() > MAX_LISTENING_SOCKETS).then(|| {
            Failure::new(ExitStatus::Config, format!("{sockets} listening sockets are too many"))
                .because(format!("no more than {MAX_LISTENING_SOCKETS} can be passed to workers"))
                .hint("use --accept shared, which needs one per address")
        })
    }

    /// Removes the Unix sockets created here after a failure; those of a predecessor stay.
    pub(crate) fn unmake(&self) {
        for file in &self.files {
            let _ = file.remove();
        }
    }

    /// Binds an address beside those before it.
    fn add_another(&mut self, bind: &Bind, config: &Config) -> Result<(), Failure> {
        let before = self.listeners.iter().find_map(|before| overlap(&before.spec, &bind.to_string()));
        let added = match (bind, &before) {
            // The kernel would allow it, but it cannot be served with TLS and without.
            (Bind::Descriptor(_), Some(_)) => {
                Err(cannot_listen(&bind.to_string(), &io::ErrorKind::AddrInUse.into()))
            }
            _ => self.add(bind, config),
        };
        added.map_err(|failure| match before {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }

    fn add(&mut self, bind: &Bind, config: &Config) -> Result<(), Failure> {
        let bound = match bind {
            Bind::Tcp { host, port } => tcp(host, port.unwrap_or(config.settings.listen.port), config)?,
            Bind::Unix(path) => single(self.unix(path, config)?),
            Bind::Descriptor(number) => single(descriptor(*number, backlog(config))?),
        };
        let spec = bind.to_string();
        let listening = |(info, sockets)| Listening { spec: spec.clone(), info, sockets, tls: false };
        self.listeners.extend(bound.into_iter().map(listening));
        Ok(())
    }

    fn unix(&mut self, path: &Path, config: &Config) -> Result<(ListenerInfo, OwnedFd), Failure> {
        let shown = format!("unix:{}", path.display());
        let access = access(config)?;
        if let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") {
            let socket =
                socket::bind_abstract(name, backlog(config)).map_err(|error| refused(&shown, &error, 0))?;
            hostler_sys::logging::listening(&shown);
            if access != Access::default() {
                warn!(address = shown, "{OPEN_TO_ALL}");
            }
            return Ok((ListenerInfo::Unix(path.to_owned()), socket));
        }
        // Absolute, because --working-dir changes the directory of workers.
        let path = std::path::absolute(path).map_err(|error| refused(&shown, &error, 0))?;
        let bound = socket::bind_unix(&path, access, backlog(config));
        let (socket, made) = bound.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied if access.user.or(access.group).is_some() => {
                refused(&shown, &error, 0)
                    .hint("--uds-owner needs root, and --uds-group a group of this user")
            }
            _ => refused(&shown, &error, 0),
        })?;
        hostler_sys::logging::listening(&shown);
        self.files.push(made);
        Ok((ListenerInfo::Unix(path), socket))
    }
}

type Listeners = Vec<(ListenerInfo, Vec<OwnedFd>)>;

fn single((info, socket): (ListenerInfo, OwnedFd)) -> Listeners {
    vec![(info, vec![socket])]
}

/// Mode, owner and group of Unix sockets.
fn access(config: &Config) -> Result<Access, Failure> {
    let listen = &config.settings.listen;
    let unknown = |option: &str, text: &str| {
        Failure::new(ExitStatus::Config, format!("invalid value '{text}' for --{option}"))
            .because("there is no such user or group")
            .hint("name one of /etc/passwd or /etc/group, or a number")
    };
    let user = listen
        .uds_owner
        .as_deref()
        .map(|text| find_user(text).map(|account| account.user).map_err(|_| unknown("uds-owner", text)));
    let group =
        listen.uds_group.as_deref().map(|text| find_group(text).map_err(|_| unknown("uds-group", text)));
    let mode = listen.uds_permissions.map(|mode| mode.0);
    Ok(Access { mode, user: user.transpose()?, group: group.transpose()? })
}

/// Sets mode, owner and group of a socket of the old server.
fn tell_access(info: &ListenerInfo, access: Access) {
    if let ListenerInfo::Unix(path) = info
        && path.is_absolute()
        && let Err(error) = access.apply(path)
    {
        warn!(address = %info, %error, "the owner or mode of a Unix socket cannot be changed");
    }
}

/// One socket for all workers, or one for each.
pub(crate) fn sockets_per_listener(config: &Config) -> u16 {
    match config.settings.listen.accept {
        Accept::Shared => 1,
        Accept::PerWorker => hostler_master::worker_bounds(config.settings.supervision.workers).most,
    }
}

fn backlog(config: &Config) -> i32 {
    i32::from(config.settings.listen.backlog)
}

/// All addresses of a host.
fn tcp(host: &str, port: u16, config: &Config) -> Result<Listeners, Failure> {
    let shown = Bind::Tcp { host: host.to_owned(), port: Some(port) }.to_string();
    let addresses = socket::resolve_all((host, port)).map_err(|error| unresolved(&shown, &error))?;
    let mut attempts = 1..=PORT_ATTEMPTS;
    loop {
        let more = attempts.next().is_some() && port == 0 && addresses.len() > 1;
        match each_address(&addresses, config) {
            // The port that the system chose for one address is taken at another.
            Err(error) if more && error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound.map_err(|error| refused(&shown, &error, port)),
        }
    }
}

/// How often the system is asked for a port that is free at all addresses of a name.
const PORT_ATTEMPTS: usize = 20;

/// Those of a name that this machine does not have are left out, unless it has none of them.
fn each_address(addresses: &[SocketAddr], config: &Config) -> io::Result<Listeners> {
    let (mut bound, mut missing): (Listeners, _) = (Vec::new(), None);
    for address in addresses {
        let mut address = *address;
        if let (0, Some((ListenerInfo::Tcp(first), _))) = (address.port(), bound.first()) {
            address.set_port(first.port());
        }
        match socket::listen_tcp(
            address,
            backlog(config),
            sockets_per_listener(config),
            families(address, config),
        ) {
            Ok((address, sockets)) => bound.push((ListenerInfo::Tcp(address), sockets)),
            Err(error) if socket::is_not_ours(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// A socket on `[::]` leaves IPv4 to one on 0.0.0.0 with the same port.
fn families(address: SocketAddr, config: &Config) -> Families {
    let all = addresses(config);
    let beside = all.iter().any(
        |bind| matches!(bind, Bind::Tcp { host, port } if host == "0.0.0.0" && *port == Some(address.port())),
    );
    if address.ip().is_unspecified() && beside { Families::V6Only } else { Families::Default }
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

pub(crate) fn unresolved(address: &str, error: &io::Error) -> Failure {
    cannot_listen(address, error).hint("use an address of this machine, or a name that resolves to one")
}

pub(crate) fn refused(address: &str, error: &io::Error, port: u16) -> Failure {
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
