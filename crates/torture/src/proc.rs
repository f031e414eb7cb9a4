//! What /proc reports of processes.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::SocketAddr,
};

/// What a process of the server does, by its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    Master,
    Mold,
    Worker,
    TaskWorker,
    Keeper,
    /// It watches a companion.
    Watcher,
    /// It has no title yet, or none that is the server's.
    Other,
}

/// A process of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) role: Role,
}

/// What a process has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belongings {
    /// What its descriptors lead to.
    pub(crate) descriptors: Vec<String>,
    /// The names of its threads.
    pub(crate) threads: Vec<String>,
    /// Resident memory that is its own, in KiB.
    pub(crate) memory: u64,
}

/// The processes of a group that are not zombies, in the order of their start, by titles that begin with `name`.
pub(crate) fn of_group(group: i32, name: &str) -> Vec<Process> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<(u64, Process)> = pids
        .filter_map(|pid| {
            let (its, state, born) = stat(pid)?;
            let role = role(pid, name);
            (its == group && state != 'Z').then_some((born, Process { pid, role }))
        })
        .collect();
    found.sort_by_key(|(born, process)| (*born, process.pid));
    found.into_iter().map(|(_, process)| process).collect()
}

fn role(pid: i32, name: &str) -> Role {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let title = line.trim_end_matches('\0');
    match title.strip_prefix(name) {
        Some("") => Role::Master,
        Some(" mold") => Role::Mold,
        Some(" task-queue") => Role::Keeper,
        Some(rest) if rest.starts_with(" companion ") => Role::Watcher,
        Some(rest) if rest.starts_with(" worker-") => Role::Worker,
        Some(rest) if rest.starts_with(" task-worker-") => Role::TaskWorker,
        _ => Role::Other,
    }
}

/// Group, state and start time of a process.
fn stat(pid: i32) -> Option<(i32, char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    Some((fields.get(2)?.parse().ok()?, state, fields.get(19)?.parse().ok()?))
}

/// Whether a process exists and is no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|(_, state, _)| state != 'Z')
}

/// Whether a process is stopped by a signal.
pub(crate) fn is_stopped(pid: i32) -> bool {
    stat(pid).is_none_or(|(_, state, _)| state == 'T')
}

/// What a process has now.
pub(crate) fn belongings(pid: i32) -> Belongings {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let descriptors = entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next());
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let threads = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    Belongings { descriptors, threads, memory: field("RssAnon:") }
}

/// The highest number that a descriptor of a process has.
pub(crate) fn highest_descriptor(pid: i32) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max().unwrap_or(2)
}

/// The sockets that a process has, by inode.
fn sockets(pid: i32) -> HashSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// Which of these processes have which clients, by the clients' TCP ports.
pub(crate) fn owners(servers: &[SocketAddr], pids: &[i32]) -> HashMap<u16, Vec<i32>> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let locals: Vec<String> = servers.iter().map(|server| format!(":{:04X}", server.port())).collect();
    let mut clients: HashMap<u64, u16> = HashMap::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let &[_, at, remote, .., inode] = fields.as_slice() else { continue };
        let port = remote.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        if let (true, Some(port), Ok(inode)) =
            (locals.iter().any(|local| at.ends_with(local)), port, inode.parse())
        {
            clients.insert(inode, port);
        }
    }
    let mut owners: HashMap<u16, Vec<i32>> = HashMap::new();
    for pid in pids {
        for inode in sockets(*pid) {
            if let Some(port) = clients.get(&inode) {
                owners.entry(*port).or_default().push(*pid);
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::{belongings, owners};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn who_has_a_connection_is_found_by_the_clients_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let port = client.local_addr().unwrap().port();
        assert_eq!(owners(&[address], &[own]).get(&port), Some(&vec![own]));
        let has = belongings(own);
        assert!(has.descriptors.len() > 3 && !has.threads.is_empty() && has.memory > 0);
    }
}
