//! Workers that are replaced, upgraded or killed under HTTP/2 clients: no stream is lost but those of a worker that was killed.

use crate::{
    http2_client::Http2,
    http2_frames::*,
    support::{connections, slow_import},
};
use hostler_testkit::{Builder, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

/// How many requests a client has open at a time.
const TOGETHER: usize = 10;

/// Clients that ask without a pause, and go to another connection when theirs is told to end.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(server: &Server) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let address = server.address.unwrap();
        let clients = (0..3).map(|_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Relaxed) {
                    let client = Http2::at(address);
                    while !stop.load(Relaxed) && ask(&client, &answered, &mut failures) {}
                }
                failures
            })
        });
        let clients = clients.collect();
        Self { stop, answered, clients }
    }

    fn wait_for(&self, server: &Server, more: usize) {
        let goal = self.answered.load(Relaxed) + more;
        server.wait_until("answered", || self.answered.load(Relaxed) >= goal);
    }

    /// Nothing was lost.
    fn end(self, name: &str) {
        self.stop.store(true, Relaxed);
        let failures: Vec<String> =
            self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        let answered = self.answered.load(Relaxed);
        assert!(failures.is_empty(), "{name}: {} of {answered}: {failures:?}", failures.len());
        assert!(answered > 100, "{name}: {answered}");
    }
}

/// Asks several things together; false if the connection takes no more.
fn ask(client: &Http2, answered: &AtomicUsize, failures: &mut Vec<String>) -> bool {
    let asked =
        (0..TOGETHER).map_while(|_| client.begin(client.request(hyper::Method::GET, "/pid"), true).ok());
    let asked: Vec<_> = asked.collect();
    let mut goes_on = asked.len() == TOGETHER;
    for reply in client.end_all(asked) {
        match reply {
            Ok(reply) if reply.status == 200 => {
                answered.fetch_add(1, Relaxed);
            }
            // Streams beyond the last one of a GOAWAY were not begun: they may be sent again (RFC 9113 §6.8).
            Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                goes_on = false
            }
            Err(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => goes_on = false,
            other => {
                failures.push(format!("{other:?}"));
                goes_on = false;
            }
        }
    }
    goes_on
}

#[test]
fn recycled_workers_lose_no_stream() {
    for (option, value, reason) in
        [("max-requests", 300, "reason=\"max-requests\""), ("workers-lifetime", 1, "reason=\"lifetime\"")]
    {
        let server = slow_import().option(option, value).option("respawn-interval", 0).start();
        let load = Load::on(&server);
        server.wait_for(reason, 3);
        load.end(option);
        server.stop();
    }
}

fn app(interface: &str) -> Builder {
    connections(interface).option("workers", 2)
}

#[test]
fn reloads_and_upgrades_lose_no_stream() {
    for interface in ["asgi", "wsgi", "rsgi"] {
        let mut server = app(interface).start();
        let load = Load::on(&server);
        load.wait_for(&server, 100);
        server.signal(Signal::SIGHUP);
        server.wait_for(" reloaded generation=1", 1);
        server.wait_for("worker exited", 2);
        load.wait_for(&server, 100);
        server.signal(Signal::SIGUSR2);
        assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
        load.wait_for(&server, 100);
        load.end(interface);
        let successor = server.successor();
        kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
        server.wait_empty();
    }
}

#[test]
fn a_killed_worker_takes_only_its_own_streams() {
    for interface in ["asgi", "wsgi", "rsgi"] {
        let server =
            app(interface).option("blocking-threads", if interface == "wsgi" { 2 } else { 1 }).start();
        let first = Http2::to(&server);
        let pid = first.get("/pid").text().to_owned();
        let second = std::iter::repeat_with(|| Http2::to(&server))
            .find(|client| client.get("/pid").text() != pid)
            .unwrap();
        // Large, so that they are under way.
        let (lost, kept) = (first.ask("/bytes?n=3000000"), second.ask("/bytes?n=3000000"));
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
        server.wait_for("worker ready", 3);
        assert!(first.end(lost).is_err(), "{interface}");
        let _ = first.ended();
        assert_eq!(second.end(kept).unwrap().body.len(), 3_000_000, "{interface}");
        assert_eq!(Http2::to(&server).get("/pid").status, 200);
        server.stop();
    }
}

/// Python's `h2` gives up what is open when GOAWAY comes, and what it opens next if that is not beyond the last stream served.
#[test]
fn a_client_is_told_of_the_end_when_it_has_no_stream_open() {
    let server = connections("asgi").option("workers", 1).start();
    let (mut idle, mut busy) = (Frames::to(&server), Frames::to(&server));
    assert_eq!(idle.get(1, "/pid"), Some(200));
    assert_eq!(busy.get(1, "/pid"), Some(200));
    busy.send(upload(3));
    server.signal(Signal::SIGHUP);
    assert_eq!(until_the_end(&mut idle), "end 1, goaway 1", "{}", server.log());
    busy.send(frame(DATA, END_STREAM, 3, b""));
    assert_eq!(until_the_end(&mut busy), "end 1, end 3, goaway 3", "{}", server.log());
    server.stop();
}

/// The beginning of a request with a body.
fn upload(stream: u32) -> Vec<u8> {
    head(stream, &[(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/read")])
}

fn until_the_end(frames: &mut Frames) -> String {
    let mut seen = Vec::new();
    while let Some(frame) = frames.next() {
        match frame.kind {
            DATA if frame.flags & END_STREAM != 0 => seen.push(format!("end {}", frame.stream)),
            GOAWAY => seen.push(format!("goaway {}", last_stream(&frame))),
            _ => assert_ne!(frame.kind, PING),
        }
    }
    seen.join(", ")
}

fn last_stream(goaway: &Received) -> u32 {
    u32::from_be_bytes(goaway.payload[..4].try_into().unwrap())
}

/// Streams that overlap leave no moment in which none is open: those on their way are served all the same.
#[test]
fn a_busy_client_is_told_of_the_end_in_two_steps() {
    let server = connections("asgi").option("workers", 1).start();
    let mut frames = Frames::to(&server);
    let begin_next = |opened: u32| [upload(opened + 2), frame(DATA, END_STREAM, opened, b"")].concat();
    // Room for more responses than a fast machine sends until the second step.
    frames.send(frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0, 0, 0]));
    frames.send([upload(1), begin_next(1)].concat());
    server.signal(Signal::SIGHUP);
    let (mut opened, mut served, mut goaways) = (3, 0, Vec::new());
    while let Some(received) = frames.next() {
        match received.kind {
            DATA if received.flags & END_STREAM != 0 => {
                served += 1;
                if goaways.is_empty() {
                    frames.send(begin_next(opened));
                    opened += 2;
                }
            }
            PING if received.flags & ACK == 0 => frames.send(frame(PING, ACK, 0, &received.payload)),
            GOAWAY => {
                if goaways.is_empty() {
                    frames.send(frame(DATA, END_STREAM, opened, b""));
                }
                goaways.push(last_stream(&received));
            }
            _ => {}
        }
    }
    assert_eq!((goaways, served), (vec![0x7fff_ffff, opened], opened.div_ceil(2)), "{}", server.log());
    server.stop();
}
