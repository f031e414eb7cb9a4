//! `--log-target`: the journal and syslog, with receivers that are slow, gone and back again.

use super::everything_works;
use hostler_testkit::{Builder, Server, directory, get_unix, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{IoSliceMut, Read, Seek, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsRawFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

fn app(target: &str, log_target: &str, dir: &Path) -> (Builder, PathBuf) {
    let socket = dir.join("socket");
    let app = Server::app(target).option("uds", socket.display()).option("log-target", log_target);
    (app, socket)
}

/// A datagram, and the file that came with it in place of one.
fn received(socket: &UnixDatagram) -> Option<Vec<u8>> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut bytes = vec![0; 1 << 20];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT);
    let message = match message {
        Ok(message) => message,
        Err(nix::Error::EAGAIN) => return None,
        Err(error) => panic!("{error}"),
    };
    let file = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    let length = message.bytes;
    Some(match file {
        None => bytes[..length].to_vec(),
        Some(number) => {
            let mut file = File::from(hostler_sys::process::take_descriptor(number).unwrap());
            let mut text = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut text).unwrap();
            text
        }
    })
}

/// The fields of an entry of the journal (its "Native Journal Protocol").
fn fields(mut entry: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
        let line = String::from_utf8(entry[..end].to_vec()).unwrap();
        entry = &entry[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
        } else {
            let length = usize::try_from(u64::from_le_bytes(entry[..8].try_into().unwrap())).unwrap();
            fields.insert(line, String::from_utf8(entry[8..8 + length].to_vec()).unwrap());
            assert_eq!(entry[8 + length], b'\n');
            entry = &entry[9 + length..];
        }
    }
    fields
}

/// A request whose response is a 500.
fn raise(socket: &Path) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /raise HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
}

/// Waits for an entry with this event.
fn entry(journal: &UnixDatagram, event: &str) -> BTreeMap<String, String> {
    let mut found = None;
    wait_until(event, || {
        while let Some(datagram) = received(journal) {
            let fields = fields(&datagram);
            if fields["HOSTLER_EVENT"].contains(event) {
                found = Some(fields);
                return true;
            }
        }
        false
    });
    found.unwrap()
}

