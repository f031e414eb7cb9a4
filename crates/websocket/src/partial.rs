//! Fragmented and compressed messages, put together (RFC 6455 §5.4, RFC 7692 §7.2.2).

use crate::{
    Event, Inflater, Violation,
    frame::{Header, Opcode},
};
use bytes::Bytes;

/// A message of which not all fragments have arrived.
#[derive(Debug)]
pub(crate) struct PartialMessage {
    text: bool,
    pub(crate) compressed: bool,
    /// Bytes of payload so far, before decompression.
    pub(crate) received: usize,
    data: Vec<u8>,
    /// How much of the text is known to be valid.
    valid: usize,
}

impl PartialMessage {
    pub(crate) fn begin(header: &Header) -> Self {
        let text = header.opcode == Opcode::Text;
        Self { text, compressed: header.rsv1, received: 0, data: Vec::new(), valid: 0 }
    }

    /// Adds the payload of a fragment, decompressed to at most `max_size` bytes in all.
    pub(crate) fn add(
        &mut self,
        payload: &[u8],
        is_last: bool,
        inflater: Option<&mut Inflater>,
        max_size: usize,
    ) -> Result<(), Violation> {
        self.received += payload.len();
        match inflater {
            Some(inflater) if self.compressed => {
                inflater.inflate(payload, &mut self.data, max_size)?;
                if is_last {
                    inflater.finish(&mut self.data, max_size)?;
                }
            }
            _ => self.data.extend_from_slice(payload),
        }
        if self.text { self.check_text(is_last) } else { Ok(()) }
    }

    /// Checks what was added. A character may be cut by the end of a fragment, unless it is the last.
    fn check_text(&mut self, last: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.data[self.valid..]) {
            Ok(_) => self.valid = self.data.len(),
            Err(error) if error.error_len().is_none() && !last => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    pub(crate) fn into_event(self) -> Event {
        let data = Bytes::from(self.data);
        if self.text { Event::Text(data) } else { Event::Binary(data) }
    }
}
