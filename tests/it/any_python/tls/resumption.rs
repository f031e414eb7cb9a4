//! Sessions are resumed at whichever worker, and after workers were replaced.

use crate::tls_support::{Authority, Client};
use hostler_testkit::Server;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;

fn resumes_everywhere(client: &Client, server: &Server, connections: usize) -> BTreeSet<String> {
    let _ = client.get(server, "/pid");
    let mut workers = BTreeSet::new();
    for _ in 0..connections {
        let mut connection = client.connect(server);
        assert!(connection.is_resumed());
        workers.insert(connection.get("/pid"));
    }
    workers
}

#[test]
fn sessions_are_resumed_by_every_worker_and_by_their_successors() {
    let authority = Authority::new("tls-resume");
    let server = authority
        .server()
        .serve(Server::app("supervised:app").option("workers", 3).option("accept", "per-worker"))
        .start();
    for client in [authority.client(), authority.client().tls12()] {
        let before = resumes_everywhere(&client, &server, 40);
        assert!(before.len() > 1, "the kernel chooses: {before:?}");
    }
    let client = authority.client();
    let before = resumes_everywhere(&client, &server, 10);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("worker exited", 3);
    let mut connection = client.connect(&server);
    assert!(connection.is_resumed());
    assert!(!before.contains(&connection.get("/pid")));
    server.stop();
}

#[test]
fn without_a_session_there_is_a_whole_handshake() {
    let authority = Authority::new("tls-forgetful");
    let server = authority.server().start("supervised:app");
    let client = authority.client().forgetful();
    assert!((0..4).all(|_| {
        let mut connection = client.connect(&server);
        !connection.get("/pid").is_empty() && !connection.is_resumed()
    }));
    server.stop();
}

#[test]
fn sessions_are_resumed_after_an_upgrade() {
    let authority = Authority::new("tls-upgrade");
    let server = authority.server().start("supervised:app");
    let client = authority.client();
    let before = client.get(&server, "/pid");
    server.signal(Signal::SIGUSR2);
    server.wait_for("this server serves; the old one exits", 1);
    server.wait_for("stopped", 1);
    let mut connection = client.connect(&server);
    assert!(connection.is_resumed());
    assert_ne!(connection.get("/pid"), before);
}
