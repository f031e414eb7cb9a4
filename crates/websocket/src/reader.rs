//! From a client's bytes to its messages (RFC 6455 §5.4, §5.5, §6.2).

use crate::frame::{Header, Opcode};
use crate::{Inflater, Violation, is_sendable_close_code, mask};
use bytes::{Buf, Bytes, BytesMut};

/// For how much of an announced frame memory is taken before it comes.
const STEP: usize = 64 * 1024;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of text, which is valid UTF-8 (RFC 6455 §5.6).
    Text(Bytes),
    /// A message of bytes (RFC 6455 §5.6).
    Binary(Bytes),
    /// To be answered by a pong with the same payload (RFC 6455 §5.5.2).
    Ping(Bytes),
    /// Answers a ping, or came unasked (RFC 6455 §5.5.3).
    Pong(Bytes),
    /// To be answered by a close frame, unless it is an answer itself (RFC 6455 §5.5.1).
    Close {
        /// 1005 if the client gave none (RFC 6455 §7.1.5).
        code: u16,
        /// Empty if the client gave none (RFC 6455 §7.1.6).
        reason: String,
    },
}

/// Takes bytes in, gives messages out.
#[derive(Debug)]
pub struct Reader {
    max_size: usize,
    inflater: Option<Inflater>,
    partial: Option<Partial>,
    closed: bool,
}

impl Reader {
    /// Allows messages of `max_size` bytes, decompressed; compressed ones only if there is an `inflater`.
    #[must_use]
    pub fn new(max_size: usize, inflater: Option<Inflater>) -> Self {
        Self { max_size, inflater, partial: None, closed: false }
    }

    /// The next whole event in `buffer`, taken out of it; None if more bytes are needed.
    ///
    /// What comes after a close frame is thrown away (RFC 6455 §5.5.1). An unfragmented message that is not
    /// compressed is not copied: it shares `buffer`'s memory. Capacity for the rest of a frame that has begun
    /// is reserved in bounded steps.
    ///
    /// # Errors
    /// The connection must be failed with the [`Violation`]'s code (RFC 6455 §7.1.7), and the reader not be
    /// used any more. Sizes are judged as soon as a frame's header is there, and again while a message is
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
                buffer.reserve(missing.min(STEP));
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

    /// What can be told before the payload is there.
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

