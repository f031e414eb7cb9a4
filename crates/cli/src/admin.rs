//! The observer: its addresses, and how it is started.

use crate::bind::{Bound, overlap, refused, unresolved};
use hostler_config::Config;
use hostler_master::{Listening, Observer, Predecessor};
use hostler_settings::{Bind, Settings};
use hostler_sys::socket::{self, Access, Families};
use hostler_wire::{Failure, ListenerInfo, OtlpSettings};
use std::{
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};
use tracing::info;

/// Connections that may wait for the observer.
const BACKLOG: i32 = 64;
/// Who may connect to a Unix socket of the observer: it shows what clients ask for.
const MODE: u32 = 0o600;

/// What the observer is to be; `None` if it has no address.
pub(crate) fn observer(config: &Config) -> Option<Observer> {
    let metrics = &config.settings.metrics;
    let otlp = otlp(config);
    (!metrics.addresses().is_empty() || otlp.is_some()).then(|| Observer {
        otlp,
        ready_workers: u32::from(metrics.ready_workers),
        hosts: metrics.hosts(),
        measure_interval: metrics.scrape_interval,
    })
}

/// Where metrics are exported to. That it is a URL was checked with the configuration.
fn otlp(config: &Config) -> Option<OtlpSettings> {
    let Settings { metrics, process, app, .. } = &config.settings;
    let endpoint = metrics.otlp_endpoint.clone()?;
    let (authority, path) = hostler_config::otlp_parts(&endpoint)?;
    let service = process.name.as_deref().or(app.target.as_deref()).unwrap_or("hostler").to_owned();
    Some(OtlpSettings { authority, path, endpoint, interval: metrics.otlp_interval, service })
}

/// Binds the observer's addresses beside those of the server, except those that are inherited.
pub(crate) fn add(
    mut bound: Bound,
    config: &Config,
    mut predecessor: Option<&mut Predecessor>,
) -> Result<Bound, Failure> {
    for bind in config.settings.metrics.addresses() {
        let spec = bind.to_string();
        let inherited = predecessor.as_mut().and_then(|old| old.take_admin(&spec));
        let (info, sockets) = match inherited {
            Some(inherited) => inherited,
            None => match listen(&bind, &mut bound) {
                Ok((info, socket)) => (info, vec![socket]),
                Err(failure) => {
                    let before = bound.listeners.iter().find_map(|before| overlap(&before.spec, &spec));
                    bound.unmake();
                    return Err(match before {
                        Some(_) => {
                            failure.hint("the server itself listens there: --admin needs another address")
                        }
                        None => failure,
                    });
                }
            },
        };
        info!(admin = %info, "observer listening");
        bound.admin.push(Listening { spec, info, sockets, tls: false });
    }
    Ok(bound)
}

pub(crate) fn listen(bind: &Bind, bound: &mut Bound) -> Result<(ListenerInfo, OwnedFd), Failure> {
    let shown = bind.to_string();
    match bind {
        Bind::Tcp { host, port } => {
            let port = port.unwrap_or(0);
            let addresses =
                socket::resolve_all((host.as_str(), port)).map_err(|error| unresolved(&shown, &error))?;
            let mut last = io::ErrorKind::AddrNotAvailable.into();
            for address in addresses {
                match socket::listen_quietly(address, BACKLOG, Families::Default) {
                    Ok((address, socket)) => return Ok((ListenerInfo::Tcp(address), socket)),
                    // A name may stand for addresses that this machine does not have.
                    Err(error) => last = error,
                }
            }
            Err(refused(&shown, &last, port))
        }
        Bind::Unix(path) => unix(path, &shown, bound).map_err(|error| refused(&shown, &error, 0)),
        // Refused with the configuration.
        Bind::Descriptor(_) => Err(refused(&shown, &io::ErrorKind::Unsupported.into(), 0)),
    }
}

fn unix(path: &Path, shown: &str, bound: &mut Bound) -> io::Result<(ListenerInfo, OwnedFd)> {
    if let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") {
        let socket = socket::bind_abstract(name, BACKLOG)?;
        tracing::warn!(address = shown, "{}", crate::bind::OPEN_TO_ALL);
        return Ok((ListenerInfo::Unix(path.to_owned()), socket));
    }
    let path = std::path::absolute(path)?;
    let access = Access { mode: Some(MODE), ..Access::default() };
    let (socket, made) = socket::bind_unix(&path, access, BACKLOG)?;
    bound.files.push(made);
    Ok((ListenerInfo::Unix(path), socket))
}
