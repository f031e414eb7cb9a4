use super::{RESERVE_STEP, Reader};
use crate::{
    Deflater, Event, Inflater, Opcode, Violation,
    testing::{frame, inflating, noise, read},
};
use bytes::{Bytes, BytesMut};

const MAX: usize = 1 << 20;

fn plain() -> Reader {
    Reader::new(MAX, None)
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
    let two = [frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), frame(0xc1, &[0xf2, 0, 0x11, 0, 0])]
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
    // Above U+10FFFF, which the second byte shows.
    assert_eq!(read(plain(), &frame(0x01, b"\xf4\x90")), Err(Violation::Utf8));
    // The same bytes in a binary message.
    assert!(read(plain(), &frame(0x82, b"\xf4\x90")).is_ok());
}

#[test]
fn sizes_are_checked_before_the_payload_arrives() {
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
    assert!(buffer.capacity() < 3 * RESERVE_STEP, "{}", buffer.capacity());
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