    /// None for a fragment that is not the last.
    fn take(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Event>, Violation> {
        match header.opcode {
            Opcode::Ping => Ok(Some(Event::Ping(payload.freeze()))),
            Opcode::Pong => Ok(Some(Event::Pong(payload.freeze()))),
            Opcode::Close => {
                self.closed = true;
                close(&payload).map(Some)
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
        let mut partial = self.partial.take().unwrap_or_else(|| Partial::begin(header));
        partial.received += payload.len();
        match &mut self.inflater {
            Some(inflater) if partial.compressed => {
                inflater.inflate(payload, &mut partial.data, self.max_size)?;
                if header.fin {
                    inflater.finish(&mut partial.data, self.max_size)?;
                }
            }
            _ => partial.data.extend_from_slice(payload),
        }
        if partial.text {
            partial.check_text(header.fin)?;
        }
        if header.fin {
            return Ok(Some(partial.into_event()));
        }
        self.partial = Some(partial);
        Ok(None)
    }
}

/// A message that is put together.
#[derive(Debug)]
struct Partial {
    text: bool,
    compressed: bool,
    /// On the wire.
    received: usize,
    data: Vec<u8>,
    /// How much of the text is known to be valid.
    valid: usize,
}

impl Partial {
    fn begin(header: &Header) -> Self {
        let text = header.opcode == Opcode::Text;
        Self { text, compressed: header.rsv1, received: 0, data: Vec::new(), valid: 0 }
    }

    /// A character that is cut is all right, unless the message ends there.
    fn check_text(&mut self, last: bool) -> Result<(), Violation> {
        match std::str::from_utf8(&self.data[self.valid..]) {
            Ok(_) => self.valid = self.data.len(),
            Err(error) if error.error_len().is_none() && !last => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    fn into_event(self) -> Event {
        let data = Bytes::from(self.data);
        if self.text { Event::Text(data) } else { Event::Binary(data) }
    }
}

fn close(payload: &[u8]) -> Result<Event, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        let none = Event::Close { code: 1005, reason: String::new() };
        return if payload.is_empty() { Ok(none) } else { Err(Violation::ClosePayload) };
    };
    let code = u16::from_be_bytes(*code);
    if !is_sendable_close_code(code) {
        return Err(Violation::CloseCode(code));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Event::Close { code, reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Deflater;
    use crate::testing::{frame, noise};
    use proptest::prelude::*;

    const MAX: usize = 1 << 20;

    fn plain() -> Reader {
        Reader::new(MAX, None)
    }

    fn inflating(max: usize) -> Reader {
        Reader::new(max, Some(Inflater::new(15, true)))
    }

    /// All events in `bytes`, which come at once.
    fn read(mut reader: Reader, bytes: &[u8]) -> Result<Vec<Event>, Violation> {
        let mut buffer = BytesMut::from(bytes);
        std::iter::from_fn(|| reader.next(&mut buffer).transpose()).collect()
    }

    fn text(text: &str) -> Event {
        Event::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn compressed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::new(15, true).write_frame(&mut out, Opcode::Binary, message);
        let header = [2, 4, 10][usize::from(out[1] >= 126) + usize::from(out[1] == 127)];
        out.split_off(header)
    }

    #[test]
    fn rfc_6455_5_7_examples() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(plain(), &hello).unwrap(), [text("Hello")]);
        let fragments = [frame(0x01, b"Hel"), frame(0x80, b"lo")].concat();
        assert_eq!(read(plain(), &fragments).unwrap(), [text("Hello")]);
        let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(plain(), &pong).unwrap(), [Event::Pong(Bytes::from_static(b"Hello"))]);
        for len in [256, 65536] {
            let message = noise(len);
            let events = read(plain(), &frame(0x82, &message)).unwrap();
            assert_eq!(events, [Event::Binary(Bytes::from(message))]);
        }
    }

    #[test]
    fn rfc_7692_7_2_3_1_in_frames() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(read(inflating(5), &frame(0xc1, &hello)).unwrap(), [text("Hello")]);
        let fragments =
            [frame(0x41, &hello[..3]), frame(0x89, b""), frame(0x80, &hello[3..]), frame(0x81, b"plain")]
                .concat();
        let ping = Event::Ping(Bytes::new());
        assert_eq!(read(inflating(5), &fragments).unwrap(), [ping, text("Hello"), text("plain")]);
    }

    #[test]
    fn context_is_taken_over_or_not() {
        let two =
            [frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), frame(0xc1, &[0xf2, 0, 0x11, 0, 0])]
                .concat();
        assert_eq!(read(inflating(5), &two).unwrap(), [text("Hello"), text("Hello")]);
        let without = Reader::new(5, Some(Inflater::new(15, false)));
        assert_eq!(read(without, &two), Err(Violation::Compression));
    }

    #[test]
    fn control_frames_between_fragments() {
        let bytes = [
            frame(0x01, b"one "),
            frame(0x89, b"ping"),
            frame(0x00, b"message"),
            frame(0x8a, b"pong"),
            frame(0x00, b""),
            frame(0x80, b"."),
            frame(0x88, b""),
            frame(0x81, b"ignored"),
            vec![0xff; 9],
        ];
        let events = [
            Event::Ping(Bytes::from_static(b"ping")),
            Event::Pong(Bytes::from_static(b"pong")),
            text("one message."),
            Event::Close { code: 1005, reason: String::new() },
        ];
        assert_eq!(read(plain(), &bytes.concat()).unwrap(), events);
    }

    #[test]
    fn close_frames() {
        let close = |code, reason: &str| Event::Close { code, reason: reason.to_owned() };
        for (payload, result) in [
            (&b""[..], Ok(close(1005, ""))),
            (b"\x03\xe8", Ok(close(1000, ""))),
            (b"\x0f\xa0bye \xc3\xa4", Ok(close(4000, "bye ä"))),
            (b"\x03", Err((Violation::ClosePayload, 1002))),
            (b"\x03\xed", Err((Violation::CloseCode(1005), 1002))),
            (b"\x03\xe7", Err((Violation::CloseCode(999), 1002))),
            (b"\x03\xe8\xff", Err((Violation::Utf8, 1007))),
        ] {
            let events = read(plain(), &frame(0x88, payload)).map_err(|v| (v, v.code()));
            assert_eq!(events, result.map(|event| vec![event]), "{payload:x?}");
        }
    }

