//! The lifespan of an ASGI application. One that fails the start: `start_up.rs`.

use hostler_testkit::{Server, directory, get_unix, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

#[test]
fn the_lifespan_is_shut_down_in_every_worker() {
    let file = std::env::temp_dir().join(format!("hostler-shutdown-{}", std::process::id()));
    let server = Server::app("asgi_app:app").env("SHUTDOWN_FILE", file.to_str().unwrap()).start();
    server.stop();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn an_application_without_lifespan_is_served_and_one_that_crashed_in_it_is_reported() {
    let server = Server::app("odd:without_lifespan").start();
    assert_eq!(server.connect().get("/").text(), "served");
    assert!(!server.log().contains("AssertionError"), "{}", server.log());
    server.stop();
    let server = Server::app("odd:crashing_early").start();
    assert_eq!(server.connect().get("/").text(), "served");
    let log = server.log();
    assert!(log.contains("served without its lifespan") && log.contains("NameError"), "{log}");
    server.stop();
}

#[test]
fn as_json_every_line_of_the_log_is_an_object_pythons_too() {
    let dir = directory("log-json");
    let socket = dir.join("socket");
    let app = Server::app("odd:failing_late").option("workers", 1).option("log-format", "json");
    let mut server = app.option("uds", socket.display()).launch();
    wait_until("serving", || get_unix(&socket, "/").is_ok());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let find = |logger: &str| lines.iter().find(|line| line["logger"] == logger).expect(&log);
    let shop = find("shop");
    assert_eq!((&shop["level"], &shop["message"]), (&json!("WARN"), &json!("sold out")));
    let lifespan = find("hostler.lifespan");
    assert_eq!(lifespan["level"], "ERROR");
    assert_eq!(lifespan["exception_type"], "RuntimeError");
    assert_eq!(lifespan["exception_message"], "the database does not close");
}
