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
        let successor = server.processes().into_iter().min().unwrap();
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
    busy.send(request(1, &get("/slow")));
    busy.wait_for(HEADERS, 1).unwrap();
    server.signal(Signal::SIGHUP);
    for (frames, expected) in [(&mut idle, "goaway 1"), (&mut busy, "end, goaway 1")] {
        let mut seen = Vec::new();
        while let Some(frame) = frames.next() {
            match frame.kind {
                DATA if frame.flags & END_STREAM != 0 => seen.push("end".into()),
                GOAWAY => seen.push(format!("goaway {}", frame.payload[3])),
                _ => assert_ne!(frame.kind, PING),
            }
        }
        assert_eq!(seen.join(", "), expected, "{}", server.log());
    }
    server.stop();
}

/// Streams that overlap leave no moment in which none is open: those on their way are served all the same.
#[test]
fn a_busy_client_is_told_of_the_end_in_two_steps() {
    let server = connections("asgi").option("workers", 1).start();
    let mut frames = Frames::to(&server);
    let open = |stream: u32| request(stream, &get("/slow"));
    frames.send([open(1), open(3)].concat());
    frames.wait_for(HEADERS, 3).unwrap();
    server.signal(Signal::SIGHUP);
    let mut next = 5;
    let (mut served, mut goaways, mut opened) = (0, Vec::new(), 2);
    while let Some(received) = frames.next() {
        match received.kind {
            DATA if received.flags & END_STREAM != 0 => {
                served += 1;
                if goaways.len() < 2 {
                    frames.send(open(next));
                    (next, opened) = (next + 2, opened + 1);
                }
            }
            PING if received.flags & ACK == 0 => frames.send(frame(PING, ACK, 0, &received.payload)),
            GOAWAY => goaways.push((u32::from_be_bytes(received.payload[..4].try_into().unwrap()), opened)),
            _ => {}
        }
    }
    let [(every, _), (last, opened)] = goaways[..] else { panic!("{goaways:?} {}", server.log()) };
    assert_eq!((every, last, served), (0x7fff_ffff, 2 * opened - 1, opened), "{}", server.log());
    server.stop();
}
