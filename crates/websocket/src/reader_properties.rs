use super::Reader;
use crate::{
    Deflater, Event, Inflater, Opcode,
    testing::{frame, inflating, read},
};
use bytes::BytesMut;
use proptest::prelude::*;

const MAX: usize = 1 << 20;

/// Parts of `bytes`, cut at these places.
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
        other => panic!("{other:?} is not a message"),
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
