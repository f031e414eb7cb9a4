//! A client of an upgraded connection: what it sends is echoed, then it is told something, while it sends on.

use super::{Addresses, End, PATIENCE, Record, connect, not_made};
use crate::{
    ask::{Ask, block_down, cut},
    clock::Clock,
    plan::{Client, Upgrade},
};
use socket2::Socket;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// What the application says in place of the rest when its worker ends; no body has a NUL.
const FAREWELL: &[u8] = b"\0bye";
const GOING_AWAY: u16 = 1012;
/// How long a client rests between the bytes that it sends while it is told the rest.
const BESIDE: Duration = Duration::from_millis(50);

pub(super) fn run(client: &Client, script: &Upgrade, addresses: &Addresses, clock: Clock) -> Record {
    let mut record = Record::begin(client, clock);
    let made = connect(client, addresses, script.reader()).and_then(|(socket, port)| {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok((socket.try_clone()?, socket, port))
    });
    let (mut reads, writes, port) = match made {
        Ok(made) => made,
        Err(error) => return record.end(not_made(&error), clock),
    };
    record.port = port;
    let over = AtomicBool::new(false);
    let heard = thread::scope(|scope| {
        // The side that reads finds out how the connection ended.
        scope.spawn(|| drop(send(script, &writes, &over)));
        let heard = Hearing::new(script).go(&mut reads);
        over.store(true, Relaxed);
        // A writer that waits for room waits no longer. A connection that is over cannot be shut down.
        let _ = reads.shutdown(Shutdown::Both);
        heard
    });
    let end = match heard {
        Ok(end) => end,
        Err(Trouble::Fault(fault)) => {
            record.fault = Some(fault);
            End::Complete
        }
        Err(Trouble::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => End::Closed,
        Err(Trouble::Io(error)) => End::of(&error),
    };
    record.end(end, clock)
}

enum Trouble {
    Io(io::Error),
    Fault(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a client says after its request.
fn block_said(number: u64) -> Vec<u8> {
    (0..256).flat_map(|index| format!("s{number}.{index};").into_bytes()).collect()
}

/// Sends the request, what is to be echoed, and then a little now and then.
fn send(script: &Upgrade, mut socket: &Socket, over: &AtomicBool) -> io::Result<()> {
    let ask = &script.ask;
    socket.write_all(&head(ask))?;
    if ask.up > 0 {
        socket.write_all(&ask.body(0, ask.up / 2))?;
        thread::sleep(Duration::from_millis(script.pause));
        socket.write_all(&ask.body(ask.up / 2, ask.up))?;
    }
    let (block, mut at) = (block_said(ask.number), 0);
    for piece in &script.pieces {
        socket.write_all(&cut(&block, at, *piece))?;
        at += piece;
        thread::sleep(Duration::from_millis(script.pause));
    }
    while !over.load(Relaxed) {
        socket.write_all(&cut(&block, at, 1))?;
        at += 1;
        thread::sleep(BESIDE);
    }
    Ok(())
}

/// The request's head.
fn head(ask: &Ask) -> Vec<u8> {
    let mut head = ask.head();
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"connection: upgrade\r\nupgrade: torture\r\n\r\n");
    head
}

/// What is to come, and how much of it has.
struct Hearing<'a> {
    script: &'a Upgrade,
    expected: Vec<u8>,
    at: usize,
    /// What came in place of the rest.
    other: Vec<u8>,
}

impl<'a> Hearing<'a> {
    fn new(script: &'a Upgrade) -> Self {
        let Ask { number, down, echoed, .. } = script.ask;
        let mut expected = cut(&block_said(number), 0, echoed);
        expected.extend(cut(&block_down(number), 0, down));
        Self { script, expected, at: 0, other: Vec::new() }
    }

    fn go(mut self, socket: &mut Socket) -> Result<End, Trouble> {
        let rest = handshake(socket)?;
        self.take(&rest)?;
        let mut block = vec![0; 16 << 10];
        loop {
            if self.script.leaves && self.at * 2 >= self.expected.len() {
                return Ok(End::Scripted);
            }
            match socket.read(&mut block)? {
                0 => return Ok(self.end()),
                count => {
                    self.take(&block[..count])?;
                    if let Some(rate) = self.script.rate {
                        thread::sleep(Duration::from_micros(count as u64 * 1_000_000 / rate));
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let rest = &self.expected[self.at..];
        let same = if self.other.is_empty() {
            bytes.iter().zip(rest).take_while(|(byte, expected)| byte == expected).count()
        } else {
            0
        };
        self.at += same;
        self.other.extend_from_slice(&bytes[same..]);
        if FAREWELL.starts_with(&self.other) {
            return Ok(());
        }
        let other = String::from_utf8_lossy(&self.other[..self.other.len().min(80)]).into_owned();
        let whole = self.expected.len();
        Err(Trouble::Fault(format!("byte {} of {whole} is not what it should be: {other:?}", self.at)))
    }

    fn end(&self) -> End {
        match (self.at == self.expected.len(), self.other == FAREWELL) {
            (_, true) => End::Farewell(GOING_AWAY),
            (true, false) if self.other.is_empty() => End::Complete,
            _ => End::Closed,
        }
    }
}

/// Reads the response's head; what came behind it.
fn handshake(socket: &mut Socket) -> Result<Vec<u8>, Trouble> {
    let (mut all, mut block) = (Vec::new(), [0; 1024]);
    loop {
        if let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).into_owned();
            let rest = all.split_off(end + 4);
            match head.split(' ').nth(1) {
                Some("100") => all = rest,
                Some("101") => return Ok(rest),
                _ => return Err(Trouble::Fault(format!("no upgrade: {head:?}"))),
            }
            continue;
        }
        match socket.read(&mut block)? {
            0 => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            count => all.extend_from_slice(&block[..count]),
        }
    }
}
