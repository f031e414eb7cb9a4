//! gzip (RFC 1952).

use super::{Ask, Codec};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;

/// How far back the body may refer, as a power of two: the most that there is. Less saves little memory.
const WINDOW: u8 = 15;

pub(super) struct Encoder(Compress);

impl Encoder {
    pub(super) fn new(level: u8) -> Self {
        Self(Compress::new_gzip(Compression::new(level.into()), WINDOW))
    }

    /// Makes it ready for another body.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }
}

impl Codec for Encoder {
    fn step(&mut self, ask: Ask, input: &mut &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let flush = match ask {
            Ask::Encode => FlushCompress::None,
            Ask::Flush => FlushCompress::Sync,
            Ask::Finish => FlushCompress::Finish,
        };
        let before = self.0.total_in();
        let status = self.0.compress_vec(input, out, flush)?;
        let taken = usize::try_from(self.0.total_in() - before).map_err(io::Error::other)?;
        *input = input.get(taken..).unwrap_or_default();
        // A full buffer may not be all, whatever was taken of the input.
        let has_room = out.len() < out.capacity();
        Ok(match ask {
            Ask::Encode | Ask::Flush => input.is_empty() && has_room,
            Ask::Finish => status == Status::StreamEnd,
        })
    }
}
