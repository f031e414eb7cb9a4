//! Loops of `hostler.EventLoop` that the application makes for itself.

use hostler_testkit::Server;

#[test]
fn a_loop_may_be_made_in_one_thread_and_run_in_others() {
    let server = Server::app("loops:app").option("workers", 1).start();
    let ask = |question: &str| server.connect().get(question).text();
    assert_eq!(ask("/moved"), "moved");
    assert_eq!(ask("/wandering"), "[0, 1, 2, 'again']");
    let told = "this event loop has open transports of another thread, and can only run there";
    assert_eq!(ask("/bound"), format!("['connected', 'RuntimeError: {told}']"));
    assert_eq!(ask("/moved"), "moved");
    server.stop();
}
