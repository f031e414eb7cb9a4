//! Which sockets listen, as `/proc/net` shows (proc_net(5)).

use std::{fs, path::Path};

/// The state of a TCP socket that listens (`TCP_LISTEN`).
const LISTENS: &str = "0A";

/// The inodes of the TCP sockets that listen on this port, whatever their address is.
#[must_use]
pub fn on_port(port: u16) -> Vec<u64> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| tcp(table, port)).collect()
}

/// The inodes of the Unix sockets that are bound to this path.
#[must_use]
pub fn at_path(path: &Path) -> Vec<u64> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let Some(path) = path.to_str() else { return Vec::new() };
    unix(&table, path).collect()
}

fn tcp(table: &str, port: u16) -> impl Iterator<Item = u64> {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == LISTENS;
        listens.then(|| fields.get(9)?.parse().ok())?
    })
}

fn unix(table: &str, path: &str) -> impl Iterator<Item = u64> {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        (*fields.get(7)? == path).then(|| fields.get(6)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::{at_path, on_port};
    use std::net::TcpListener;

    #[test]
    fn a_socket_that_listens_is_found_and_another_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = on_port(port);
        assert_eq!(found.len(), 1, "{found:?}");
        let own = std::process::id().cast_signed();
        assert_eq!(crate::proc::owner_of_sockets(&found, |pid| pid == own), Some(own));
        drop(listener);
        assert!(on_port(port).is_empty());
    }

    #[test]
    fn a_unix_socket_is_found_by_its_path() {
        let path = std::env::temp_dir().join(format!("hostler-listening-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(at_path(&path).len(), 1);
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        assert!(at_path(&path).is_empty());
    }
}
