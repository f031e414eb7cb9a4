//! What the tests of several modules share: a client's frames, and reading them.

use crate::{Event, Inflater, Reader, Violation, mask};
use bytes::BytesMut;

/// A masked frame; `first` holds FIN, RSV1 and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = Vec::new();
    crate::frame::write_header(&mut out, first, payload.len());
    out[1] |= 0x80;
    out.extend_from_slice(&key);
    let mut payload = payload.to_vec();
    mask::apply(&mut payload, key);
    out.extend_from_slice(&payload);
    out
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A reader of compressed messages.
pub(crate) fn inflating(max: usize) -> Reader {
    Reader::new(max, Some(Inflater::new(15, true)))
}

/// All events in `bytes`, which arrive at once.
pub(crate) fn read(mut reader: Reader, bytes: &[u8]) -> Result<Vec<Event>, Violation> {
    let mut buffer = BytesMut::from(bytes);
    std::iter::from_fn(|| reader.next(&mut buffer).transpose()).collect()
}
