//! Compression of messages (RFC 7692 §7.2).

use crate::Violation;
use crate::frame::{self, FIN, Opcode, RSV1};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What every compressed message ends with, left out on the wire (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How far the output grows at a time, in bytes: the first step is an estimate, limited to this.
const STEP: usize = 64 * 1024;

/// Decompresses a client's messages, for a [`Reader`](crate::Reader).
///
/// Its memory, about 48 KB for windows of any size, is taken with the first compressed message, and given back
/// after every message if the client compresses without context takeover.
#[derive(Debug)]
pub struct Inflater {
    window_bits: u8,
    takeover: bool,
    stream: Option<Decompress>,
    /// Nothing was read since a block with BFINAL, or since the end of the last message.
    at_end: bool,
}

impl Inflater {
    /// `window_bits` is from 9 to 15.
    pub(crate) fn new(window_bits: u8, takeover: bool) -> Self {
        Self { window_bits, takeover, stream: None, at_end: true }
    }

    /// Decompresses a part of a message and appends it to `out`.
    ///
    /// # Errors
    /// [`Violation::TooBig`] as soon as `out` is longer than `max`, [`Violation::Compression`] for bad data.
    pub(crate) fn inflate(
        &mut self,
        mut part: &[u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Violation> {
        while !part.is_empty() {
            part = self.inflate_stream(part, out, max)?;
        }
        Ok(())
    }

    /// Appends what the end of a message holds, which is not on the wire (RFC 7692 §7.2.2).
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, max: usize) -> Result<(), Violation> {
        // A client that ends with BFINAL must add an empty block (§7.2.3.4), and so must one whose message is empty (§7.2.3.6);
        // those that do not are accepted.
        if !self.at_end {
            self.inflate(&TAIL, out, max)?;
        }
        self.at_end = true;
        if !self.takeover {
            self.stream = None;
        }
        Ok(())
    }

    /// Reads `input` to its end or to that of the DEFLATE stream, and returns the rest.
    fn inflate_stream<'a>(
        &mut self,
        mut input: &'a [u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<&'a [u8], Violation> {
        let window_bits = self.window_bits;
        let stream = self.stream.get_or_insert_with(|| Decompress::new_with_window_bits(false, window_bits));
        self.at_end = false;
        loop {
            if out.len() == out.capacity() {
                out.reserve(input.len().saturating_mul(4).clamp(64, STEP));
            }
            let taken = stream.total_in();
            let status = stream
                .decompress_vec(input, out, FlushDecompress::Sync)
                .map_err(|_| Violation::Compression)?;
            let taken = (stream.total_in() - taken) as usize;
            input = &input[taken..];
            if out.len() > max {
                return Err(Violation::TooBig(max));
            }
            if status == Status::StreamEnd {
                // Another stream may follow (§7.2.3.4); it is independent of this one. A client can send one with
                // every two bytes, so the memory is kept.
                stream.reset(false);
                self.at_end = true;
                return Ok(input);
            }
            // A full output may hide more; only unused room shows that there is none.
            if out.len() < out.capacity() {
                return if input.is_empty() { Ok(input) } else { Err(Violation::Compression) };
            }
        }
    }
}

/// Compresses messages for a client.
///
/// Its memory, 250 KB for a window of 9 bits to 380 KB for one of 15, is taken with the first message, and
/// given back after every message if there is no context takeover.
#[derive(Debug)]
pub struct Deflater {
    window_bits: u8,
    takeover: bool,
    stream: Option<Compress>,
}

impl Deflater {
    /// `window_bits` is from 9 to 15.
    pub(crate) fn new(window_bits: u8, takeover: bool) -> Self {
        Self { window_bits, takeover, stream: None }
    }

    /// Appends a text or binary message as one frame with RSV1 and the compressed payload (RFC 7692 §7.2.1).
    ///
    /// Other opcodes are written as [`write_frame`](crate::write_frame) does, as they are never compressed.
    pub fn write_frame(&mut self, out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
        if !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return frame::write_frame(out, opcode, payload);
        }
        let start = out.len();
        if self.deflate(payload, out).is_none() {
            // Uncompressed messages are always allowed (§6), and a new stream refers to nothing that was lost.
            out.truncate(start);
            self.stream = None;
            return frame::write_frame(out, opcode, payload);
        }
        let mut header = Vec::with_capacity(10);
        frame::write_header(&mut header, FIN | RSV1 | opcode as u8, out.len() - start);
        out.splice(start..start, header);
        if !self.takeover {
            self.stream = None;
        }
    }

    /// Appends the compressed payload without its tail; `None` if zlib failed.
    fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if payload.is_empty() {
            // zlib gives nothing for a second flush in a row; this is the empty block (§7.2.3.6).
            out.push(0);
            return Some(());
        }
        let window_bits = self.window_bits;
        let stream = self.stream.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::default(), false, window_bits)
        });
        // Room for the header, which is put in front, and for the tail.
        out.reserve(16 + payload.len() / 2);
        flush(stream, payload, out)?;
        out.ends_with(&TAIL).then(|| out.truncate(out.len() - TAIL.len()))
    }
}

