//! A client of HTTP: does its steps one after the other, and reads meanwhile as it is told to.

use super::{
    Addresses, End, PATIENCE, Record,
    link::{Link, interest},
    not_made,
    responses::Responses,
};
use crate::{
    clock::Clock,
    plan::{Client, Reader, Step, Talk},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io::{self, ErrorKind, Read, Write},
    os::fd::AsFd,
    time::Duration,
};

/// How long a client that has everything listens for responses that it never asked for.
const LISTENS_ON: u64 = 30;
/// The same after a response that came before the body was read.
const LISTENS_ON_EARLY: u64 = 300;

pub(super) fn run(client: &Client, talk: &Talk, addresses: &Addresses, clock: Clock) -> Record {
    let mut record = Record::begin(client, clock);
    record.asked = vec![0; talk.asks.len()];
    let mut link = match Link::connect(client, addresses, talk.reader) {
        Ok(made) => made,
        Err(error) => return record.end(not_made(&error), clock),
    };
    record.port = link.port;
    if let Err(error) = link.shake_hands() {
        return record.end(End::of(&error), clock);
    }
    let mut talking = Talking {
        talk,
        link,
        clock,
        began: clock.now(),
        steps: talk.steps.iter(),
        responses: Responses::new(&talk.asks),
        out: Vec::new(),
        sent: 0,
        sending: None,
        pace: (usize::MAX, 0),
        not_before: 0,
        waits: Waits::Nothing,
        deaf: false,
        resets: false,
        read_at: 0,
        moved: clock.now(),
        finished: None,
        asked: record.asked,
    };
    let end = talking.go();
    let link = talking.link;
    if talking.resets {
        link.reset()
    } else {
        link.close()
    }
    record.partial = talking.responses.partial();
    record.fault = talking.responses.fault.take();
    record.responses = std::mem::take(&mut talking.responses.whole);
    record.heard = talking.read_at;
    record.asked = std::mem::take(&mut talking.asked);
    record.end(end, clock)
}

/// What the next step waits for.
#[derive(Clone, Copy)]
enum Waits {
    Nothing,
    Responses(usize),
    Bytes(usize),
    Continue { until: u64 },
}

struct Talking<'a> {
    talk: &'a Talk,
    link: Link,
    clock: Clock,
    began: u64,
    steps: std::slice::Iter<'a, Step>,
    responses: Responses<'a>,
    /// What is to be sent, how much of it is, and which request it ends.
    out: Vec<u8>,
    sent: usize,
    sending: Option<usize>,
    pace: (usize, u64),
    not_before: u64,
    waits: Waits,
    /// The server takes nothing more.
    deaf: bool,
    /// It leaves with a reset.
    resets: bool,
    read_at: u64,
    /// When something happened last.
    moved: u64,
    /// When everything was done.
    finished: Option<u64>,
    asked: Vec<u64>,
}

