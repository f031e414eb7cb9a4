//! Clients that go away, and those that only finished sending.

use hostler_testkit::{Server, wait_until};
use serde_json::Value;

#[test]
fn a_client_that_disconnects_is_a_disconnect_event() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut leaving = server.connect();
    leaving.send("GET /disconnect HTTP/1.1\r\nhost: t\r\n\r\n");
    // The application has the request once a later connection is served.
    assert_eq!(server.connect().get("/seen").status, 200);
    drop(leaving);
    wait_until("told to the application", || {
        let seen: Value = serde_json::from_slice(&server.connect().get("/seen").body).unwrap();
        seen["disconnects"] == 1
    });
}

#[test]
fn a_half_closed_client_gets_its_response() {
    for app in ["asgi_app:app", "wsgi_app:app"] {
        let server = Server::app(app).option("workers", 1).option("blocking-threads", 2).start();
        let mut conn = server.connect();
        conn.send("GET /slow?0.3 HTTP/1.1\r\nhost: t\r\n\r\n");
        conn.finish();
        assert_eq!(conn.reply().unwrap().text(), "slow answer", "{app}");
        assert!(conn.is_closed());
    }
}

#[test]
fn a_disconnect_reaches_an_application_that_waits_for_something_else() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    conn.send("POST /leaving HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody");
    server.wait_for("waits now", 1);
    drop(conn);
    server.wait_for("left after", 1);
    let log = server.log();
    let millis = log.split("left after ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    // 50 ms on a quiet machine.
    assert!(millis.parse::<u32>().unwrap() < 5000, "{log}");
}
