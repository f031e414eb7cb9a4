//! zstd (RFC 8878). Clients need not remember more than 8 MiB of a body (RFC 9659): no window here is as large.

use super::{Ask, Codec};
use std::io;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

/// How far back a body may refer, and how large the tables of what it may refer to are, as powers of two; 0 leaves it to the
/// library, which goes by level and length.
struct Reach {
    window: u32,
    chain: u32,
    hash: u32,
}

/// For bodies of unknown length, which may be open for long: 0.4 MiB in place of 3.6 at level 3, for 3 % more bytes.
const UNKNOWN: Reach = Reach { window: 16, chain: 14, hash: 15 };
/// For bodies longer than 1 MiB.
const LONG: Reach = Reach { window: 20, chain: 0, hash: 0 };
const SHORT: Reach = Reach { window: 0, chain: 0, hash: 0 };

pub(super) struct Encoder(CCtx<'static>);

impl Encoder {
    pub(super) fn new(level: u8) -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        context.set_parameter(CParameter::CompressionLevel(level.into())).map_err(failed)?;
        Ok(Self(context))
    }

    /// Begins a body of this length, if that is known: exactly as much has to follow then.
    pub(super) fn begin(&mut self, length: Option<u64>) -> io::Result<()> {
        let reach = match length {
            None => UNKNOWN,
            Some(length) if length > 1 << LONG.window => LONG,
            Some(_) => SHORT,
        };
        self.0.reset(ResetDirective::SessionOnly).map_err(failed)?;
        for parameter in [
            CParameter::WindowLog(reach.window),
            CParameter::ChainLog(reach.chain),
            CParameter::HashLog(reach.hash),
        ] {
            self.0.set_parameter(parameter).map_err(failed)?;
        }
        self.0.set_pledged_src_size(length).map_err(failed)?;
        Ok(())
    }

    /// What it takes of memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.0.sizeof()
    }
}

impl Codec for Encoder {
    fn step(&mut self, ask: Ask, input: &mut &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let written = out.len();
        let mut room = OutBuffer::around_pos(out, written);
        match ask {
            Ask::Encode => {
                let mut piece = InBuffer::around(input);
                self.0.compress_stream(&mut room, &mut piece).map_err(failed)?;
                let taken = piece.pos();
                *input = input.get(taken..).unwrap_or_default();
                Ok(input.is_empty())
            }
            Ask::Flush => Ok(self.0.flush_stream(&mut room).map_err(failed)? == 0),
            Ask::Finish => Ok(self.0.end_stream(&mut room).map_err(failed)? == 0),
        }
    }
}

fn failed(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}