    #[test]
    fn violations() {
        let interleaved = [frame(0x01, b"a"), frame(0x81, b"b")].concat();
        let rsv1_later = [frame(0x41, b""), frame(0xc0, b"")].concat();
        for (bytes, violation, code) in [
            (vec![0x81, 0x05], Violation::Unmasked, 1002),
            (frame(0xa1, b""), Violation::ReservedBit, 1002),
            (frame(0x91, b""), Violation::ReservedBit, 1002),
            (frame(0xc9, b""), Violation::ReservedBit, 1002),
            (rsv1_later, Violation::ReservedBit, 1002),
            (frame(0x83, b""), Violation::Opcode(3), 1002),
            (frame(0x8f, b""), Violation::Opcode(15), 1002),
            (frame(0x08, b""), Violation::ControlFragmented, 1002),
            (frame(0x89, &[0; 126]), Violation::ControlTooLong, 1002),
            (frame(0x80, b""), Violation::NothingToContinue, 1002),
            (frame(0x00, b""), Violation::NothingToContinue, 1002),
            (interleaved, Violation::Interleaved, 1002),
            (frame(0xc1, &[0xff]), Violation::Compression, 1002),
            (frame(0x81, b"\xff"), Violation::Utf8, 1007),
            (frame(0x81, b"\xe2\x82"), Violation::Utf8, 1007),
            (frame(0xc1, &compressed(b"\xff")), Violation::Utf8, 1007),
            (frame(0x82, &[0; 1001]), Violation::TooBig(1000), 1009),
        ] {
            assert_eq!(read(inflating(1000), &bytes), Err(violation), "{bytes:x?}");
            assert_eq!(violation.code(), code);
            assert!(!violation.to_string().is_empty());
        }
        // Nothing was agreed on.
        assert_eq!(read(plain(), &frame(0xc1, b"")), Err(Violation::ReservedBit));
    }

    #[test]
    fn fragmented_text_fails_with_its_first_bad_byte() {
        // A euro sign, cut after each byte.
        let cut = [frame(0x01, b"\xe2"), frame(0x00, b"\x82"), frame(0x80, b"\xac")].concat();
        assert_eq!(read(plain(), &cut).unwrap(), [text("€")]);
        let bad = [frame(0x01, b"fine\xe2"), frame(0x00, b"\x82a")].concat();
        assert_eq!(read(plain(), &bad), Err(Violation::Utf8));
        let unfinished = [frame(0x01, b"\xe2"), frame(0x80, b"\x82")].concat();
        assert_eq!(read(plain(), &unfinished), Err(Violation::Utf8));
        // Above U+10FFFF, which the second byte tells.
        assert_eq!(read(plain(), &frame(0x01, b"\xf4\x90")), Err(Violation::Utf8));
        // The same bytes in a binary message.
        assert!(read(plain(), &frame(0x82, b"\xf4\x90")).is_ok());
    }

    #[test]
    fn sizes_are_judged_before_the_payload_comes() {
        let header = |first, len| {
            let whole = frame(first, &vec![0; len]);
            whole[..whole.len() - len].to_vec()
        };
        let limit = || Reader::new(1000, None);
        assert_eq!(read(limit(), &header(0x82, 1000)), Ok(vec![]));
        assert_eq!(read(limit(), &header(0x82, 1001)), Err(Violation::TooBig(1000)));
        let together = [frame(0x02, &[0; 600]), header(0x00, 401)].concat();
        assert_eq!(read(limit(), &together), Err(Violation::TooBig(1000)));
        assert_eq!(read(inflating(1000), &header(0xc2, 1315)), Err(Violation::TooBig(1000)));
        let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        assert_eq!(read(limit(), &huge), Err(Violation::TooBig(1000)));
        assert_eq!(read(Reader::new(usize::MAX, None), &huge), Ok(vec![]));
    }

    #[test]
    fn decompressed_sizes_are_exact() {
        for message in [noise(1000), vec![0; 1000]] {
            let bytes = frame(0xc2, &compressed(&message));
            assert_eq!(read(inflating(1000), &bytes), Ok(vec![Event::Binary(message.into())]));
            assert_eq!(read(inflating(999), &bytes), Err(Violation::TooBig(999)));
        }
        let bomb = frame(0xc2, &compressed(&vec![0; 16 << 20]));
        assert_eq!(read(inflating(100_000), &bomb), Err(Violation::TooBig(100_000)));
    }

