//! Clients that do not speak, do not read, speak nonsense, are many, or leave: they cost nobody but themselves.

use super::{Client, controlled, done, socket};
use crate::support::slow_import;
use hostler_testkit::{Server, proc, wait_until};
use serde_json::json;
use std::{io::Write, os::unix::net::UnixStream};

#[test]
fn nonsense_is_refused_in_words() {
    let path = socket("ctl-nonsense");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let mut client = Client::new(&path);
    for (line, words) in [
        ("reload\n", "not JSON"),
        ("\n", "not JSON"),
        ("{\"version\":7,\"command\":\"reload\"}\n", "this server speaks 1"),
        ("{\"version\":1,\"command\":\"dance\"}\n", "not understood"),
        ("{\"version\":1,\"command\":\"scale\",\"workers\":65536}\n", "not understood"),
    ] {
        client.send(line);
        let reply = client.reply().unwrap();
        assert_eq!((&reply["reply"], &reply["kind"]), (&"failed".into(), &"invalid".into()), "{line}");
        assert!(reply["message"].as_str().unwrap().contains(words), "{reply}");
    }
    client.send([0xff, 0, 0x80, b'\n']);
    assert_eq!(client.reply().unwrap()["kind"], "invalid");
    // Several at once are answered one after another.
    client.send("{\"version\":1,\"command\":\"log-level\"}\n".repeat(100));
    for _ in 0..100 {
        assert_eq!(client.reply().unwrap()["reply"], "done");
    }
    // Half a line, and the other half.
    client.send("{\"version\":1,");
    client.send("\"command\":\"log-level\"}\n");
    assert_eq!(client.reply().unwrap()["reply"], "done");
    // A client that has said all is answered.
    client.send("{\"version\":1,\"command\":\"reload\"}\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.reply().unwrap()["reply"], "begun");
    assert_eq!(client.reply().unwrap()["reply"], "done");
    assert_eq!(client.reply(), None);
    server.stop();
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let path = socket("ctl-endless");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let before = proc::resident_kib(server.master());
    let mut clients: Vec<Client> = (0..8).map(|_| Client::new(&path)).collect();
    for client in &mut clients {
        let sent = (0..1000).try_for_each(|_| client.stream.write_all(&[b'x'; 65536]));
        assert!(sent.is_err(), "64 MB were taken");
    }
    let mut client = Client::new(&path);
    client.is_served();
    assert_eq!(clients[0].reply().unwrap()["message"], "the request is too long");
    assert!(proc::resident_kib(server.master()) < before + 2048, "{}", server.log());
    server.stop();
}

#[test]
fn clients_that_do_not_read_are_waited_for_and_not_long() {
    let path = socket("ctl-unread");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let before = proc::descriptors(server.master()).len();
    let mut silent: Vec<UnixStream> = (0..4).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for stream in &mut silent {
        stream.set_nonblocking(true).unwrap();
        // Until its own buffer is full: the server reads no request before it could send the last reply.
        while stream.write_all("{\"version\":1,\"command\":\"config\"}\n".repeat(50).as_bytes()).is_ok() {}
    }
    let mut client = Client::new(&path);
    client.is_served();
    assert_eq!(done(&server, &path, "reload"), "reloaded: generation 1 serves, with 1 worker\n");
    let master = server.master();
    wait_until("they are closed", || proc::descriptors(master).len() <= before + 4);
    drop(client);
    server.stop();
}

#[test]
fn a_thousand_clients_keep_nobody_from_being_served() {
    let path = socket("ctl-thousand");
    let server = controlled(slow_import(), &path).start();
    let before = (proc::descriptors(server.master()).len(), proc::resident_kib(server.master()));
    let waits = super::begin(&path, "reload");
    server.wait_for("reloading generation=1", 1);
    let flood = path.clone();
    #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
    let flood = std::thread::spawn(move || {
        let clients: Vec<_> = (0..1000).filter_map(|_| UnixStream::connect(&flood).ok()).collect();
        clients.len()
    });
    for _ in 0..5 {
        Client::new(&path).is_served();
    }
    assert_eq!(super::end(waits).0, Some(0), "one that waits is not closed for others:\n{}", server.log());
    let most = proc::descriptors(server.master()).len();
    assert!(most <= before.0 + 40, "{most} descriptors, {} before", before.0);
    assert_eq!(flood.join().unwrap(), 1000);
    let master = server.master();
    wait_until("all are closed", || proc::descriptors(master).len() <= before.0 + 2);
    assert!(proc::resident_kib(master) < before.1 + 4096);
    server.stop();
}

#[test]
fn clients_that_leave_at_once_leave_nothing_behind() {
    let path = socket("ctl-leave");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let before = proc::descriptors(server.master()).len();
    for round in 0..200 {
        let mut stream = UnixStream::connect(&path).unwrap();
        let request =
            json!({"version": 1, "command": if round % 2 == 0 { "config" } else { "scale" }, "workers": 1});
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    }
    // What they asked for was done, all the same.
    server.wait_for("control command command=\"scale\"", 100);
    let master = server.master();
    wait_until("all are closed", || proc::descriptors(master).len() <= before);
    Client::new(&path).is_served();
    let ticks = proc::cpu_ticks(master);
    // What is looked for is work that nobody asked for, within a time.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(proc::cpu_ticks(master) <= ticks + 5, "the master is busy with nothing");
    server.stop();
}
