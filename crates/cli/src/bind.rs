//! Binding the listening sockets, with errors that say what to do.

use crate::failure::Failure;
use hostler_config::{Bind, Config};
use hostler_sys::socket::{self, Address};
use hostler_wire::{ExitStatus, ListenerInfo};
use std::{
    io,
    net::ToSocketAddrs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// What was bound.
pub(crate) struct Bound {
    pub(crate) listeners: Vec<(ListenerInfo, OwnedFd)>,
    /// Unix sockets that we made and will remove.
    pub(crate) paths: Vec<PathBuf>,
}

pub(crate) fn all(config: &Config) -> Result<Bound, Failure> {
    let mut bound = Bound { listeners: Vec::new(), paths: Vec::new() };
    for bind in &config.binds {
        if let Err(failure) = bound.add(bind, config) {
            // Nothing half done: what was made is unmade.
            for path in &bound.paths {
                let _ = std::fs::remove_file(path);
            }
            return Err(failure);
        }
    }
    Ok(bound)
}

impl Bound {
    fn add(&mut self, bind: &Bind, config: &Config) -> Result<(), Failure> {
        match bind {
            Bind::Tcp { host, port } => self.add_tcp(host, *port, config.backlog),
            Bind::Unix(path) => self.add_unix(path, config),
            Bind::Descriptor(number) => self.add_descriptor(*number, config.backlog),
        }
    }

    fn add_tcp(&mut self, host: &str, port: u16, backlog: i32) -> Result<(), Failure> {
        let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let address = (host, port).to_socket_addrs().map(|mut found| found.next());
        let address = match address {
            Ok(Some(address)) => address,
            Ok(None) => return Err(unresolved(&shown, "the name has no address".into())),
            Err(error) => return Err(unresolved(&shown, error.to_string())),
        };
        let bound = socket::bind_tcp(address, backlog)
            .and_then(|socket| socket::tcp_address(&socket).map(|address| (address, socket)));
        let (address, socket) = bound.map_err(|error| refused(&shown, &error, port))?;
        hostler_sys::logging::listening(&address);
        self.listeners.push((ListenerInfo::Tcp(address), socket));
        Ok(())
    }

    fn add_unix(&mut self, path: &Path, config: &Config) -> Result<(), Failure> {
        let shown = format!("unix:{}", path.display());
        // A path of our own choice must mean the same after a worker changed its directory.
        let path = std::path::absolute(path).map_err(|error| refused(&shown, &error, 0))?;
        let socket = socket::bind_unix(&path, config.uds_mode, config.backlog)
            .map_err(|error| refused(&shown, &error, 0))?;
        hostler_sys::logging::listening(&shown);
        self.paths.push(path.clone());
        self.listeners.push((ListenerInfo::Unix(path), socket));
        Ok(())
    }

    fn add_descriptor(&mut self, number: i32, backlog: i32) -> Result<(), Failure> {
        let shown = format!("fd://{number}");
        let (socket, address) = socket::adopt(number, backlog).map_err(|error| refused(&shown, &error, 0))?;
        let info = match address {
            Address::Tcp(address) => {
                hostler_sys::logging::listening(&address);
                ListenerInfo::Tcp(address)
            }
            Address::Unix(path) => {
                hostler_sys::logging::listening(&format!("unix:{}", path.display()));
                ListenerInfo::Unix(path)
            }
        };
        self.listeners.push((info, socket));
        Ok(())
    }
}

fn unresolved(address: &str, cause: String) -> Failure {
    Failure {
        message: format!("cannot listen on {address}"),
        causes: vec![cause],
        hint: Some("--host takes an address of this machine or a name that resolves to one".into()),
        status: ExitStatus::Failed,
    }
}

fn refused(address: &str, error: &io::Error, port: u16) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            Some("another program, or another hostler, serves there; stop it or choose another address".into())
        }
        io::ErrorKind::PermissionDenied if (1..1024).contains(&port) => Some(
            "ports below 1024 need CAP_NET_BIND_SERVICE: use a port from 1024 on, let systemd bind it, or give the capability"
                .into(),
        ),
        io::ErrorKind::AddrNotAvailable => {
            Some("this machine does not have that address; 0.0.0.0 and [::] stand for all that it has".into())
        }
        _ => None,
    };
    Failure {
        message: format!("cannot listen on {address}"),
        causes: vec![error.to_string()],
        hint,
        status: ExitStatus::Failed,
    }
}
