use super::{Coding, Compression, Encoder, Idle, LARGEST_IDLE, MOST_IDLE};
use proptest::prelude::*;
use std::io::Read;
use zstd_safe::{DCtx, InBuffer, OutBuffer};

/// What can be decoded of it, and whether that is all.
fn read(mut decoder: impl Read) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let ended = decoder.read_to_end(&mut out).is_ok();
    (out, ended)
}

fn zstd(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (mut context, mut input, mut out) = (DCtx::create(), InBuffer::around(bytes), Vec::new());
    loop {
        out.reserve(65536);
        let (before, at) = (out.len(), input.pos());
        let mut room = OutBuffer::around_pos(&mut out, before);
        let left = context.decompress_stream(&mut room, &mut input).unwrap();
        if left == 0 || (out.len() == before && input.pos() == at) {
            return (out, left == 0);
        }
    }
}

fn decode(coding: Coding, bytes: &[u8]) -> (Vec<u8>, bool) {
    match coding {
        Coding::Gzip => read(flate2::read::GzDecoder::new(bytes)),
        Coding::Brotli => read(brotli::Decompressor::new(bytes, 4096)),
        Coding::Zstd => zstd(bytes),
    }
}

fn rules(level: Option<u8>) -> &'static Compression {
    Box::leak(Box::new(Compression { level, min_size: 0, idle: Idle::default() }))
}

fn encoder(coding: Coding, level: Option<u8>) -> Encoder {
    Encoder::new(coding, rules(level), None).unwrap()
}

/// Bytes that do not become smaller.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| hostler_sys::random::mix(n).to_le_bytes()[0]).collect()
}

const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

#[test]
fn what_was_flushed_can_be_decoded_before_the_end() {
    for coding in ALL {
        for level in [None, Some(1), Some(9)] {
            let (mut encoder, mut out) = (encoder(coding, level), Vec::new());
            encoder.encode(b"one piece", &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
            assert_eq!(decode(coding, &out), (b"one piece".to_vec(), false), "{coding:?}");
            encoder.encode(b", and more", &mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            assert_eq!(decode(coding, &out), (b"one piece, and more".to_vec(), true), "{coding:?}");
        }
    }
}

#[test]
fn what_does_not_become_smaller_is_flushed_whole_whatever_its_size() {
    let noise = noise(104_000);
    for coding in ALL {
        for size in (0..noise.len()).step_by(1_237) {
            let (mut encoder, mut out) = (encoder(coding, None), Vec::new());
            for piece in noise[..size].chunks(28_901) {
                encoder.encode(piece, &mut out).unwrap();
            }
            encoder.flush(&mut out).unwrap();
            assert!(decode(coding, &out).0 == noise[..size], "{coding:?} {size}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn pieces_of_any_size_come_back(
        pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40_000), any::<bool>()), 0..6)
    ) {
        for coding in ALL {
            let (mut encoder, mut out, mut whole) = (encoder(coding, None), Vec::new(), Vec::new());
            for (piece, flush) in &pieces {
                encoder.encode(piece, &mut out).unwrap();
                whole.extend_from_slice(piece);
                if *flush {
                    encoder.flush(&mut out).unwrap();
                    prop_assert_eq!(&decode(coding, &out).0, &whole);
                }
            }
            encoder.finish(&mut out).unwrap();
            prop_assert_eq!(decode(coding, &out), (whole, true));
        }
    }
}

#[test]
fn an_encoder_is_used_again_whatever_became_of_its_last_body() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let rules = rules(None);
        for (length, ends) in
            [(Some(5000), true), (None, false), (Some(70), false), (None, true), (Some(5000), true)]
        {
            let (mut encoder, mut out) = (Encoder::new(coding, rules, length).unwrap(), Vec::new());
            let body = noise(length.unwrap_or(5000).try_into().unwrap());
            encoder.encode(&body[..60], &mut out).unwrap();
            if ends {
                encoder.encode(&body[60..], &mut out).unwrap();
                encoder.finish(&mut out).unwrap();
                assert_eq!(decode(coding, &out), (body, true), "{coding:?}");
            }
            drop(encoder);
            let (gzip, zstd) = rules.idle.count();
            assert_eq!(gzip + zstd, 1, "{coding:?}: the same one each time");
        }
    }
}

#[test]
fn few_idle_encoders_are_kept_and_none_that_is_large() {
    for coding in ALL {
        let rules = rules(None);
        let many: Vec<_> = (0..MOST_IDLE + 3).map(|_| Encoder::new(coding, rules, None).unwrap()).collect();
        drop(many);
        let (gzip, zstd) = rules.idle.count();
        assert_eq!(gzip + zstd, if coding == Coding::Brotli { 0 } else { MOST_IDLE }, "{coding:?}");
    }
    let rules = rules(Some(9));
    let (body, mut out) = (noise(3_000_000), Vec::new());
    let mut encoder = Encoder::new(Coding::Zstd, rules, Some(3_000_000)).unwrap();
    encoder.encode(&body, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    assert!(matches!(&encoder.kind, Some(super::Kind::Zstd(zstd)) if zstd.size() > LARGEST_IDLE));
    drop(encoder);
    assert_eq!(rules.idle.count(), (0, 0));
}

/// The window of a frame (RFC 8878 §3.1.1.1), in bytes.
fn window(frame: &[u8]) -> u64 {
    let descriptor = frame[4];
    if descriptor & 0x20 == 0 {
        let base = 1u64 << (10 + (frame[5] >> 3));
        return base + base / 8 * u64::from(frame[5] & 7);
    }
    let mut size = [0; 8];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    size[..length].copy_from_slice(&frame[5..5 + length]);
    u64::from_le_bytes(size) + if length == 2 { 256 } else { 0 }
}

#[test]
fn no_window_of_zstd_is_larger_than_clients_must_take() {
    let body = vec![b'x'; 20_000_000];
    for level in 1..=9 {
        let rules = rules(Some(level));
        for (length, most) in
            [(Some(2000), 2048), (Some(1 << 20), 1 << 20), (Some(20_000_000), 1 << 20), (None, 1 << 16)]
        {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(Coding::Zstd, rules, length).unwrap();
            encoder.encode(&body[..length.unwrap_or(1000).try_into().unwrap()], &mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            assert!(window(&out) <= most, "level {level}, {length:?}: {}", window(&out));
        }
    }
}

#[test]
fn a_body_that_is_not_as_long_as_was_said_does_not_look_whole() {
    for (said, sent) in [(100, 99), (100, 101)] {
        let (mut encoder, mut out) =
            (Encoder::new(Coding::Zstd, rules(None), Some(said)).unwrap(), Vec::new());
        let encoded = encoder.encode(&noise(sent), &mut out).and_then(|()| encoder.finish(&mut out));
        assert!(encoded.is_err(), "{said} {sent}");
    }
}
