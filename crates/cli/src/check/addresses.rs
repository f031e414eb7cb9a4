//! The addresses: each is bound as at a start, and closed.

use crate::bind;
use hostler_config::Config;
use hostler_settings::Bind;
use hostler_sys::{listening, proc};
use hostler_wire::Failure;
use tracing::warn;

/// The addresses, and what is wrong with some.
pub(crate) fn all(config: &Config) -> (Vec<String>, Vec<Failure>) {
    let (mut shown, mut problems) = (Vec::new(), Vec::new());
    let (outcomes, too_many) = bind::each(config);
    for (bind, outcome) in outcomes {
        shown.push(bind.to_string());
        let Err(failure) = outcome else { continue };
        match server_at(&bind, config) {
            Some(pid) => warn!(
                address = %bind,
                pid,
                "a hostler that runs listens there: a reload or an upgrade of that server keeps it, a start beside it would fail"
            ),
            None => problems.push(failure),
        }
    }
    problems.extend(too_many);
    (shown, problems)
}

/// The server that listens there, if it is a hostler.
fn server_at(bind: &Bind, config: &Config) -> Option<i32> {
    let sockets = match bind {
        Bind::Tcp { port, .. } => listening::on_port(port.unwrap_or(config.settings.listen.port)),
        Bind::Unix(path) => listening::at_path(&std::path::absolute(path).ok()?),
        Bind::Descriptor(_) => return None,
    };
    proc::owner_of_sockets(&sockets, proc::is_hostler)
}
