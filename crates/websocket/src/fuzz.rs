//! Any bytes from a client, in any pieces, beside simple readers of the same.

use crate::{
    DeflateOptions, Deflater, Event, Inflater, Opcode, Reader, Violation, agree,
    frame::is_sendable_close_code,
    testing::{frame, noise},
};
use bytes::BytesMut;
use flate2::{Decompress, FlushDecompress, Status};

/// What a message may have.
const MAX: usize = 600;

/// The first byte of the input chooses the length of pieces; the rest are frames: a first byte of each, its length, its payload.
#[test]
fn fuzz_reader() {
    bolero::check!().with_max_len(160).for_each(|input: &[u8]| {
        let Some((&[piece, takeover], input)) = input.split_first_chunk::<2>() else { return };
        let wire = frames(input);
        for compression in [None, Some(takeover & 1 == 1)] {
            let whole = read(&wire, wire.len().max(1), compression);
            let cut = read(&wire, 1 + usize::from(piece) % 40, compression);
            assert_eq!(whole, cut, "{wire:x?}");
            let reference = reference(&wire, compression);
            assert!(
                whole == reference || both_apply(&whole, &reference),
                "{whole:?} {reference:?} {wire:x?}"
            );
        }
    });
}

/// A compressed message that is too large and malformed (RFC 6455 §7.4.1: 1009, 1002) may be refused for either reason: which
/// is found first depends on how much is inflated at a time.
fn both_apply((events, code): &Outcome, (others, other): &Outcome) -> bool {
    let is_either = |code: &Option<u16>| matches!(code, Some(1002 | 1009));
    events == others && is_either(code) && is_either(other)
}

/// First bytes of frames: most are of those that a client may send.
const FIRST: [u8; 16] =
    [0x81, 0x82, 0xc1, 0xc2, 0x01, 0x02, 0x41, 0x42, 0x00, 0x80, 0x80, 0x89, 0x8a, 0x88, 0x00, 0x80];

fn frames(mut input: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    while let Some((&[kind, length], rest)) = input.split_first_chunk::<2>() {
        let payload = &rest[..rest.len().min(usize::from(length % 32))];
        input = &rest[payload.len()..];
        let first = if kind < 240 { FIRST[usize::from(kind) % FIRST.len()] } else { length };
        let payload = match length >> 5 {
            0 => vec![b'a'; 100 * payload.len()],
            1 | 2 if first & 0x40 != 0 => deflated(payload),
            _ => payload.to_vec(),
        };
        match kind {
            255 => wire.extend_from_slice(&payload),
            _ => wire.extend(frame(first, &payload)),
        }
    }
    wire
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(15, false).write_frame(&mut out, Opcode::Binary, payload);
    out.split_off(2)
}

/// The events, and how it ended.
type Outcome = (Vec<Event>, Option<u16>);

fn read(wire: &[u8], piece: usize, compression: Option<bool>) -> Outcome {
    let mut reader = Reader::new(MAX, compression.map(|takeover| Inflater::new(15, takeover)));
    let (mut buffer, mut events) = (BytesMut::new(), Vec::new());
    for piece in wire.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(violation) => return (events, Some(violation.code())),
            }
        }
        assert!(buffer.capacity() <= wire.len() * 2 + 128 * 1024, "{}", buffer.capacity());
    }
    (events, None)
}

/// A reader of RFC 6455 and RFC 7692 that has everything at once.
fn reference(mut wire: &[u8], compression: Option<bool>) -> Outcome {
    let mut events = Vec::new();
    let mut messages = Messages { compression, history: Vec::new(), begun: None };
    loop {
        let (first, length, key, rest) = match header(wire) {
            Ok(Some(header)) => header,
            Ok(None) => return (events, None),
            Err(code) => return (events, Some(code)),
        };
        if first & 8 == 0
            && let Err(code) = messages.check(first, length)
        {
            return (events, Some(code));
        }
        let Some(payload) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else {
            return (events, None);
        };
        wire = &rest[payload.len()..];
        let payload: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        match first & 15 {
            8 => return closed(events, &payload),
            9 => events.push(Event::Ping(payload.into())),
            10 => events.push(Event::Pong(payload.into())),
            _ => match messages.take(first, &payload) {
                Ok(event) => events.extend(event),
                Err(code) => return (events, Some(code)),
            },
        }
    }
}

