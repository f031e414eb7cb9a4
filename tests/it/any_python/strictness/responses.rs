//! Responses that would break the protocol, or let a client write the next one: `RESPONSES` of `tests/apps/strict.py`.

use super::on_each_interface;
use crate::support::get;
use hostler_testkit::{Reply, Server};

/// Refused: a 500, and nothing of what the application gave.
const REFUSED: [&str; 23] = [
    "/line_in_value",
    "/cr_in_value",
    "/lf_in_value",
    "/nul_in_value",
    "/line_in_name",
    "/space_in_name",
    "/colon_in_name",
    "/no_name",
    "/latin_name",
    "/status_100",
    "/status_103",
    "/status_199",
    "/status_99",
    "/status_1000",
    "/length_twice",
    "/length_list",
    "/length_sign",
    "/length_word",
    "/length_empty",
    "/length_huge",
    "/length_line",
    "/length_feed",
    "/line_behind_value",
];

/// Sent without what is the server's business.
const SENT: [&str; 8] = [
    "/same_length",
    "/length_padded",
    "/coding",
    "/coding_and_length",
    "/unknown_coding",
    "/latin_value",
    "/connection",
    "/upgrade",
];

/// Sent without a body.
const BODILESS: [(&str, u16); 4] =
    [("/no_content", 204), ("/no_content_length", 204), ("/not_modified", 304), ("/reset_content", 205)];

#[test]
fn what_an_application_gives_cannot_break_a_response() {
    on_each_interface(|interface, server| {
        if interface == "native" {
            return;
        }
        for path in REFUSED {
            let reply = reply_and_next(server, path, interface);
            assert_eq!(reply.status, 500, "{interface} {path}");
            assert!(
                reply.header("set-cookie").is_none() && reply.header("x-a").is_none(),
                "{interface} {path}"
            );
        }
        for path in SENT {
            let reply = reply_and_next(server, path, interface);
            assert_eq!((reply.status, reply.text().as_str()), (200, "hello"), "{interface} {path}");
            for name in ["transfer-encoding", "connection", "keep-alive", "upgrade", "proxy-connection"] {
                assert_eq!(reply.header(name), None, "{interface} {path}");
            }
        }
        for (path, status) in BODILESS {
            let reply = reply_and_next(server, path, interface);
            assert_eq!((reply.status, reply.text().as_str()), (status, ""), "{interface} {path}");
            let length = reply.header("content-length");
            assert!(status != 204 || length.is_none(), "{interface} {path}: {length:?}");
        }
    });
}

/// A response, on a connection that goes on with the next or ends, but is never out of step.
fn reply_and_next(server: &Server, path: &str, interface: &str) -> Reply {
    let mut conn = server.connect();
    conn.send([get(path), get("/next")].concat());
    let reply = conn.reply().unwrap_or_else(|error| panic!("{interface} {path}: {error}"));
    match conn.reply() {
        Ok(next) => assert_eq!(next.text(), "GET /next t", "{interface} {path}"),
        Err(_) => assert!(conn.is_closed(), "{interface} {path}"),
    }
    reply
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_visibly_so() {
    on_each_interface(|interface, server| {
        if interface == "native" {
            return;
        }
        for path in ["/too_long", "/too_short"] {
            let mut conn = server.connect();
            conn.send([get(path), get("/next")].concat());
            match conn.reply() {
                Ok(reply) => assert_eq!(reply.status, 500, "{interface} {path}"),
                Err(_) => assert!(conn.is_closed(), "{interface} {path}"),
            }
        }
    });
}
