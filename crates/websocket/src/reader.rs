//! From a client's bytes to its messages (RFC 6455 §5.4, §5.5, §6.2).

use crate::{
    Event, Inflater, Violation,
    frame::{Header, Opcode},
    mask,
    partial::PartialMessage,
};
use bytes::{Buf, BytesMut};

/// How much memory is reserved at a time for a frame that has begun, in bytes.
const RESERVE_STEP: usize = 64 * 1024;

/// Parses a client's frames into events.
#[derive(Debug)]
pub struct Reader {
    max_size: usize,
    inflater: Option<Inflater>,
    partial: Option<PartialMessage>,
    closed: bool,
}

impl Reader {
    /// Allows messages of `max_size` bytes, decompressed; compressed ones only if there is an `inflater`.
    #[must_use]
    pub fn new(max_size: usize, inflater: Option<Inflater>) -> Self {
        Self { max_size, inflater, partial: None, closed: false }
    }

    /// The next whole event in `buffer`, removed from it; `None` if more bytes are needed.
    ///
    /// Bytes after a close frame are discarded (RFC 6455 §5.5.1). An unfragmented message that is not
    /// compressed is not copied: it shares `buffer`'s memory. Capacity for the rest of a frame that has begun
    /// is reserved in bounded steps.
    ///
    /// # Errors
    /// The connection must be failed with the [`Violation`]'s code (RFC 6455 §7.1.7), and the reader not be
    /// used any more. Sizes are checked as soon as a frame's header is there, and again while a message is
    /// decompressed; text as soon as a fragment is there.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Violation> {
        if self.closed {
            buffer.clear();
            return Ok(None);
        }
        loop {
            let Some(header) = Header::parse(buffer)? else { return Ok(None) };
            self.check(&header)?;
            let length = usize::try_from(header.length).map_err(|_| Violation::TooBig(self.max_size))?;
            let missing = length.saturating_add(header.size).saturating_sub(buffer.len());
            if missing > 0 {
                buffer.reserve(missing.min(RESERVE_STEP));
                return Ok(None);
            }
            buffer.advance(header.size);
            let mut payload = buffer.split_to(length);
            mask::apply(&mut payload, header.key);
            if let Some(event) = self.take(&header, payload)? {
                return Ok(Some(event));
            }
        }
    }

    /// Checks what can be known before the payload is there.
    fn check(&self, header: &Header) -> Result<(), Violation> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let begins = header.opcode != Opcode::Continuation;
        if header.rsv1 && !(begins && self.inflater.is_some()) {
            return Err(Violation::ReservedBit);
        }
        let (before, compressed) = match &self.partial {
            None if !begins => return Err(Violation::NothingToContinue),
            Some(_) if begins => return Err(Violation::Interleaved),
            None => (0, header.rsv1),
            Some(partial) => (partial.received, partial.compressed),
        };
        if (before as u64).saturating_add(header.length) > self.max_on_wire(compressed) {
            return Err(Violation::TooBig(self.max_size));
        }
        Ok(())
    }

    /// Data that cannot be compressed grow a little; the decompressed size is checked exactly, later.
    fn max_on_wire(&self, compressed: bool) -> u64 {
        let max = self.max_size as u64;
        if compressed { max.saturating_add(max / 4).saturating_add(64) } else { max }
    }

    /// `None` for a fragment that is not the last.
    fn take(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Event>, Violation> {
        match header.opcode {
            Opcode::Ping => Ok(Some(Event::Ping(payload.freeze()))),
            Opcode::Pong => Ok(Some(Event::Pong(payload.freeze()))),
            Opcode::Close => {
                self.closed = true;
                Event::close(&payload).map(Some)
            }
            Opcode::Text if header.fin && !header.rsv1 => {
                std::str::from_utf8(&payload).map_err(|_| Violation::Utf8)?;
                Ok(Some(Event::Text(payload.freeze())))
            }
            Opcode::Binary if header.fin && !header.rsv1 => Ok(Some(Event::Binary(payload.freeze()))),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => self.assemble(header, &payload),
        }
    }

    fn assemble(&mut self, header: &Header, payload: &[u8]) -> Result<Option<Event>, Violation> {
        let mut partial = self.partial.take().unwrap_or_else(|| PartialMessage::begin(header));
        partial.add(payload, header.fin, self.inflater.as_mut(), self.max_size)?;
        if header.fin {
            return Ok(Some(partial.into_event()));
        }
        self.partial = Some(partial);
        Ok(None)
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "reader_properties.rs"]
mod properties;
