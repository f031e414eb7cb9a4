//! The observer: its addresses, and how it is started.

use crate::bind::{Bound, overlap, refused, unresolved};
use hostler_config::Config;
use hostler_master::{AdminError, AdminSocket, Listening, Observer, ObserverProgram, Predecessor};
use hostler_settings::{Bind, Settings};
use hostler_wire::{Failure, ListenerInfo, OtlpSettings};
use std::os::fd::OwnedFd;
use tracing::info;

/// What the observer is to be; `None` if it has no address.
pub(crate) fn observer(config: &Config) -> Option<Observer> {
    let metrics = &config.settings.metrics;
    let otlp = otlp(config);
    (!metrics.addresses().is_empty() || otlp.is_some()).then(|| Observer {
        program: ObserverProgram::Own,
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
    let (shown, port) =
        (bind.to_string(), if let Bind::Tcp { port, .. } = bind { port.unwrap_or(0) } else { 0 });
    let AdminSocket { info, socket, file } = AdminSocket::listen(bind).map_err(|error| match error {
        AdminError::Name(error) => unresolved(&shown, &error),
        AdminError::Listen(error) => refused(&shown, &error, port),
    })?;
    bound.files.extend(file);
    Ok((info, socket))
}