    #[test]
    fn an_announced_size_allocates_little() {
        let mut reader = Reader::new(1 << 30, None);
        let mut buffer = BytesMut::from(&[0x82, 0xff, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 2, 3, 4][..]);
        for _ in 0..10 {
            assert_eq!(reader.next(&mut buffer), Ok(None));
        }
        assert!(buffer.capacity() < 3 * STEP, "{}", buffer.capacity());
    }

    #[test]
    fn whole_messages_are_not_copied() {
        let mut buffer = BytesMut::from(&frame(0x82, &noise(1000))[..]);
        let payload = buffer[8..].as_ptr();
        let Ok(Some(Event::Binary(message))) = plain().next(&mut buffer) else { panic!("no message") };
        assert_eq!(message.as_ptr(), payload);
        assert!(buffer.is_empty());
    }

    #[test]
    fn readers_go_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Reader>();
        check::<Deflater>();
    }

    /// Where to cut something into parts.
    fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    /// A message's frames, with a ping after each.
    fn fragments(message: &Event, deflater: Option<&mut Deflater>, at: &[prop::sample::Index]) -> Vec<u8> {
        let (opcode, data) = match message {
            Event::Text(data) => (Opcode::Text, data),
            Event::Binary(data) => (Opcode::Binary, data),
            other => panic!("{other:?} is no message"),
        };
        let rsv1 = if deflater.is_some() { 0x40 } else { 0 };
        let mut payload = data.to_vec();
        if let Some(deflater) = deflater {
            let mut out = Vec::new();
            deflater.write_frame(&mut out, opcode, data);
            payload = out.split_off([2, 4, 10][usize::from(out[1] >= 126) + usize::from(out[1] == 127)]);
        }
        let parts = cut(&payload, at);
        let last = parts.len() - 1;
        let frames = parts.iter().enumerate().flat_map(|(i, part)| {
            let first = if i == 0 { opcode as u8 | rsv1 } else { 0 };
            let fin = if i == last { 0x80 } else { 0 };
            [frame(first | fin, part), frame(0x89, b"!")]
        });
        frames.flatten().collect()
    }

    fn message() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<String>().prop_map(|text| Event::Text(text.into())),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(|data| Event::Binary(data.into())),
            (any::<u8>(), 0..100_000usize).prop_map(|(byte, len)| Event::Binary(vec![byte; len].into())),
        ]
    }

    proptest! {
        #[test]
        fn any_message_in_any_pieces_comes_out_whole(
            messages in prop::collection::vec((message(), any::<bool>()), 1..5),
            takeover: bool,
            bits in 9..=15u8,
            at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            chunks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut deflater = Deflater::new(bits, takeover);
            let mut wire = Vec::new();
            for (message, compress) in &messages {
                wire.extend(fragments(message, compress.then_some(&mut deflater), &at));
            }
            let mut reader = Reader::new(MAX, Some(Inflater::new(bits, takeover)));
            let mut buffer = BytesMut::new();
            let mut events = Vec::new();
            for chunk in cut(&wire, &chunks) {
                buffer.extend_from_slice(chunk);
                while let Some(event) = reader.next(&mut buffer).unwrap() {
                    events.push(event);
                }
            }
            prop_assert!(buffer.is_empty());
            let pings = events.iter().filter(|event| matches!(event, Event::Ping(_))).count();
            prop_assert_eq!(pings, messages.len() * (at.len() + 1));
            events.retain(|event| !matches!(event, Event::Ping(_)));
            let expected: Vec<Event> = messages.into_iter().map(|(message, _)| message).collect();
            prop_assert!(events == expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), max in 0..500usize) {
            let _ = read(Reader::new(max, None), &bytes);
            let _ = read(inflating(max), &bytes);
        }

        #[test]
        fn arbitrary_frames_never_panic(
            frames in prop::collection::vec(
                (any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
            max in 0..500usize,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(first, data)| frame(first & 0xcf, data)).collect();
            let events = read(inflating(max), &bytes).unwrap_or_default();
            for event in events {
                if let Event::Text(data) | Event::Binary(data) = &event {
                    prop_assert!(data.len() <= max);
                }
                if let Event::Text(data) = &event {
                    prop_assert!(std::str::from_utf8(data).is_ok());
                }
            }
        }
    }
}
