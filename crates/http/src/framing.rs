//! Where one request ends and the next begins, told from the bytes themselves, for the rules that hyper does not enforce.
//!
//! hyper takes white space behind a chunk's size, cuts a fragment off a target, and resolves a request that has both a
//! length and chunks. A proxy before us may read such a request differently, and then one's body is the other's next
//! request (RFC 9112 §11.2). So bytes are looked at on their way to hyper: heads for what is in them, chunked bodies by their
//! framing. Bodies with a length are only counted.
//!
//! Not here: everything that hyper checks itself.

use hyper::{Method, Uri};
use memchr::memchr;

/// The request breaks a rule of RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// So many bytes of body, or none.
    Bytes(u64),
    /// Chunks.
    Chunks,
}

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    stage: Stage,
    /// Bytes of heads, of which hyper has not reported all.
    heads: Vec<u8>,
    /// So many of these heads were reported. Nothing follows them, and they are cut off later, if at all.
    reported: usize,
    /// There is something in the bytes that no target may have; `None` if nobody has looked.
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
    /// hyper is given these bytes.
    ///
    /// # Errors
    /// If they are part of a chunked body whose framing is wrong.
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
            // hyper asks for more when it has no whole head left. So heads that end with an empty line are all reported.
            if matches!(self.heads[..], [.., b'\n', b'\r', b'\n'] | [.., b'\n', b'\n']) {
                self.heads.clear();
                self.reported = 0;
            } else {
                self.cut_reported();
            }
        }
        self.heads.extend_from_slice(bytes);
        self.suspicious = None;
    }

    fn cut_reported(&mut self) {
        for _ in 0..std::mem::take(&mut self.reported) {
            self.heads.drain(..head_end(&self.heads));
        }
    }

    /// hyper has read a head, and says what it asks for and what follows it.
    ///
    /// # Errors
    /// If the head breaks a rule, or what is known of a chunked body does.
    #[inline]
    pub(crate) fn head(&mut self, method: &Method, target: &Uri, follows: Follows) -> Result<(), Malformed> {
        if follows == Follows::Bytes(0)
            && ((self.reported == 0 && is_whole_target(&self.heads, method, target)) || !self.is_suspicious())
        {
            self.reported += 1;
            return Ok(());
        }
        self.look_at_head(follows)
    }

    fn is_suspicious(&mut self) -> bool {
        *self.suspicious.get_or_insert_with(|| memchr(b'#', &self.heads).is_some())
    }

    fn look_at_head(&mut self, follows: Follows) -> Result<(), Malformed> {
        self.cut_reported();
        let rest = self.heads.split_off(head_end(&self.heads));
        let checked = check_head(&self.heads, follows);
        self.heads.clear();
        self.suspicious = None;
        self.stage = Stage::after(follows);
        checked.and(self.read(&rest))
    }
}

impl Stage {
    fn after(follows: Follows) -> Self {
        match follows {
            Follows::Bytes(0) => Self::Heads,
            Follows::Bytes(count) => Self::Body(count),
            Follows::Chunks => Self::Chunks(Chunks::default()),
        }
    }
}

/// Whether what hyper made of the first head's target is all of it, as far as that shows at once.
///
/// A method and a target have no spaces in them, and one behind each. So the first space is where the method's length
/// says, unless empty lines come before it; and the second one where the lengths of both say, unless something was cut
/// off or stands before the path.
#[inline]
fn is_whole_target(heads: &[u8], method: &Method, target: &Uri) -> bool {
    let method = method.as_str().len();
    let target = target.path_and_query().map_or(0, |target| target.as_str().len());
    heads.get(method) == Some(&b' ') && heads.get(method + 1 + target) == Some(&b' ')
}

/// Where the first head ends: behind its first empty line. hyper has read one, so there is one.
fn head_end(bytes: &[u8]) -> usize {
    let mut line = head_begin(bytes);
    // Lines may end with a bare LF, too; hyper takes both.
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

fn check_head(head: &[u8], follows: Follows) -> Result<(), Malformed> {
    let head = &head[head_begin(head)..];
    let line = &head[..memchr(b'\n', head).unwrap_or(head.len())];
    if memchr(b'#', line).is_some() {
        return Err(Malformed("the target has a fragment"));
    }
    if follows == Follows::Chunks && has_field(head, b"content-length") {
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

/// The framing of a chunked body (RFC 9112 §7.1), strictly.
#[derive(Debug, Default)]
struct Chunks(Chunk);

#[derive(Debug, Default, PartialEq, Eq)]
enum Chunk {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Digits of the size.
    Digits(u64),
    /// White space behind the size, which an extension must follow.
    BeforeExtension(u64),
    Extension(u64),
    /// The line feed of a size's line.
    LineEnd(u64),
    Data(u64),
    DataEnd(&'static [u8]),
    /// Trailers, up to an empty line; how many bytes the current line has.
    Trailers(u32),
    /// The line feed of such a line.
    TrailerEnd(u32),
    Ended,
}

impl Chunks {
    fn ended(&self) -> bool {
        self.0 == Chunk::Ended
    }

    /// Reads as much as belongs to the body; how much that is.
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
                return Err(Malformed("there is white space behind a chunk's size"));
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
            // hyper checks what is in them, and does not take a bare LF for an end.
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
