//! The framing of a chunked body, strictly by RFC 9112 §7.1, one byte after the other.

use crate::request::refusal::Refusal;

/// A size has at most this many digits: as many as 64 bits have. Zeros in front count.
const MAX_DIGITS: u8 = 16;

/// A chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: Chunk,
    /// Bytes of data in the chunks that have begun.
    announced: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chunk {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Digits of the size, and how many there were.
    Digits(u64, u8),
    Extension(u64, Extension),
    /// The line feed after a size.
    LineEnd(u64),
    Data(u64),
    DataEnd(&'static [u8]),
    /// Trailers, up to an empty line; whether the current line is empty so far.
    Trailers {
        empty: bool,
    },
    /// The line feed of a trailer.
    TrailerEnd {
        empty: bool,
    },
    Ended,
}

/// `chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS value ] )` (RFC 9112 §7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// White space before a semicolon.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// White space after a name: `=` or `;` follows.
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    /// After a backslash within quotes.
    Escaped,
    QuoteEnd,
}

impl Chunks {
    pub(super) fn ended(&self) -> bool {
        self.state == Chunk::Ended
    }

    /// How large the body is at least, by the sizes of its chunks.
    pub(super) fn announced(&self) -> u64 {
        self.announced
    }

    /// Reads the bytes that belong to the body; how many they are.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            if let Chunk::Data(left) = &mut self.state {
                let rest = bytes.len() - at;
                let skipped = usize::try_from(*left).map_or(rest, |left| left.min(rest));
                *left -= skipped as u64;
                at += skipped;
                if *left == 0 {
                    self.state = Chunk::DataEnd(b"\r\n");
                }
                continue;
            }
            self.state = self.state.step(bytes[at])?;
            if let Chunk::Data(size) = self.state {
                self.announced = self.announced.saturating_add(size);
            }
            at += 1;
        }
        Ok(at)
    }
}

impl Chunk {
    fn step(self, byte: u8) -> Result<Self, Refusal> {
        Ok(match (self, byte) {
            (Self::Size, _) => Self::Digits(digit(byte)?, 1),
            (Self::Digits(size, _), b'\r') => Self::LineEnd(size),
            (Self::Digits(size, _), b';') => Self::Extension(size, Extension::BeforeName),
            (Self::Digits(size, _), b' ' | b'\t') => Self::Extension(size, Extension::BeforeSemicolon),
            (Self::Digits(size, digits), _) => {
                let digit = digit(byte)?;
                if digits == MAX_DIGITS {
                    return Err(Refusal::malformed("a chunk's size is too large"));
                }
                Self::Digits(size << 4 | digit, digits + 1)
            }
            (Self::Extension(size, extension), b'\r') if extension.may_end() => Self::LineEnd(size),
            (Self::Extension(size, extension), _) => Self::Extension(size, extension.step(byte)?),
            (Self::LineEnd(0), b'\n') => Self::Trailers { empty: true },
            (Self::LineEnd(size), b'\n') => Self::Data(size),
            (Self::DataEnd([expected, rest @ ..]), _) if *expected == byte => match rest {
                [] => Self::Size,
                rest => Self::DataEnd(rest),
            },
            (Self::LineEnd(_) | Self::DataEnd(_), _) => {
                return Err(Refusal::malformed("a chunk does not end with CR LF"));
            }
            (Self::Trailers { .. } | Self::TrailerEnd { .. }, _) => self.step_trailer(byte)?,
            (Self::Data(_) | Self::Ended, _) => return Err(Refusal::malformed("a chunk is malformed")),
        })
    }

    /// hyper checks the content of trailers, and does not accept a bare LF as their end.
    fn step_trailer(self, byte: u8) -> Result<Self, Refusal> {
        match (self, byte) {
            (Self::Trailers { empty }, b'\r') => Ok(Self::TrailerEnd { empty }),
            (Self::TrailerEnd { empty: true }, b'\n') => Ok(Self::Ended),
            (Self::TrailerEnd { empty: false }, b'\n') => Ok(Self::Trailers { empty: true }),
            (Self::TrailerEnd { .. }, _) | (_, b'\n') => {
                Err(Refusal::malformed("a trailer does not end with CR LF"))
            }
            _ => Ok(Self::Trailers { empty: false }),
        }
    }
}

impl Extension {
    /// Whether the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::QuoteEnd)
    }

    fn step(self, byte: u8) -> Result<Self, Refusal> {
        let is_token = is_token(byte);
        Ok(match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Self::Quoted,
            (Self::BeforeSemicolon | Self::Name | Self::AfterName | Self::Token | Self::QuoteEnd, b';') => {
                Self::BeforeName
            }
            (Self::BeforeName | Self::Name, _) if is_token => Self::Name,
            (Self::BeforeValue | Self::Token, _) if is_token => Self::Token,
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (
                Self::BeforeSemicolon | Self::BeforeName | Self::AfterName | Self::BeforeValue,
                b' ' | b'\t',
            ) => self,
            (Self::Name, b' ' | b'\t') => Self::AfterName,
            (Self::Token | Self::QuoteEnd, b' ' | b'\t') => Self::BeforeSemicolon,
            (Self::BeforeSemicolon, _) => {
                return Err(Refusal::malformed("there is white space after a chunk's size"));
            }
            _ => return Err(Refusal::malformed("a chunk's extension is malformed")),
        })
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn digit(byte: u8) -> Result<u64, Refusal> {
    let digit = char::from(byte).to_digit(16).map(u64::from);
    digit.ok_or(Refusal::malformed("a chunk's size is malformed"))
}

#[cfg(test)]
#[path = "chunks_fuzz.rs"]
mod fuzz;