#[test]
fn the_journal_gets_fields() {
    let dir = directory("journal");
    let path = dir.join("journal");
    let journal = UnixDatagram::bind(&path).unwrap();
    let (app, socket) = app("asgi_app:app", &format!("journald:{}", path.display()), &dir);
    let mut server = app.option("workers", 1).option("log-syslog-prefix", "shop").launch();
    let serving = entry(&journal, "serving");
    assert_eq!(serving["PRIORITY"], "6");
    assert_eq!(serving["SYSLOG_IDENTIFIER"], "shop");
    assert_eq!(serving["HOSTLER_WORKERS"], "1");
    assert!(serving["MESSAGE"].starts_with("serving url=unix:"), "{serving:?}");
    // Of the worker, which sends by itself.
    raise(&socket);
    let raised = entry(&journal, "the ASGI application raised");
    assert_eq!((&*raised["PRIORITY"], &*raised["HOSTLER_PATH"]), ("3", "/raise"));
    assert!(raised["HOSTLER_TRACEBACK"].starts_with("Traceback (most recent call last):\n"), "{raised:?}");
    assert!(raised["MESSAGE"].contains(&raised["HOSTLER_TRACEBACK"]), "{raised:?}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert_eq!(entry(&journal, "stopped")["HOSTLER_REQUESTS"], "1");
    assert_eq!(server.log(), "");
}

#[test]
fn an_entry_that_is_too_long_for_a_datagram_is_sent_as_a_file() {
    let dir = directory("journal-long");
    let path = dir.join("journal");
    let journal = UnixDatagram::bind(&path).unwrap();
    let (app, socket) = app("logging_app:app", &format!("journald:{}", path.display()), &dir);
    let server = app.option("workers", 1).launch();
    entry(&journal, "serving");
    get_unix(&socket, "/long").unwrap();
    let long = entry(&journal, "a long one");
    assert_eq!(long["MESSAGE"].matches('x').count(), 1 << 20);
    assert_eq!(long["HOSTLER_LOGGER"], "shop");
    server.stop();
}

#[test]
fn a_receiver_that_does_not_read_or_is_gone_does_no_harm() {
    for (name, target) in [("receiver-journal", "journald"), ("receiver-syslog", "unix")] {
        for gone in [false, true] {
            let dir = directory(&format!("{name}-{gone}"));
            let path = dir.join("log");
            let receiver = UnixDatagram::bind(&path).unwrap();
            let target = format!("{target}:{}", path.display());
            let socket = dir.join("socket");
            let app = Server::app("hostile:app").option("workers", 2).option("uds", socket.display());
            let server = app.option("log-target", target).launch();
            wait_until("serving", || get_unix(&socket, "/pid").is_ok());
            if gone {
                std::fs::remove_file(&path).unwrap();
                drop(receiver);
                everything_works(server, &socket);
            } else {
                everything_works(server, &socket);
                drop(receiver);
            }
        }
    }
}

#[test]
fn a_receiver_that_is_back_gets_what_follows_and_how_many_lines_were_lost() {
    let dir = directory("receiver-back");
    let path = dir.join("journal");
    let journal = UnixDatagram::bind(&path).unwrap();
    let (app, socket) = app("supervised:app", &format!("journald:{}", path.display()), &dir);
    let server = app.option("workers", 1).launch();
    entry(&journal, "serving");
    std::fs::remove_file(&path).unwrap();
    drop(journal);
    let worker: i32 = get_unix(&socket, "/pid").unwrap().parse().unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    let is_new = |text: String| text.parse::<i32>().is_ok_and(|pid| pid != worker);
    wait_until("replaced", || get_unix(&socket, "/pid").is_ok_and(is_new));
    let journal = UnixDatagram::bind(&path).unwrap();
    let lost = entry(&journal, "log lines were lost");
    assert!(lost["HOSTLER_LINES"].parse::<u32>().unwrap() >= 1, "{lost:?}");
    server.signal(Signal::SIGTERM);
    entry(&journal, "stopped");
}

#[test]
fn syslog_on_this_machine_and_by_udp() {
    let dir = directory("syslog-local");
    let path = dir.join("log");
    let local = UnixDatagram::bind(&path).unwrap();
    local.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut block = vec![0; 1 << 16];
    for (target, facility, priority, is_new) in [
        (format!("unix://{}#dgram", path.display()), "daemon", 3 * 8 + 6, false),
        (format!("udp://{}", udp.local_addr().unwrap()), "local3", 19 * 8 + 6, true),
    ] {
        let (app, _) = app("asgi_app:app", &target, &dir);
        let app = app.option("log-syslog-facility", facility).option("log-syslog-prefix", "shop");
        let server = app.option("workers", 1).option("log-level", "info").launch();
        let message = loop {
            let count = if is_new { udp.recv(&mut block) } else { local.recv(&mut block) }.unwrap();
            let message = String::from_utf8(block[..count].to_vec()).unwrap();
            if message.contains("serving") {
                break message;
            }
        };
        let master = server.master();
        if is_new {
            assert!(message.starts_with(&format!("<{priority}>1 20")), "{message}");
            let structured = format!(" shop {master} - [hostler@32473 event=\"serving\" url=\"unix:");
            assert!(message.contains(&structured), "{message}");
        } else {
            assert!(message.starts_with(&format!("<{priority}>")), "{message}");
            assert!(message.contains(&format!(" shop[{master}]: serving url=unix:")), "{message}");
        }
        server.stop();
    }
}

/// A message with its length (RFC 6587), if one is whole.
fn frame(bytes: &mut Vec<u8>) -> Option<String> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = String::from_utf8_lossy(&bytes[..space]).parse().expect("a length");
    let end = space + 1 + length;
    (bytes.len() >= end).then(|| {
        let frame: Vec<u8> = bytes.drain(..end).skip(space + 1).collect();
        String::from_utf8(frame).unwrap()
    })
}

/// A receiver by TCP.
struct Syslog {
    listener: TcpListener,
    connections: Vec<(TcpStream, Vec<u8>)>,
}

