//! The JSON form: one object a line, with everything that is known.

use crate::{
    atom::{Atom, Repeated, Scale},
    form::Form,
    format::Piece,
};
use http::header::{HOST, REFERER, USER_AGENT};

/// Its fields, after `timestamp`, `level` and `message`, which every line of the log has.
const FIELDS: [(&str, Atom); 21] = [
    ("client", Atom::Client),
    ("method", Atom::Method),
    ("path", Atom::Path),
    ("query", Atom::Query),
    ("protocol", Atom::Protocol),
    ("scheme", Atom::Scheme),
    ("host", Atom::RequestHeader(HOST, Repeated::Joined)),
    ("status", Atom::Status),
    ("bytes", Atom::Bytes),
    ("duration_seconds", Atom::Duration(Scale::Seconds)),
    ("first_byte_seconds", Atom::FirstByte(Scale::Seconds)),
    ("queue_seconds", Atom::Queue(Scale::Seconds)),
    ("client_left", Atom::ClientLeft),
    ("complete", Atom::Complete),
    ("worker", Atom::Worker),
    ("pid", Atom::Pid),
    ("request_id", Atom::RequestId),
    ("trace_id", Atom::TraceId),
    ("parent_id", Atom::ParentId),
    ("referer", Atom::RequestHeader(REFERER, Repeated::Joined)),
    ("user_agent", Atom::RequestHeader(USER_AGENT, Repeated::Joined)),
];

pub(crate) fn pieces() -> Vec<Piece> {
    let mut pieces = vec![
        Piece::Literal(b"{\"timestamp\":".as_slice().into()),
        Piece::Atom(Atom::Timestamp, Form::Json),
        Piece::Literal(b",\"level\":\"INFO\",\"message\":\"request\"".as_slice().into()),
    ];
    for (name, atom) in FIELDS {
        pieces.push(Piece::Literal(format!(",\"{name}\":").into_bytes().into()));
        pieces.push(Piece::Atom(atom, Form::Json));
    }
    pieces.push(Piece::Literal(b"}".as_slice().into()));
    pieces
}