/// The first byte of a frame, its length, its key, and what stands behind those; `None` if they are not there.
#[expect(clippy::type_complexity, reason = "it is taken apart at once")]
fn header(wire: &[u8]) -> Result<Option<(u8, u64, &[u8], &[u8])>, u16> {
    let [first, second, rest @ ..] = wire else { return Ok(None) };
    let (opcode, short) = (first & 15, second & 0x7f);
    let is_valid = matches!(opcode, 0..=2 | 8..=10) && first & 0x30 == 0 && second & 0x80 != 0;
    if !is_valid || opcode >= 8 && (first & 0xc0 != 0x80 || short > 125) {
        return Err(1002);
    }
    let extended = [0, 2, 8][usize::from(short >= 126) + usize::from(short == 127)];
    let Some((number, rest)) = rest.split_at_checked(extended) else { return Ok(None) };
    let number = number.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let length = if extended == 0 { u64::from(short) } else { number };
    if length >> 63 != 0 {
        return Err(1002);
    }
    Ok(rest.split_at_checked(4).map(|(key, rest)| (*first, length, key, rest)))
}

/// Whether a message is text and compressed, and what was received of it.
type Begun = (bool, bool, Vec<u8>);

struct Messages {
    /// With it, whether the window is kept.
    compression: Option<bool>,
    /// Compressed messages that are complete.
    history: Vec<Vec<u8>>,
    begun: Option<Begun>,
}

impl Messages {
    fn check(&self, first: u8, length: u64) -> Result<(), u16> {
        let (begins, rsv1) = (first & 15 != 0, first & 0x40 != 0);
        let (before, compressed) = match &self.begun {
            Some((_, compressed, before)) if !begins && !rsv1 => (before.len() as u64, *compressed),
            None if begins && (!rsv1 || self.compression.is_some()) => (0, rsv1),
            _ => return Err(1002),
        };
        if length.saturating_add(before) > limit(compressed) { Err(1009) } else { Ok(()) }
    }

    fn take(&mut self, first: u8, payload: &[u8]) -> Result<Option<Event>, u16> {
        let (is_last, text) = (first & 0x80 != 0, first & 15 == 1);
        let begun = self.begun.take().unwrap_or_else(|| (text, first & 0x40 != 0, Vec::new()));
        let (text, compressed, mut received) = begun;
        received.extend(payload);
        let data = if compressed { self.inflate(&received, is_last)? } else { received.clone() };
        if text && std::str::from_utf8(&data).is_err_and(|error| is_last || error.error_len().is_some()) {
            return Err(1007);
        }
        if !is_last {
            self.begun = Some((text, compressed, received));
            return Ok(None);
        }
        if compressed {
            self.history.push(received);
        }
        Ok(Some(if text { Event::Text(data.into()) } else { Event::Binary(data.into()) }))
    }

    /// Decompresses every message from the first on, again and again, with a window of the largest size.
    fn inflate(&self, received: &[u8], is_last: bool) -> Result<Vec<u8>, u16> {
        let mut zlib = Decompress::new(false);
        if self.compression == Some(true) {
            for message in &self.history {
                inflate(&mut zlib, message, true)?;
            }
        }
        inflate(&mut zlib, received, is_last)
    }
}

fn limit(compressed: bool) -> u64 {
    (if compressed { MAX + MAX / 4 + 64 } else { MAX }) as u64
}