impl Talking<'_> {
    fn go(&mut self) -> End {
        loop {
            if let Some(end) = self.advance() {
                return end;
            }
            if self.responses.fault.is_some() {
                return End::Complete;
            }
            let now = self.clock.now();
            if self.is_done() {
                let since = *self.finished.get_or_insert(now);
                let early = self.talk.asks.iter().any(|ask| ask.early);
                if now >= since + if early { LISTENS_ON_EARLY } else { LISTENS_ON } {
                    return End::Complete;
                }
            }
            let idle = now.saturating_sub(self.moved.max(self.not_before));
            if idle > PATIENCE.as_millis() as u64 {
                return End::Hang;
            }
            if let Some(end) = self.exchange(now) {
                return end;
            }
        }
    }

    fn is_done(&self) -> bool {
        let all_said = self.steps.len() == 0 && self.has_said() || self.deaf;
        all_said && self.responses.whole.len() >= self.talk.asks.len()
    }

    /// Takes steps until one has to wait.
    fn advance(&mut self) -> Option<End> {
        while self.has_said() && self.clock.now() >= self.not_before && self.has_come() {
            if let Some(place) = self.sending.take().filter(|_| !self.deaf) {
                self.asked[place] = self.clock.now();
            }
            self.waits = Waits::Nothing;
            let step = self.steps.next()?;
            if let Some(end) = self.take(step) {
                return Some(end);
            }
        }
        None
    }

    /// The kernel has everything.
    fn has_said(&self) -> bool {
        self.deaf || self.sent == self.out.len() && !self.link.owes()
    }

    /// What is waited for is there; a server that ended the connection has no more to come.
    fn has_come(&self) -> bool {
        match self.waits {
            Waits::Nothing => true,
            Waits::Responses(count) => self.responses.whole.len() >= count,
            Waits::Bytes(count) => self.responses.bytes >= count,
            Waits::Continue { until } => {
                self.responses.continues > 0 || self.responses.bytes > 0 || self.clock.now() >= until
            }
        }
    }

    fn take(&mut self, step: &Step) -> Option<End> {
        let now = self.clock.now();
        match *step {
            Step::Head(place) => self.say(self.talk.asks[place].head(), Some(place)),
            Step::HeadPart(place, from, to) => {
                let head = self.talk.asks[place].head();
                let ends = (to == head.len()).then_some(place);
                self.say(head[from..to].to_vec(), ends);
            }
            Step::Body(place, from, to) => self.say(self.talk.asks[place].body(from, to), Some(place)),
            Step::Raw(text) => self.say(text.into(), None),
            Step::Pace(size, pause) => self.pace = (size, pause),
            Step::Pause(pause) => self.not_before = now + pause,
            Step::Await(count) => self.waits = Waits::Responses(count),
            Step::AwaitBytes(count) => self.waits = Waits::Bytes(count),
            Step::AwaitContinue(limit) => self.waits = Waits::Continue { until: now + limit },
            // A server that is gone already does not mind.
            Step::HalfClose => drop(self.link.half_close()),
            Step::Close => return Some(End::Scripted),
            Step::Reset => {
                self.resets = true;
                return Some(End::Scripted);
            }
        }
        None
    }

    fn say(&mut self, bytes: Vec<u8>, ends: Option<usize>) {
        (self.out, self.sent, self.sending) = (bytes, 0, ends);
        if self.deaf {
            self.sent = self.out.len();
        }
    }

    /// Waits for the socket, or for the next time that something is due, and reads and writes.
    fn exchange(&mut self, now: u64) -> Option<End> {
        let writes = !self.has_said() && now >= self.not_before;
        let reads = self.may_read(now);
        if reads > 0 && self.link.has_read() {
            return self.read(reads);
        }
        let flags = interest(reads > 0, writes);
        let timeout = if self.not_before > now { (self.not_before - now).min(25) } else { 25 };
        let fds = &mut [PollFd::new(self.link.as_fd(), flags)];
        let timeout = PollTimeout::try_from(timeout.max(1)).unwrap_or(PollTimeout::ZERO);
        if poll(fds, timeout).is_err() {
            return None;
        }
        let ready = fds[0].revents().unwrap_or(PollFlags::empty());
        if ready.intersects(PollFlags::POLLOUT | PollFlags::POLLERR) && writes {
            self.write();
        }
        if reads > 0 && ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return self.read(reads);
        }
        if reads == 0 {
            // poll(2) tells of hang-ups whether asked or not.
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How much the client reads now.
    fn may_read(&self, now: u64) -> usize {
        const BLOCK: usize = 256 << 10;
        let elapsed = now - self.began;
        match self.talk.reader {
            Reader::Fast => BLOCK,
            Reader::Late(until) if elapsed < until => 0,
            Reader::Late(_) => BLOCK,
            Reader::Slow(rate) => {
                let allowed = rate / 1000 * usize::try_from(elapsed).unwrap_or(usize::MAX);
                (allowed + 1000).saturating_sub(self.responses.bytes).min(BLOCK)
            }
            Reader::Stops(at, _) if self.responses.bytes < at => BLOCK.min(at - self.responses.bytes),
            Reader::Stops(at, pause) if self.responses.bytes == at && now < self.read_at + pause => 0,
            Reader::Stops(..) => BLOCK,
        }
    }

    fn write(&mut self) {
        let most = (self.out.len() - self.sent).min(self.pace.0);
        let written = match most {
            0 => self.link.flush().map(|()| 0),
            most => self.link.write(&self.out[self.sent..self.sent + most]),
        };
        match written {
            Ok(count) => {
                self.sent += count;
                self.moved = self.clock.now();
                self.not_before = self.moved + self.pace.1;
            }
            Err(error) if is_for_later(&error) => {}
            // What was answered before may still be read.
            Err(_) => {
                self.deaf = true;
                self.sent = self.out.len();
            }
        }
    }

    fn read(&mut self, most: usize) -> Option<End> {
        let mut block = vec![0; most];
        match self.link.read(&mut block) {
            Ok(0) => Some(End::Closed),
            Ok(count) => {
                let now = self.clock.now();
                (self.moved, self.read_at) = (now, now);
                self.responses.feed(&block[..count], now);
                None
            }
            Err(error) if is_for_later(&error) => None,
            Err(error) => Some(End::Broken(error.to_string())),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
