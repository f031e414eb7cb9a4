//! Listening sockets that companions are handed: open here as long as a generation has them, so that clients wait, and are not
//! refused, while a companion is started again.

use crate::{GenerationSpec, run::Master};
use hostler_settings::{Bind, Companion, CompanionListen, SERVER};
use hostler_sys::{
    message,
    own_file::OwnFile,
    socket::{self, Access, Families},
};
use hostler_wire::{InheritedListener, ListenerInfo};
use std::{
    cell::RefCell,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// Connections that may wait for a companion.
const BACKLOG: i32 = 1024;

/// One of them.
#[derive(Debug)]
pub struct CompanionSocket {
    /// The address as the user wrote it.
    pub spec: String,
    /// Where it listens.
    pub info: ListenerInfo,
    /// The socket.
    pub socket: OwnedFd,
    /// Its file, until it is noted as one to be removed.
    pub file: RefCell<Option<OwnFile>>,
}

impl CompanionSocket {
    /// Listens.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(bind: &Bind) -> io::Result<Self> {
        let (info, socket, file) = match bind {
            Bind::Tcp { host, port } => tcp(host, port.unwrap_or(0))?,
            Bind::Unix(path) => unix(path)?,
            Bind::Descriptor(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        // As service managers pass them; a program that wants otherwise says so.
        message::set_blocking(socket.as_fd())?;
        Ok(Self { spec: bind.to_string(), info, socket, file: RefCell::new(file) })
    }

    /// One that the server before this one had.
    #[must_use]
    pub fn inherited_from(spec: String, info: ListenerInfo, socket: OwnedFd) -> Self {
        Self { spec, info, socket, file: RefCell::new(None) }
    }

    /// Whether it is the Unix socket of this path.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        matches!(&self.info, ListenerInfo::Unix(own) if own == path)
    }

    pub(crate) fn inherited(&self) -> InheritedListener {
        InheritedListener { spec: self.spec.clone(), info: self.info.clone(), sockets: 1 }
    }
}

type Made = (ListenerInfo, OwnedFd, Option<OwnFile>);

fn tcp(host: &str, port: u16) -> io::Result<Made> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in socket::resolve_all((host, port))? {
        match socket::listen_quietly(address, BACKLOG, Families::Default) {
            Ok((address, socket)) => return Ok((ListenerInfo::Tcp(address), socket, None)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unix(path: &Path) -> io::Result<Made> {
    if let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") {
        return Ok((ListenerInfo::Unix(path.to_owned()), socket::bind_abstract(name, BACKLOG)?, None));
    }
    let path = std::path::absolute(path)?;
    let (socket, file) = socket::bind_unix(&path, Access::default(), BACKLOG)?;
    Ok((ListenerInfo::Unix(path), socket, Some(file)))
}

impl Master {
    /// What a companion is handed, with the names.
    pub(super) fn sockets_of<'a>(
        &'a self,
        spec: &'a GenerationSpec,
        companion: &Companion,
    ) -> Vec<(String, BorrowedFd<'a>)> {
        let mut sockets = Vec::new();
        for listen in &companion.listen {
            match listen {
                CompanionListen::Server => {
                    let all = self.resources.listeners.iter().flat_map(|listener| &listener.sockets);
                    sockets.extend(all.map(|socket| (SERVER.to_owned(), socket.as_fd())));
                }
                CompanionListen::Own { name, bind } => {
                    let address = bind.to_string();
                    let found = spec.companion_sockets.iter().find(|socket| socket.spec == address);
                    let name = name.as_ref().unwrap_or(&companion.name);
                    sockets.extend(found.map(|found| (name.clone(), found.socket.as_fd())));
                }
            }
        }
        sockets
    }

    /// Takes note of the files of a generation's sockets, to remove them at the end.
    pub(crate) fn own_files_of(&mut self, spec: &GenerationSpec) {
        let files = spec.companion_sockets.iter().filter_map(|socket| socket.file.borrow_mut().take());
        self.plan.owned_files.extend(files);
    }
}