impl Syslog {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, connections: Vec::new() }
    }

    /// What has come since.
    fn messages(&mut self) -> Vec<String> {
        while let Ok((connection, _)) = self.listener.accept() {
            connection.set_nonblocking(true).unwrap();
            self.connections.push((connection, Vec::new()));
        }
        let mut messages = Vec::new();
        for (connection, bytes) in &mut self.connections {
            let _ = connection.read_to_end(bytes);
            messages.extend(std::iter::from_fn(|| frame(bytes)));
        }
        messages
    }

    fn wait(&mut self, text: &str) {
        wait_until(text, || self.messages().iter().any(|message| message.contains(text)));
    }
}

#[test]
fn syslog_by_tcp_is_connected_by_each_process_and_again_after_a_failure() {
    let dir = directory("syslog-tcp");
    let mut syslog = Syslog::new();
    let target = format!("tcp://{}", syslog.listener.local_addr().unwrap());
    let (app, socket) = app("asgi_app:app", &target, &dir);
    let mut server = app.option("workers", 1).launch();
    syslog.wait("] serving url=");
    raise(&socket);
    syslog.wait("the ASGI application raised");
    assert!(syslog.connections.len() >= 2);
    // As if it was started again.
    syslog.connections.clear();
    wait_until("told again", || {
        raise(&socket);
        syslog.messages().iter().any(|message| message.contains("application raised"))
    });
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    syslog.wait("] stopped requests=");
}

#[test]
fn a_receiver_by_tcp_that_is_not_there_or_does_not_read_does_no_harm() {
    for listens in [false, true] {
        let dir = directory(&format!("syslog-dead-{listens}"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A connection that is never accepted is made all the same, and its buffers fill.
        let listener = listens.then_some(listener);
        let socket = dir.join("socket");
        let app = Server::app("hostile:app").option("workers", 2).option("uds", socket.display());
        let server = app.option("log-target", format!("tcp://{address}")).launch();
        wait_until("serving", || get_unix(&socket, "/pid").is_ok());
        everything_works(server, &socket);
        drop(listener);
    }
}

/// The address of a receiver that is not there.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn what_no_receiver_by_tcp_has_taken_is_told_on_standard_error_at_the_end() {
    for format in ["text", "json"] {
        let dir = directory("syslog-never");
        let (app, socket) = app("asgi_app:app", &format!("tcp://{}", nobody()), &dir);
        let mut server = app.option("workers", 1).option("log-format", format).launch();
        wait_until("serving", || get_unix(&socket, "/pid").is_ok());
        raise(&socket);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_exit().code(), Some(0));
        let log = server.log();
        let told =
            log.lines().filter(|line| line.contains("log lines were lost: the receiver of --log-target"));
        // The master and the worker.
        assert_eq!(told.clone().count(), 2, "{log}");
        assert!(told.clone().all(|line| line.starts_with('{') == (format == "json")), "{log}");
        assert_eq!(log.lines().count(), 2, "{log}");
    }
}

#[test]
fn a_receiver_by_tcp_that_is_back_before_the_end_gets_all() {
    let dir = directory("syslog-late");
    let address = nobody();
    let (app, socket) = app("asgi_app:app", &format!("tcp://{address}"), &dir);
    let mut server = app.option("workers", 1).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    // So long that the next attempt is not near.
    std::thread::sleep(Duration::from_secs(4));
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut syslog = Syslog { listener, connections: Vec::new() };
    server.signal(Signal::SIGTERM);
    let mut messages = Vec::new();
    wait_until("the last line", || {
        messages.extend(syslog.messages());
        messages.iter().any(|message| message.contains("] stopped requests="))
    });
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(messages.iter().any(|message| message.contains("] starting hostler")), "{messages:?}");
    assert_eq!(server.log(), "");
}

#[test]
fn a_target_that_means_nothing_is_refused() {
    for (target, text) in [
        ("nowhere", "it must be stderr, journald"),
        ("udp://no.such.machine.invalid:514", "cannot send the log to `udp://no.such.machine.invalid:514`"),
    ] {
        let (status, log) = Server::app("supervised:app").option("log-target", target).fail();
        assert!(matches!(status, Some(2 | 78)), "{status:?} {log}");
        assert!(log.contains(text), "{log}");
    }
    let app = Server::app("supervised:app").option("log-target", "journald").option("log-file", "/tmp/x");
    assert!(app.fail().1.contains("contradict"), "a file and a target");
}
