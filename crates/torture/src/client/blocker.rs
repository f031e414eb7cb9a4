//! Quick requests that are ready in the same turn of a worker's loop as one that blocks it.
//!
//! Their responses are computed before the thread is blocked, and must not wait until it is free again. A worker is
//! blocked shortly, so that the requests meet in its next turn. Only what was seen counts: that there was no response yet
//! long after it was computed, by the clock that application and harness share.

use super::{Addresses, End, PATIENCE, Record, connect};
use crate::{
    ask::Ask,
    clock::Clock,
    plan::{self, Client, Reader},
};
use nix::time::{ClockId, clock_gettime};
use socket2::Socket;
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    mem::MaybeUninit,
    thread,
    time::Duration,
};

/// For how long a worker is blocked so that requests gather.
const GATHER: u64 = 200;
/// When the requests are sent within that.
const WITHIN: Duration = Duration::from_millis(40);
/// How long a response may wait for a worker that is blocked. It waits for some milliseconds.
const HELD_UP: u64 = 500;

pub(super) fn run(client: &Client, script: &plan::Blocker, addresses: &Addresses, clock: Clock) -> Record {
    let mut record = Record::begin(client, clock);
    // Whether connections are kept is for others to find out.
    record.held_up = observe(client, script, addresses).unwrap_or_default();
    record.end(End::Scripted, clock)
}

/// What a response tells of itself.
struct Told {
    worker: String,
    /// When it was computed, in milliseconds of the machine's clock.
    at: u64,
}

fn observe(client: &Client, script: &plan::Blocker, addresses: &Addresses) -> io::Result<Option<String>> {
    let mut numbers = script.number..;
    let mut ask = |block| Ask { block, ..Ask::new(numbers.next().unwrap_or_default(), 10) };
    let mut workers: HashMap<String, Vec<Socket>> = HashMap::new();
    for _ in 0..script.connections {
        let (mut socket, _) = connect(client, addresses, Reader::Fast)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(&ask(0).head())?;
        let told = read(&mut socket)?;
        workers.entry(told.worker).or_default().push(socket);
    }
    let Some((worker, mut sockets)) = workers.into_iter().max_by_key(|(_, sockets)| sockets.len()) else {
        return Ok(None);
    };
    let (Some(mut gatherer), Some(mut blocker)) = (sockets.pop(), sockets.pop()) else { return Ok(None) };
    gatherer.write_all(&ask(GATHER).head())?;
    thread::sleep(WITHIN);
    for socket in &mut sockets {
        socket.write_all(&ask(0).head())?;
    }
    blocker.write_all(&ask(script.block).head())?;
    let missing = last_seen_without(&sockets, &blocker);
    let end = read(&mut blocker)?;
    let begin = end.at.saturating_sub(script.block);
    for (socket, missing) in sockets.iter_mut().zip(missing) {
        let told = read(socket)?;
        let before = told.worker == worker && end.worker == worker && told.at < begin;
        if before && missing > begin + HELD_UP && missing < end.at {
            return Ok(Some(format!(
                "a response was held up for {} ms by a request that blocked its worker for {} ms",
                missing - told.at,
                script.block
            )));
        }
    }
    Ok(None)
}

/// For each socket, the last look at which it had no response yet.
fn last_seen_without(sockets: &[Socket], last: &Socket) -> Vec<u64> {
    let mut missing = vec![0; sockets.len()];
    let begun = now();
    while !is_readable(last) && now() < begun + PATIENCE.as_millis() as u64 {
        for (socket, missing) in sockets.iter().zip(&mut missing) {
            // The time before the look: it is not readable then, either.
            let before = now();
            if !is_readable(socket) {
                *missing = before;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    missing
}

fn is_readable(socket: &Socket) -> bool {
    let peeked = socket
        .set_nonblocking(true)
        .and_then(|()| socket.peek(&mut [MaybeUninit::uninit()]))
        .map_err(|error| error.kind());
    // A socket that cannot be asked is at its end.
    let _ = socket.set_nonblocking(false);
    peeked != Err(ErrorKind::WouldBlock)
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    crate::clock::millis(time)
}

/// Reads a response with a declared length.
fn read(socket: &mut Socket) -> io::Result<Told> {
    let mut unread = Vec::new();
    let mut block = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&unread).into_owned();
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
        if let Some(end) = text.find("\r\n\r\n")
            && unread.len() as u64 >= end as u64 + 4 + number("content-length").unwrap_or_default()
        {
            let (worker, at) = (field("x-pid"), number("x-at"));
            let told = worker.zip(at).map(|(worker, at)| Told { worker: worker.to_owned(), at });
            return told.ok_or_else(|| ErrorKind::InvalidData.into());
        }
        match socket.read(&mut block)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => unread.extend_from_slice(&block[..count]),
        }
    }
}
