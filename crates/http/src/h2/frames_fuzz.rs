//! Any bytes behind the preface, in any pieces: the frames that are counted are those that stand there.

use super::{Frames, PREFACE};
use crate::fuzzing::{assemble, split_piece};
use hostler_settings::Http2;

const PARTS: [&[u8]; 12] = [
    b"\0\0\0\x03\0\0\0\0\x01",
    b"\0\0\x04\x03\0\0\0\0\x03abcd",
    b"\0\0\x08\x06\0\0\0\0\0abcdefgh",
    b"\0\0\0\x04\x01\0\0\0\0",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x02\x01\x05\0\0\0\x05hi",
    b"\0\0\x05\0\0\0\0\0\x05hello",
    b"\0\x01\0\0\0\0\0\0\x01",
    b"\0\0\0\xff\xff\xff\xff\xff\xff",
    b"\0",
    b"\x01",
    b"\x03",
];

#[test]
fn fuzz_http2_frames() {
    bolero::check!().with_max_len(64).for_each(|input: &[u8]| {
        let Some((piece, input)) = split_piece(input) else { return };
        let bytes = assemble(input, &PARTS);
        let sent = [PREFACE, &bytes].concat();
        assert_eq!(read(&sent, piece), counted(&bytes), "{bytes:x?} by {piece}");
    });
}

/// Resets and control frames up to the limits of five, the last stream, whether the limit was exceeded.
type Counts = (u32, u32, u32, bool);

fn read(bytes: &[u8], piece: usize) -> Counts {
    let mut frames = Frames::new(&Http2 { max_resets: 5, max_control_frames: 5, ..Http2::default() });
    let is_flood = bytes.chunks(piece).any(|piece| frames.read(piece, || 1).is_err());
    assert_eq!(is_flood, frames.flooded);
    (frames.resets, frames.controls, frames.last_stream, is_flood)
}

fn counted(mut bytes: &[u8]) -> Counts {
    let (mut resets, mut controls, mut last) = (0, 0, 0);
    while let Some((&[a, b, c, kind, flags, stream @ ..], payload)) = bytes.split_first_chunk::<9>() {
        match (kind, flags & 1) {
            (0 | 8, _) | (4 | 6, 1) => {}
            (1 | 9, _) => last = last.max(u32::from_be_bytes(stream) << 1 >> 1),
            (3, _) => resets += 1,
            _ => controls += 1,
        }
        if resets > 5 || controls > 5 {
            return (resets, controls, last, true);
        }
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        bytes = payload.get(length..).unwrap_or_default();
    }
    (resets, controls, last, false)
}
