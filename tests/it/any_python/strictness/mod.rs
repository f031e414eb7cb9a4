//! Requests that servers could read in two ways: the corpus of `tests/strictness` on every interface, and through proxies.

mod corpus;
mod front;
mod http2;
mod responses;

use corpus::{Case, cases};
use hostler_testkit::{Conn, Server};
use std::io::Write;

fn on_each_interface(test: impl Fn(&str, &Server) + Sync) {
    std::thread::scope(|scope| {
        for interface in ["asgi", "wsgi", "rsgi", "native"] {
            let test = &test;
            scope.spawn(move || {
                let server = match interface {
                    "native" => Server::program(env!("CARGO_BIN_EXE_strict_native").into()).start(),
                    _ => Server::app(&format!("strict:{interface}")).option("interface", interface).start(),
                };
                test(interface, &server);
                server.stop();
            });
        }
    });
}

#[test]
fn requests_are_read_as_the_specification_says_or_refused() {
    let cases = cases();
    assert!(cases.len() > 150, "{} cases", cases.len());
    on_each_interface(|interface, server| {
        let wrong: Vec<String> = cases.iter().filter_map(|case| wrong_outcome(server, case)).collect();
        assert!(wrong.is_empty(), "{interface}:\n{}\n", wrong.join("\n"));
    });
}

/// How what becomes of a case differs from what should.
fn wrong_outcome(server: &Server, case: &Case) -> Option<String> {
    let mut conn = server.connect();
    // It may respond and close before it has read everything.
    let _ = conn.clone_stream().write_all(&case.bytes);
    let outcome = follow(&mut conn, case);
    outcome.err().map(|how| format!("  {}: {how}", case.name))
}

fn follow(conn: &mut Conn, case: &Case) -> Result<(), String> {
    for expected in &case.responses {
        let reply = conn.reply().map_err(|error| format!("{error} instead of {}", expected.status))?;
        let (status, text) = (reply.status, String::from_utf8_lossy(&reply.body));
        if status != expected.status || (status == 200 && reply.body != expected.seen) {
            let shown: String = text.chars().take(200).collect();
            return Err(format!("{status} {shown:?} instead of {}", expected.status));
        }
    }
    if !case.ends {
        let next = conn.try_get("/next", true).map_err(|error| format!("no further request: {error}"))?;
        return if next.text() == "GET /next test" { Ok(()) } else { Err(format!("then {:?}", next.text())) };
    }
    if conn.is_closed() { Ok(()) } else { Err("the connection goes on".into()) }
}
