//! The observer of a native server: its addresses, and its process, which is a fork of the master.

use crate::Error;
use hostler_master::{
    AdminError, AdminSocket, Listening, Observer, ObserverContext, ObserverProgram, Predecessor,
};
use hostler_settings::Metrics;
use hostler_sys::own_file::OwnFile;
use std::rc::Rc;

/// What the observer is to be; `None` if it has no address.
pub(crate) fn observer(metrics: &Metrics) -> Option<Observer> {
    (!metrics.addresses().is_empty()).then(|| Observer {
        program: ObserverProgram::Forked(Rc::new(run)),
        ready_workers: u32::from(metrics.ready_workers),
        hosts: metrics.hosts(),
        measure_interval: metrics.scrape_interval,
        otlp: None,
    })
}

fn run(ObserverContext { setup, descriptors, master_pid }: ObserverContext) -> u8 {
    hostler_observer::run_forked(setup, descriptors, master_pid, env!("CARGO_PKG_VERSION")).code()
}

/// Its sockets, but for those that are inherited bound now; and their files, which go with the server.
pub(crate) fn listen(
    metrics: &Metrics,
    mut predecessor: Option<&mut Predecessor>,
) -> Result<(Vec<Listening>, Vec<OwnFile>), Error> {
    let (mut all, mut files) = (Vec::new(), Vec::new());
    for bind in metrics.addresses() {
        let spec = bind.to_string();
        let inherited = predecessor.as_mut().and_then(|before| before.take_admin(&spec));
        let (info, sockets) = match inherited {
            Some(inherited) => inherited,
            None => match AdminSocket::listen(&bind) {
                Ok(AdminSocket { info, socket, file }) => {
                    files.extend(file);
                    (info, vec![socket])
                }
                Err(AdminError::Name(source) | AdminError::Listen(source)) => {
                    for file in &files {
                        let _ = file.remove();
                    }
                    return Err(Error::Bind { address: spec, source });
                }
            },
        };
        tracing::info!(admin = %info, "observer listening");
        all.push(Listening { spec, info, sockets, tls: false });
    }
    Ok((all, files))
}
