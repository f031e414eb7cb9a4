//! asyncio's stream transports, inside a worker: tests/apps/transports.py has the cases.

use hostler_testkit::Server;

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
