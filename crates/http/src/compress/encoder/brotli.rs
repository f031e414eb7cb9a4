//! brotli (RFC 7932).

use super::{Ask, Codec, ROOM};
use brotli::enc::{
    StandardAlloc,
    backward_references::BrotliEncoderParams,
    encode::{BrotliEncoderOperation as Operation, BrotliEncoderStateStruct},
};
use std::io;

/// How far back a body may refer, as a power of two. With less than the least, the library takes tables of 30 MiB from
/// level 5 on; each step beyond doubles what an encoder keeps of the body.
const WINDOWS: std::ops::RangeInclusive<u32> = 17..=20;
/// How much is compressed at once, as a power of two: other requests wait meanwhile. From level 9 on, the library would take
/// four times as much.
const BLOCK: i32 = 16;
/// The highest level for bodies of unknown length, which may be open for long: the tables of the next one take 10 MiB.
const MOST_OF_STREAMS: u8 = 6;

pub(super) struct Encoder(BrotliEncoderStateStruct<StandardAlloc>);

impl Encoder {
    pub(super) fn new(level: u8, length: Option<u64>) -> Self {
        let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
        let (level, window) = match length {
            Some(length) => (level, u64::BITS - length.leading_zeros()),
            None => (level.min(MOST_OF_STREAMS), 0),
        };
        state.params = BrotliEncoderParams {
            quality: level.into(),
            lgwin: window.clamp(*WINDOWS.start(), *WINDOWS.end()).cast_signed(),
            lgblock: BLOCK,
            size_hint: length.and_then(|length| length.try_into().ok()).unwrap_or_default(),
            ..BrotliEncoderParams::default()
        };
        Self(state)
    }
}

impl Codec for Encoder {
    fn step(&mut self, ask: Ask, input: &mut &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let operation = match ask {
            Ask::Encode => Operation::BROTLI_OPERATION_PROCESS,
            Ask::Flush => Operation::BROTLI_OPERATION_FLUSH,
            Ask::Finish => Operation::BROTLI_OPERATION_FINISH,
        };
        let (mut given, mut taken) = (input.len(), 0);
        let (mut room, mut made, before) = (ROOM, 0, out.len());
        out.resize(before + room, 0);
        let done = self.0.compress_stream(
            operation,
            &mut given,
            input,
            &mut taken,
            &mut room,
            &mut out[before..],
            &mut made,
            &mut None,
            &mut |_, _, _, _| (),
        );
        out.truncate(before + made);
        *input = input.get(taken..).unwrap_or_default();
        if !done {
            return Err(io::Error::other("the encoder of brotli failed"));
        }
        let all = input.is_empty() && !self.0.has_more_output();
        Ok(all && (ask != Ask::Finish || self.0.is_finished()))
    }
}
