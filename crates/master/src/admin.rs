//! The observer's addresses: how they are listened on.

use hostler_settings::Bind;
use hostler_sys::{
    own_file::OwnFile,
    socket::{self, Access, Families},
};
use hostler_wire::ListenerInfo;
use std::{
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};
use tracing::warn;

/// What is logged of an abstract Unix socket that is to be for some only.
pub const OPEN_TO_ALL: &str =
    "an abstract Unix socket has no owner and no mode: every process of this machine can connect";

/// Connections that may wait for the observer.
const BACKLOG: i32 = 64;
/// Who may connect to a Unix socket of the observer: it shows what clients ask for.
const MODE: u32 = 0o600;

/// A socket of the observer.
#[derive(Debug)]
pub struct AdminSocket {
    /// Where it listens.
    pub info: ListenerInfo,
    /// The socket.
    pub socket: OwnedFd,
    /// Its file, which goes with the server, if it is a Unix socket that has one.
    pub file: Option<OwnFile>,
}

/// Why an address of the observer cannot be listened on.
#[derive(Debug)]
pub enum AdminError {
    /// Its name leads to no address.
    Name(io::Error),
    /// The system refuses.
    Listen(io::Error),
}

impl AdminSocket {
    /// Listens.
    ///
    /// # Errors
    /// That of the name's look-up, or the system's.
    pub fn listen(bind: &Bind) -> Result<Self, AdminError> {
        match bind {
            Bind::Tcp { host, port } => tcp(host, port.unwrap_or(0)),
            Bind::Unix(path) => unix(path).map_err(AdminError::Listen),
            // Refused with the configuration.
            Bind::Descriptor(_) => Err(AdminError::Listen(io::ErrorKind::Unsupported.into())),
        }
    }
}

fn tcp(host: &str, port: u16) -> Result<AdminSocket, AdminError> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in socket::resolve_all((host, port)).map_err(AdminError::Name)? {
        match socket::listen_quietly(address, BACKLOG, Families::Default) {
            Ok((address, socket)) => {
                return Ok(AdminSocket { info: ListenerInfo::Tcp(address), socket, file: None });
            }
            // A name may stand for addresses that this machine does not have.
            Err(error) => last = error,
        }
    }
    Err(AdminError::Listen(last))
}

fn unix(path: &Path) -> io::Result<AdminSocket> {
    if let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") {
        let socket = socket::bind_abstract(name, BACKLOG)?;
        warn!(address = %format_args!("unix:{}", path.display()), "{OPEN_TO_ALL}");
        return Ok(AdminSocket { info: ListenerInfo::Unix(path.to_owned()), socket, file: None });
    }
    let path = std::path::absolute(path)?;
    let access = Access { mode: Some(MODE), ..Access::default() };
    let (socket, file) = socket::bind_unix(&path, access, BACKLOG)?;
    Ok(AdminSocket { info: ListenerInfo::Unix(path), socket, file: Some(file) })
}
