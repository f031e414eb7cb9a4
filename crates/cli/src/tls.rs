//! Certificates at the start and at a reload.

use hostler_config::Reading;
use hostler_master::TlsSource;
use hostler_settings::Tls;
use hostler_wire::{ExitStatus, Failure, ListenerSettings};
use std::time::SystemTime;
use tracing::{debug, warn};

/// Reads the certificates that are configured.
pub(crate) fn load(options: &Tls, reading: Reading) -> Result<Option<TlsSource>, Failure> {
    let loaded = hostler_tls::load(options, SystemTime::now(), &|path| reading.bytes(path))?;
    Ok(loaded.map(|loaded| {
        loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
        TlsSource { options: options.clone(), loaded }
    }))
}

/// Reads them for a reload, which changes no listener.
pub(crate) fn load_again(
    options: &Tls,
    listeners: &[ListenerSettings],
) -> Result<Option<TlsSource>, Failure> {
    let certificates = load(options, Reading::Again)?;
    let served = listeners.iter().any(|listener| listener.tls);
    match &certificates {
        None if served => Err(Failure::new(
            ExitStatus::Config,
            "addresses are served over TLS, and no certificate is configured",
        )
        .because("a reload does not change how addresses are served")
        .hint("set --ssl-certificate again, or upgrade (SIGUSR2) or restart the server")),
        Some(_) if !served => {
            warn!("no address is served over TLS until an upgrade (SIGUSR2) or a start");
            Ok(certificates)
        }
        _ => Ok(certificates),
    }
}

/// Logs what is served over TLS.
pub(crate) fn tell(listeners: &[ListenerSettings], certificates: Option<&TlsSource>) {
    let Some(certificates) = certificates else { return };
    let served = listeners.iter().filter(|listener| listener.tls).map(|listener| listener.info.to_string());
    let addresses = served.collect::<Vec<_>>().join(", ");
    debug!(addresses, certificates = certificates.options.certificate.len(), "serving over TLS");
}
