//! Event loops: ours keeps what asyncio promises, others can be chosen, applications can make their own.

use super::asgi::serve;
use hostler_testkit::Server;

#[test]
fn the_loop_is_asyncios() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.get("/task").text(), "42 True");
    assert_eq!(conn.get("/subprocess").text(), "from a subprocess\n0");
    assert_eq!(conn.get("/sockets").text(), "THROUGH ASYNCIO STREAMS\n");
}

#[test]
fn other_loops_can_be_had() {
    for (name, module) in
        [("asyncio", "asyncio.unix_events"), ("uvloop", "uvloop"), ("hostler", "hostler._loop")]
    {
        let mut server = Server::app("asgi_app:app").option("loop", name).option("workers", 2).start();
        let mut conn = server.connect();
        for size in [0, 5, 300_000] {
            let reply = conn.request("POST", "/loop", "", &vec![b'x'; size]);
            assert_eq!(reply.text(), format!("{module} {size} 42"));
        }
        assert_eq!(conn.get("/context").text(), "lifespan nothing");
        assert_eq!(conn.get("/context?wait").text(), "lifespan nothing left behind");
        assert_eq!(conn.get("/subprocess").text(), "from a subprocess\n0");
        assert_eq!(conn.get("/sockets").text(), "THROUGH ASYNCIO STREAMS\n");
        assert_eq!(server.connect().get("/raise").status, 500);
        server.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(server.wait_exit().success(), "{}", server.log());
    }
}

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

const CASES: &[&str] = &[
    "it_is_ours_and_asyncios",
    "a_descriptor_in_use_cannot_be_watched",
    "write_takes_bytes_of_any_kind_and_nothing_else",
    "much_is_sent_in_order_and_the_protocol_is_told_to_pause",
    "limits_of_the_write_buffer_are_asyncios",
    "a_paused_transport_reads_nothing",
    "the_end_of_the_stream_may_leave_it_open_for_writing",
    "a_reset_is_reported_once_with_its_error",
    "writing_to_nobody_ends_the_connection",
    "abort_drops_what_was_not_sent",
    "errors_of_the_protocol_reach_the_handler_and_end_the_connection",
    "what_connection_made_raises_is_reported",
    "a_buffered_protocol_is_read_into_its_buffer",
    "protocols_can_be_replaced_while_they_receive",
    "it_can_be_closed_from_its_callbacks",
    "callbacks_see_the_context_in_which_it_was_made",
    "much_arrives_whole",
    "streams_over_unix_sockets_echo",
    "a_closed_transport_is_forgotten",
    "an_open_transport_is_kept",
    "timers_are_precise",
    "cancelled_timers_hold_up_nothing",
];

#[test]
fn transports_keep_what_asyncio_promises() {
    let server = Server::app("transports:app").start();
    let mut broken = Vec::new();
    for case in CASES {
        let answer = server.connect().request("GET", &format!("/{case}"), "", b"");
        if answer.status != 200 {
            broken.push(format!("{case}: {}", String::from_utf8_lossy(&answer.body)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    server.stop();
}
