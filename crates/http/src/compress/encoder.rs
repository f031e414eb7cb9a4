//! The codings, without I/O, and the encoders that a worker keeps for its next responses.
//!
//! An encoder of zstd or gzip is kept when its response is complete: making one takes longer than compressing a short
//! response. That of brotli cannot be used twice.

mod brotli;
mod gzip;
mod zstd;

use super::{Coding, Compression};
use std::{cell::RefCell, io};

/// How much output is made at a time, in bytes.
const ROOM: usize = 16 * 1024;
/// How many idle encoders of a coding are kept, and how much memory one of them may take, in bytes.
const MOST_IDLE: usize = 4;
const LARGEST_IDLE: usize = 4 << 20;

/// The most that the encoder of gzip keeps back of what it was given (64 KiB of literals, and what it looks ahead), and
/// the head and tail of what it makes of that, in bytes.
const MOST_KEPT: usize = 128 * 1024;
const FRAME: usize = 1024;

/// What an encoder is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Encode,
    Flush,
    Finish,
}

/// The encoder of a coding.
trait Codec {
    /// Takes of `input` what it has room for in `out`; whether it has taken all and, after a flush or the end, has put all
    /// that comes of it into `out`.
    fn step(&mut self, ask: Ask, input: &mut &[u8], out: &mut Vec<u8>) -> io::Result<bool>;
}

/// An encoder of one body. When it is dropped, it is kept for another one.
pub(crate) struct Encoder {
    kind: Option<Kind>,
    rules: &'static Compression,
    /// How much it was given since it was flushed, in bytes.
    unflushed: usize,
}

enum Kind {
    Gzip(gzip::Encoder),
    Brotli(Box<brotli::Encoder>),
    Zstd(zstd::Encoder),
}

/// Encoders that have no body at the moment.
#[derive(Default)]
pub(super) struct Idle {
    gzip: RefCell<Vec<gzip::Encoder>>,
    zstd: RefCell<Vec<zstd::Encoder>>,
}

impl Idle {
    /// An encoder of a body of this length, if that is known.
    fn take(&self, coding: Coding, level: Option<u8>, length: Option<u64>) -> io::Result<Kind> {
        // Where compressing costs about as much as sending in a local network.
        let level = |default: u8| level.unwrap_or(default);
        Ok(match coding {
            Coding::Gzip => {
                let idle = self.gzip.borrow_mut().pop();
                Kind::Gzip(idle.unwrap_or_else(|| gzip::Encoder::new(level(5))))
            }
            Coding::Brotli => Kind::Brotli(Box::new(brotli::Encoder::new(level(4), length))),
            Coding::Zstd => {
                let idle = self.zstd.borrow_mut().pop();
                let mut encoder = idle.map_or_else(|| zstd::Encoder::new(level(3)), Ok)?;
                encoder.begin(length)?;
                Kind::Zstd(encoder)
            }
        })
    }

    fn keep(&self, kind: Kind) {
        match kind {
            Kind::Gzip(mut encoder) if self.gzip.borrow().len() < MOST_IDLE => {
                encoder.reset();
                self.gzip.borrow_mut().push(encoder);
            }
            Kind::Zstd(encoder) if encoder.size() <= LARGEST_IDLE && self.zstd.borrow().len() < MOST_IDLE => {
                self.zstd.borrow_mut().push(encoder);
            }
            Kind::Gzip(_) | Kind::Brotli(_) | Kind::Zstd(_) => {}
        }
    }

    /// How many there are.
    #[cfg(test)]
    fn count(&self) -> (usize, usize) {
        (self.gzip.borrow().len(), self.zstd.borrow().len())
    }
}

impl Encoder {
    /// For a body of this length, if that is known: exactly as much has to be encoded then.
    pub(super) fn new(coding: Coding, rules: &'static Compression, length: Option<u64>) -> io::Result<Self> {
        let kind = rules.idle.take(coding, rules.level, length)?;
        Ok(Self { kind: Some(kind), rules, unflushed: 0 })
    }

    /// Takes a piece of the body; appends what comes of it so far.
    pub(super) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.unflushed += piece.len();
        self.run(Ask::Encode, piece, ROOM, out)
    }

    /// Appends the rest of what it was given, so that the client has it.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        // With less room than all of it takes, the encoder of gzip ends early and keeps the rest.
        let room = std::mem::take(&mut self.unflushed).min(MOST_KEPT) + FRAME;
        self.run(Ask::Flush, &[], room, out)
    }

    /// Appends the end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.run(Ask::Finish, &[], ROOM, out)
    }

    fn run(&mut self, ask: Ask, input: &[u8], room: usize, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.kind {
            Some(Kind::Gzip(encoder)) => run(encoder, ask, input, room, out),
            Some(Kind::Brotli(encoder)) => run(&mut **encoder, ask, input, room, out),
            Some(Kind::Zstd(encoder)) => run(encoder, ask, input, room, out),
            None => Ok(()),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if let Some(kind) = self.kind.take() {
            self.rules.idle.keep(kind);
        }
    }
}

/// Has an encoder do it all, with so much room at a time.
fn run(
    encoder: &mut impl Codec,
    ask: Ask,
    mut input: &[u8],
    room: usize,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        out.reserve(room);
        if encoder.step(ask, &mut input, out)? {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
