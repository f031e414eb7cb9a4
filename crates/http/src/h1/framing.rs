//! Where one request ends and the next begins, from the bytes themselves, for the rules that hyper does not enforce.
//!
//! hyper accepts white space after a chunk's size, removes the fragment of a target, and accepts a request with both
//! Content-Length and chunks. A proxy before us may read such a request differently, which makes one's body the other's
//! next request: request smuggling (RFC 9112 §11.2). So the bytes are inspected on their way to hyper: the fields of
//! heads, and the framing of chunked bodies. Bodies with a length are only counted.
//!
//! Not here: everything that hyper checks itself.

use hyper::{Method, Uri};
use memchr::memchr;

/// The request breaks a rule of RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The body that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// This many bytes; 0 if there is none.
    Known(u64),
    /// The chunked transfer coding.
    Chunked,
}

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    stage: Stage,
    /// Bytes of heads, of which hyper has not reported all.
    heads: Vec<u8>,
    /// How many of these heads were reported. No body follows them, and they are removed later, if at all.
    reported: usize,
    /// Whether the bytes have a character that no target may have; `None` if that is not known.
    suspicious: Option<bool>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Heads,
    Body(u64),
    Chunks(Chunks),
}

impl Framing {
    /// Inspects bytes that hyper is given.
    ///
    /// # Errors
    /// If the framing of a chunked body is malformed.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::Heads => {
                    self.read_heads(bytes);
                    return Ok(());
                }
                Stage::Body(left) => {
                    let skipped = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                    if *left == 0 {
                        self.stage = Stage::Heads;
                    }
                }
                Stage::Chunks(chunks) => {
                    let taken = chunks.read(bytes)?;
                    bytes = &bytes[taken..];
                    if chunks.ended() {
                        self.stage = Stage::Heads;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_heads(&mut self, bytes: &[u8]) {
        if self.reported > 0 {
            // hyper reads more only when it has no whole head left. So heads that end with an empty line are all reported.
            if matches!(self.heads[..], [.., b'\n', b'\r', b'\n'] | [.., b'\n', b'\n']) {
                self.heads.clear();
                self.reported = 0;
            } else {
                self.remove_reported();
            }
        }
        self.heads.extend_from_slice(bytes);
        self.suspicious = None;
    }

    fn remove_reported(&mut self) {
        for _ in 0..std::mem::take(&mut self.reported) {
            self.heads.drain(..head_end(&self.heads));
        }
    }

    /// hyper has parsed a head with this method, this target and a body of this length.
    ///
    /// # Errors
    /// If the head breaks a rule, or the bytes of a chunked body that are known so far.
    #[inline]
    pub(crate) fn head(
        &mut self,
        method: &Method,
        target: &Uri,
        length: BodyLength,
    ) -> Result<(), Malformed> {
        if length == BodyLength::Known(0)
            && ((self.reported == 0 && is_whole_target(&self.heads, method, target)) || !self.is_suspicious())
        {
            self.reported += 1;
            return Ok(());
        }
        self.inspect_head(length)
    }

    fn is_suspicious(&mut self) -> bool {
        *self.suspicious.get_or_insert_with(|| memchr(b'#', &self.heads).is_some())
    }

    fn inspect_head(&mut self, length: BodyLength) -> Result<(), Malformed> {
        self.remove_reported();
        let rest = self.heads.split_off(head_end(&self.heads));
        let checked = check_head(&self.heads, length);
        self.heads.clear();
        self.suspicious = None;
        self.stage = Stage::after(length);
        checked.and(self.read(&rest))
    }
}

impl Stage {
    fn after(length: BodyLength) -> Self {
        match length {
            BodyLength::Known(0) => Self::Heads,
            BodyLength::Known(count) => Self::Body(count),
            BodyLength::Chunked => Self::Chunks(Chunks::default()),
        }
    }
}

/// Whether hyper's target is the whole target of the first head; a cheap test that may fail for a whole one.
///
/// Methods and targets have no spaces in them and one after each. So the first space is at the method's length, unless
/// empty lines come before the method; and the second one at the length of both, unless something was removed from the
/// target or stands before its path.
#[inline]
fn is_whole_target(heads: &[u8], method: &Method, target: &Uri) -> bool {
    let method = method.as_str().len();
    let target = target.path_and_query().map_or(0, |target| target.as_str().len());
    heads.get(method) == Some(&b' ') && heads.get(method + 1 + target) == Some(&b' ')
}

/// Where the first head ends: after its first empty line. hyper has parsed a head, so there is one.
fn head_end(bytes: &[u8]) -> usize {
    let mut line = head_begin(bytes);
    // Lines may also end with a bare LF; hyper accepts both.
    while let Some(length) = memchr(b'\n', &bytes[line..]) {
        line += length + 1;
        match &bytes[line..] {
            [b'\n', ..] => return line + 1,
            [b'\r', b'\n', ..] => return line + 2,
            _ => {}
        }
    }
    bytes.len()
}

/// Where the first head begins: empty lines before a request are skipped (RFC 9112 §2.2).
fn head_begin(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0)
}