fn closed(mut events: Vec<Event>, payload: &[u8]) -> Outcome {
    let (code, reason) = match payload {
        [] => (1005, &[][..]),
        [_] => return (events, Some(1002)),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if code != 1005 && !is_sendable_close_code(code) || code == 1005 && !payload.is_empty() {
        return (events, Some(1002));
    }
    let Ok(reason) = String::from_utf8(reason.to_vec()) else { return (events, Some(1007)) };
    events.push(Event::Close { code, reason });
    (events, None)
}

/// A message, without its tail, or the beginning of one.
fn inflate(zlib: &mut Decompress, received: &[u8], is_last: bool) -> Result<Vec<u8>, u16> {
    let mut data = Vec::new();
    let mut has_ended = true;
    for byte in received {
        has_ended = inflate_byte(zlib, *byte, &mut data)?;
    }
    if is_last && !has_ended {
        for byte in [0, 0, 0xff, 0xff] {
            inflate_byte(zlib, byte, &mut data)?;
        }
    }
    Ok(data)
}

/// Whether the stream has ended. One byte of output is given at a time.
fn inflate_byte(zlib: &mut Decompress, byte: u8, data: &mut Vec<u8>) -> Result<bool, u16> {
    let mut input: &[u8] = &[byte];
    loop {
        let (mut output, before) = ([0], (zlib.total_in(), zlib.total_out()));
        let status = zlib.decompress(input, &mut output, FlushDecompress::Sync).map_err(|_| 1002_u16)?;
        input = &input[(zlib.total_in() - before.0) as usize..];
        let produced = (zlib.total_out() - before.1) as usize;
        data.extend_from_slice(&output[..produced]);
        if data.len() > MAX {
            return Err(1009);
        }
        if status == Status::StreamEnd {
            zlib.reset(false);
            return Ok(true);
        }
        if produced == 0 {
            return Ok(false);
        }
    }
}

/// What is compressed comes back, whatever came before; and any bytes give no more than is allowed, in bounded memory.
#[test]
fn fuzz_deflate() {
    bolero::check!().with_max_len(200).for_each(|input: &[u8]| {
        let Some((&[bits, takeover, piece], input)) = input.split_first_chunk::<3>() else { return };
        let (bits, takeover) = (9 + bits % 7, takeover & 1 == 1);
        let (mut deflater, mut inflater) = (Deflater::new(bits, takeover), Inflater::new(bits, takeover));
        for part in input.chunks(1 + usize::from(piece)) {
            let message = grown(part);
            let mut out = Vec::new();
            deflater.write_frame(&mut out, Opcode::Binary, &message);
            let header = [2, 4, 10][usize::from(out[1] >= 126) + usize::from(out[1] == 127)];
            let mut data = Vec::new();
            inflater.inflate(&out[header..], &mut data, message.len()).unwrap();
            inflater.finish(&mut data, message.len()).unwrap();
            assert!(data == message, "{bits} {takeover} {part:x?}");
        }
        let (whole, cut) = (inflated(input, input.len().max(1)), inflated(input, 1 + usize::from(piece)));
        // What is too long and broken is refused for what is found first.
        assert_eq!(whole.ok(), cut.ok(), "{input:x?}");
    });
}

/// Some bytes as they are, some many times, some as noise.
fn grown(part: &[u8]) -> Vec<u8> {
    match part {
        [0..64, length, ..] => vec![part[0]; usize::from(*length) * 300],
        [64..96, length, ..] => noise(usize::from(*length) * 30),
        _ => part.to_vec(),
    }
}

fn inflated(input: &[u8], piece: usize) -> Result<Vec<u8>, Violation> {
    let (mut inflater, mut data) = (Inflater::new(15, true), Vec::new());
    for piece in input.chunks(piece) {
        inflater.inflate(piece, &mut data, MAX)?;
    }
    inflater.finish(&mut data, MAX)?;
    assert!(data.len() <= MAX && data.capacity() <= 2 * MAX + 64 * 1024);
    Ok(data)
}

const OFFERS: [&str; 20] = [
    "permessage-deflate",
    "permessage-deflate",
    "; server_no_context_takeover",
    "; client_no_context_takeover",
    "; server_max_window_bits",
    "; client_max_window_bits",
    "=8",
    "=9",
    "=15",
    "=\"10\"",
    "=16",
    ",",
    ", ",
    ";",
    "=",
    "\"",
    "\\",
    " ",
    "x-webkit-deflate-frame",
    "0",
];

/// The first offer that is acceptable is accepted, with nothing that was not offered; in however many lines offers come.
#[test]
fn fuzz_extensions() {
    bolero::check!().with_max_len(40).for_each(|input: &[u8]| {
        let Some((&[bits, takeover, middle], input)) = input.split_first_chunk::<3>() else { return };
        let options = DeflateOptions { window_bits: bits % 18, context_takeover: takeover & 1 == 1 };
        let text = |input: &[u8]| -> String {
            input.iter().map(|part| OFFERS[usize::from(*part) % OFFERS.len()]).collect()
        };
        let (one, other) = input.split_at(usize::from(middle) % (input.len() + 1));
        let (one, other) = (text(one), text(other));
        let agreed = |offers: &[&str]| agree(offers.iter().copied(), options);
        let first = agreed(&[&one]).or_else(|| agreed(&[&other]));
        assert_eq!(agreed(&[&one, &other]), first, "{one} | {other}");
        if !one.contains('"') {
            assert_eq!(agreed(&[&format!("{one},{other}")]), first, "{one} | {other}");
        }
        let Some(agreement) = first else { return };
        let offer = format!("{one},{other}");
        for parameter in agreement.response.split(';').skip(1) {
            let name = parameter.trim().split('=').next().unwrap();
            let unsolicited = name.starts_with("server_") || name == "client_no_context_takeover";
            assert!(unsolicited || offer.contains(name), "{offer}: {}", agreement.response);
        }
        // What the server compresses a client with the window that was agreed reads.
        let mut out = Vec::new();
        agreement.deflater().write_frame(&mut out, Opcode::Binary, b"aaaaaaaaaaaaaaaaaaaaaaaa");
        let mut data = Vec::new();
        agreement.inflater().inflate(&out[2..], &mut data, MAX).unwrap();
        assert_eq!(data, b"aaaaaaaaaaaaaaaaaaaaaaaa");
    });
}
