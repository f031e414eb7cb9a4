//! Sockets of companions: bound at the start and at a reload that adds some, and kept as long as a generation has them.

use hostler_master::{CompanionSocket, Predecessor};
use hostler_settings::{Bind, CompanionListen};
use hostler_wire::{CompanionSpec, ExitStatus, Failure};
use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};
use tracing::info;

/// Those that there are.
#[derive(Default)]
pub(crate) struct Sockets(RefCell<Vec<Weak<CompanionSocket>>>);

impl Sockets {
    /// The sockets of these companions: those that there are, those of the old server, or new ones.
    pub(crate) fn listen(
        &self,
        companions: &[CompanionSpec],
        mut predecessor: Option<&mut Predecessor>,
    ) -> Result<Vec<Rc<CompanionSocket>>, Failure> {
        let mut sockets: Vec<Rc<CompanionSocket>> = Vec::new();
        let listens = companions
            .iter()
            .flat_map(|its| its.companion.listen.iter().map(|listen| (its.companion.name.as_str(), listen)));
        for (companion, listen) in listens {
            let CompanionListen::Own { bind, .. } = listen else { continue };
            let spec = bind.to_string();
            if sockets.iter().any(|socket| socket.spec == spec) {
                continue;
            }
            let known = self.0.borrow().iter().filter_map(Weak::upgrade).find(|socket| socket.spec == spec);
            let inherited = predecessor.as_mut().and_then(|before| before.take_companion_socket(&spec));
            let inherited = inherited.and_then(|(info, sockets)| Some((info, sockets.into_iter().next()?)));
            let socket = match (known, inherited) {
                (Some(known), _) => known,
                (None, Some((info, socket))) => Rc::new(CompanionSocket::inherited_from(spec, info, socket)),
                (None, None) => Rc::new(new(companion, bind).inspect_err(|_| unmake(&sockets))?),
            };
            sockets.push(socket);
        }
        let mut known = self.0.borrow_mut();
        known.retain(|socket| socket.strong_count() > 0);
        known.extend(sockets.iter().map(Rc::downgrade));
        Ok(sockets)
    }
}

fn new(companion: &str, bind: &Bind) -> Result<CompanionSocket, Failure> {
    let socket = CompanionSocket::listen(bind).map_err(|error| {
        let port = if let Bind::Tcp { port: Some(port), .. } = bind { *port } else { 0 };
        let failure = crate::bind::refused(&bind.to_string(), &error, port);
        let message = format!("cannot listen on {bind} for companion `{companion}`");
        Failure { message, status: ExitStatus::Failed, ..failure }
    })?;
    info!(address = %socket.info, companion, "listening for a companion");
    Ok(socket)
}

/// Removes the files of sockets that come to nothing.
fn unmake(sockets: &[Rc<CompanionSocket>]) {
    for file in sockets.iter().filter_map(|socket| socket.file.borrow_mut().take()) {
        let _ = file.remove();
    }
}
