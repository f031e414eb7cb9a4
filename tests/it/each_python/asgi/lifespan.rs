//! The lifespan of an ASGI application. One that fails the start: `start_up.rs`.

use hostler_testkit::Server;

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