fn check_head(head: &[u8], length: BodyLength) -> Result<(), Malformed> {
    let head = &head[head_begin(head)..];
    let line = &head[..memchr(b'\n', head).unwrap_or(head.len())];
    if memchr(b'#', line).is_some() {
        return Err(Malformed("the target has a fragment"));
    }
    if length == BodyLength::Chunked && has_field(head, b"content-length") {
        return Err(Malformed("there are both Content-Length and Transfer-Encoding"));
    }
    Ok(())
}

fn has_field(head: &[u8], name: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let field = &line[..memchr(b':', line).unwrap_or(0)];
        field.eq_ignore_ascii_case(name)
    })
}

/// The framing of a chunked body, strictly by RFC 9112 §7.1.
#[derive(Debug, Default)]
struct Chunks(Chunk);

#[derive(Debug, Default, PartialEq, Eq)]
enum Chunk {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Digits of the size.
    Digits(u64),
    /// White space after the size, which an extension must follow.
    BeforeExtension(u64),
    Extension(u64),
    /// The line feed after a size.
    LineEnd(u64),
    Data(u64),
    DataEnd(&'static [u8]),
    /// Trailers, up to an empty line; the length of the current line in bytes.
    Trailers(u32),
    /// The line feed of a trailer.
    TrailerEnd(u32),
    Ended,
}

impl Chunks {
    fn ended(&self) -> bool {
        self.0 == Chunk::Ended
    }

    /// Reads the bytes that belong to the body; how many they are.
    fn read(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            if let Chunk::Data(left) = &mut self.0 {
                let rest = bytes.len() - at;
                let skipped = usize::try_from(*left).map_or(rest, |left| left.min(rest));
                *left -= skipped as u64;
                at += skipped;
                if *left == 0 {
                    self.0 = Chunk::DataEnd(b"\r\n");
                }
                continue;
            }
            self.0 = self.0.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }
}

impl Chunk {
    fn step(&self, byte: u8) -> Result<Self, Malformed> {
        Ok(match (self, byte) {
            (Self::Size, _) => Self::Digits(digit(byte)?),
            (Self::Digits(size) | Self::BeforeExtension(size), b';') => Self::Extension(*size),
            (Self::Digits(size) | Self::BeforeExtension(size), b' ' | b'\t') => Self::BeforeExtension(*size),
            (Self::Digits(size) | Self::Extension(size), b'\r') => Self::LineEnd(*size),
            (Self::Digits(size), _) => {
                let longer = size.checked_mul(16).and_then(|size| size.checked_add(digit(byte).ok()?));
                Self::Digits(longer.ok_or(Malformed("a chunk's size is malformed"))?)
            }
            (Self::BeforeExtension(_), _) => {
                return Err(Malformed("there is white space after a chunk's size"));
            }
            (Self::Extension(_), 0..=8 | 10..=31 | 127) => {
                return Err(Malformed("a chunk's extension is malformed"));
            }
            (Self::Extension(size), _) => Self::Extension(*size),
            (Self::LineEnd(0), b'\n') => Self::Trailers(0),
            (Self::LineEnd(size), b'\n') => Self::Data(*size),
            (Self::DataEnd([expected, rest @ ..]), _) if *expected == byte => match rest {
                [] => Self::Size,
                rest => Self::DataEnd(rest),
            },
            (Self::LineEnd(_) | Self::DataEnd(_), _) => return Err(Malformed("a chunk's end is malformed")),
            // hyper checks their content, and does not accept a bare LF as their end.
            (Self::Trailers(length), b'\r') => Self::TrailerEnd(*length),
            (Self::TrailerEnd(0), b'\n') => Self::Ended,
            (Self::TrailerEnd(_), b'\n') => Self::Trailers(0),
            (Self::Trailers(_), b'\n') | (Self::TrailerEnd(_), _) => {
                return Err(Malformed("a trailer's end is malformed"));
            }
            (Self::Trailers(length), _) => Self::Trailers(length.saturating_add(1)),
            (Self::Data(_) | Self::Ended, _) => return Err(Malformed("a chunk is malformed")),
        })
    }
}

fn digit(byte: u8) -> Result<u64, Malformed> {
    char::from(byte).to_digit(16).map(u64::from).ok_or(Malformed("a chunk's size is malformed"))
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
