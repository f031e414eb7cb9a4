//! Native services.

use hostler_testkit::{Server, root};

fn serve() -> Server {
    Server::program(root().join("target/release/axum-hello")).start()
}

#[test]
fn an_axum_router_is_served_by_workers() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.get("/").text(), "Hello, world!");
    assert_eq!(conn.get("/hello/anna").text(), "hello anna");
    assert_eq!(conn.get("/nowhere").status, 404);
    assert!(server.workers().contains(&conn.get("/pid").text().parse().unwrap()));
    server.stop();
}

#[test]
fn a_killed_native_worker_is_replaced() {
    let server = serve();
    let killed = server.workers()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(killed), nix::sys::signal::Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 3);
    assert_eq!(server.connect().get("/").status, 200);
    server.stop();
}