fn flush(stream: &mut Compress, mut input: &[u8], out: &mut Vec<u8>) -> Option<()> {
    loop {
        if out.len() == out.capacity() {
            out.reserve(input.len().clamp(64, STEP));
        }
        let taken = stream.total_in();
        stream.compress_vec(input, out, FlushCompress::Sync).ok()?;
        let taken = (stream.total_in() - taken) as usize;
        input = &input[taken..];
        if out.len() < out.capacity() {
            return input.is_empty().then_some(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    const MAX: usize = 1 << 20;

    fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        inflater.inflate(payload, &mut out, MAX)?;
        inflater.finish(&mut out, MAX)?;
        Ok(out)
    }

    /// The payload of the one frame that is written.
    fn deflate(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        deflater.write_frame(&mut out, Opcode::Binary, payload);
        assert_eq!(&out[..7], b"before\xc2");
        let header = match out[7] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let payload = out.split_off(6 + header);
        let mut expected = Vec::new();
        frame::write_header(&mut expected, 0xc2, payload.len());
        assert_eq!(out[6..], expected);
        payload
    }

    #[test]
    fn rfc_7692_7_2_3_1_one_block() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflate(&mut Inflater::new(15, true), &hello).unwrap(), b"Hello");
        assert_eq!(deflate(&mut Deflater::new(15, true), b"Hello"), hello);
        // Cut into fragments.
        let mut out = Vec::new();
        let mut inflater = Inflater::new(15, true);
        for part in [&hello[..3], &hello[3..]] {
            inflater.inflate(part, &mut out, MAX).unwrap();
        }
        inflater.finish(&mut out, MAX).unwrap();
        assert_eq!(out, b"Hello");
    }

    #[test]
    fn rfc_7692_7_2_3_2_sharing_the_window() {
        let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let mut inflater = Inflater::new(15, true);
        assert_eq!(inflate(&mut inflater, &first).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &second).unwrap(), b"Hello");
        // Without takeover each stands alone, and a reference to the first is an error.
        let mut inflater = Inflater::new(15, false);
        assert_eq!(inflate(&mut inflater, &first).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &first).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &second), Err(Violation::Compression));
    }

    #[test]
    fn rfc_7692_7_2_3_3_no_compression() {
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(inflate(&mut Inflater::new(15, true), &stored).unwrap(), b"Hello");
    }

    #[test]
    fn rfc_7692_7_2_3_4_bfinal() {
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        let mut inflater = Inflater::new(15, true);
        for payload in [&last[..], &last[..7], &last] {
            assert_eq!(inflate(&mut inflater, payload).unwrap(), b"Hello");
        }
    }

    #[test]
    fn rfc_7692_7_2_3_5_two_blocks() {
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflate(&mut Inflater::new(15, true), &two).unwrap(), b"Hello");
    }

    #[test]
    fn rfc_7692_7_2_3_6_empty_messages() {
        for takeover in [true, false] {
            let mut inflater = Inflater::new(15, takeover);
            let mut deflater = Deflater::new(15, takeover);
            for message in [&b""[..], b"", b"Hello", b"", b"", b"Hello"] {
                let payload = deflate(&mut deflater, message);
                assert_eq!(payload == [0], message.is_empty());
                assert_eq!(inflate(&mut inflater, &payload).unwrap(), message);
            }
        }
    }

    /// Without its one byte, the tail alone would be the beginning of a block, and spoil what follows.
    #[test]
    fn an_empty_message_without_a_block_leaves_the_stream_as_it_is() {
        let (hello, last) = ([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xe1]);
        for takeover in [true, false] {
            let mut inflater = Inflater::new(15, takeover);
            for (payload, message) in [
                (&[][..], &b""[..]),
                (&hello, b"Hello"),
                (&[], b""),
                (&hello, b"Hello"),
                (&last, b""),
                (&[], b""),
            ] {
                assert_eq!(inflate(&mut inflater, payload).unwrap(), message, "{takeover}");
            }
        }
    }

    #[test]
    fn takeover_makes_a_repeated_message_small() {
        let message = noise(5000);
        for (takeover, small) in [(true, true), (false, false)] {
            let mut inflater = Inflater::new(15, takeover);
            let mut deflater = Deflater::new(15, takeover);
            let first = deflate(&mut deflater, &message);
            let second = deflate(&mut deflater, &message);
            assert_eq!(second.len() < 200, small);
            assert!(first.len() >= 5000);
            for payload in [first, second] {
                assert_eq!(inflate(&mut inflater, &payload).unwrap(), message);
            }
        }
    }

    #[test]
    fn memory_is_held_only_for_the_window() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        for takeover in [true, false] {
            let mut inflater = Inflater::new(15, takeover);
            let mut deflater = Deflater::new(15, takeover);
            assert!(inflater.stream.is_none() && deflater.stream.is_none());
            inflate(&mut inflater, &hello).unwrap();
            deflate(&mut deflater, b"Hello");
            assert_eq!(inflater.stream.is_some(), takeover);
            assert_eq!(deflater.stream.is_some(), takeover);
        }
    }

    #[test]
    fn every_window_and_size_comes_back() {
        let noise = noise(100_000);
        let repeated: Vec<u8> = noise[..3000].iter().copied().cycle().take(300_000).collect();
        for bits in 9..=15 {
            // The same window on both sides: nothing refers further back than agreed.
            let mut inflater = Inflater::new(bits, true);
            let mut deflater = Deflater::new(bits, true);
            for message in [&noise[..], &noise[..100], &repeated, &vec![0; 200_000], &noise[..65536]] {
                let payload = deflate(&mut deflater, message);
                assert!(inflate(&mut inflater, &payload).unwrap() == message, "{bits} bits");
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped_while_it_is_inflated() {
        let bomb = deflate(&mut Deflater::new(15, true), &vec![0; 64 << 20]);
        let mut out = Vec::new();
        let result = Inflater::new(15, true).inflate(&bomb, &mut out, 1000);
        assert_eq!(result, Err(Violation::TooBig(1000)));
        assert!(out.capacity() <= 2 * STEP, "{}", out.capacity());
    }

    #[test]
    fn bad_data() {
        let mut inflater = Inflater::new(15, true);
        assert_eq!(inflate(&mut inflater, &[0xff, 0xff]), Err(Violation::Compression));
        assert_eq!(Violation::Compression.code(), 1002);
    }

    #[test]
    fn control_frames_are_not_compressed() {
        let mut out = Vec::new();
        Deflater::new(15, true).write_frame(&mut out, Opcode::Pong, b"hi");
        assert_eq!(out, [0x8a, 2, b'h', b'i']);
    }
}
