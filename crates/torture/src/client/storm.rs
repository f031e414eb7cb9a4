//! Connections that are made and left at once.

use super::{Addresses, End, Record, connect, not_made};
use crate::{
    clock::Clock,
    plan::{Client, Reader},
};
use std::{io::Write, time::Duration};

/// What a WebSocket begins with; a request like any other where there are none.
const HANDSHAKE: &[u8] = b"GET /t?n=1&down=1&len=1 HTTP/1.1\r\nhost: torture\r\nupgrade: websocket\r\n\
    connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(super) fn run(client: &Client, count: usize, addresses: &Addresses, clock: Clock) -> Record {
    let record = Record::begin(client, clock);
    for number in 0..count {
        match connect(client, addresses, Reader::Fast) {
            Ok((mut socket, _)) => leave(&mut socket, number),
            Err(error) => return record.end(not_made(&error), clock),
        }
    }
    record.end(End::Scripted, clock)
}

/// Disconnects: with and without a request, with and without a reset.
fn leave(socket: &mut socket2::Socket, number: usize) {
    if number.is_multiple_of(3) {
        // Whether the server has closed already does not matter here.
        let _ = socket.write_all(b"GET /t HTTP/1.1\r\nhost: tort");
    }
    if number % 3 == 1 {
        // It may be gone before the response to its handshake leaves.
        let _ = socket.write_all(HANDSHAKE);
        std::thread::sleep(Duration::from_micros(number as u64 % 7 * 100));
    }
    if number.is_multiple_of(2) {
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}
