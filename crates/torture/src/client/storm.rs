//! Connections that are made and left at once.

use super::{Addresses, End, Record, connect, not_made};
use crate::{
    clock::Clock,
    plan::{Client, Reader},
};
use std::{io::Write, time::Duration};

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

/// Leaves: with and without a word, with and without a reset.
fn leave(socket: &mut socket2::Socket, number: usize) {
    if number.is_multiple_of(3) {
        // Whether the server has closed already does not matter here.
        let _ = socket.write_all(b"GET /t HTTP/1.1\r\nhost: tort");
    }
    if number.is_multiple_of(2) {
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}
