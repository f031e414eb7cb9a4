//! Where one request ends and the next begins, from the bytes themselves, for the rules that hyper does not enforce.
//!
//! hyper accepts lines that end with LF alone, white space after a chunk's size, raw bytes beyond ASCII in a target; it
//! removes the fragment of a target, accepts a request with both Content-Length and chunks, and makes one of two equal
//! Content-Lengths. A proxy before us may read such a request differently, which makes one's body the other's next
//! request: request smuggling (RFC 9112 §11.2). So the bytes are inspected on their way to hyper: heads ([`super::head`]), and
//! the framing of chunked bodies ([`super::chunks`]). Bodies with a length are only counted. The limits for heads and chunked
//! bodies are held here too, while they arrive.
//!
//! Not here: everything that hyper checks itself, and what can be seen in the parsed request ([`super::check`]).

use super::{chunks::Chunks, head};
use crate::{limits::request::RequestLimits, request::refusal::Refusal};

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
    /// Where those begin that are not done with.
    begin: usize,
    /// How many heads from there on were reported. No body follows them, and they are skipped later, if at all.
    reported: usize,
    /// Whether none of the bytes needs a closer look; `None` if that is not known.
    plain: Option<bool>,
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
    /// If the framing of a chunked body is malformed, or a limit is exceeded.
    pub(crate) fn read(&mut self, mut bytes: &[u8], limits: &RequestLimits) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            if matches!(self.stage, Stage::Heads) {
                return self.read_heads(bytes, limits);
            }
            let taken = self.stage.take_content(bytes, limits)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn read_heads(&mut self, bytes: &[u8], limits: &RequestLimits) -> Result<(), Refusal> {
        if self.reported > 0 {
            // hyper reads more only when it has no whole head left. So heads that end with an empty line are all reported.
            if matches!(self.heads[..], [.., b'\n', b'\r', b'\n'] | [.., b'\n', b'\n']) {
                (self.begin, self.reported) = (self.heads.len(), 0);
            } else {
                self.skip_reported();
            }
        }
        if self.begin > 0 {
            self.heads.drain(..self.begin);
            self.begin = 0;
        }
        self.heads.extend_from_slice(bytes);
        self.plain = None;
        if self.heads.len() > limits.least { head::check_growing(&self.heads, limits) } else { Ok(()) }
    }

    fn skip_reported(&mut self) {
        for _ in 0..std::mem::take(&mut self.reported) {
            self.begin += head::end(&self.heads[self.begin..]);
        }
    }

    /// What has arrived of a head that hyper has not reported; `None` in a body.
    #[cold]
    pub(crate) fn arriving(&mut self) -> Option<&[u8]> {
        self.skip_reported();
        matches!(self.stage, Stage::Heads).then(|| self.heads.get(self.begin..).unwrap_or_default())
    }

    /// Another protocol follows the last request that was reported. How many of the last bytes are that protocol's, and what
    /// is still to come of the request's content before it.
    #[cold]
    pub(crate) fn switch(&mut self) -> (usize, Option<Content>) {
        match self.arriving() {
            Some(ahead) => (ahead.len(), None),
            None => (0, Some(Content(std::mem::take(&mut self.stage)))),
        }
    }

    /// Whether the head that hyper could not parse is of a version of HTTP that is not spoken.
    #[cold]
    pub(crate) fn has_unknown_version(&mut self) -> bool {
        self.skip_reported();
        matches!(self.stage, Stage::Heads) && head::has_unknown_version(&self.heads[self.begin..])
    }

    /// hyper has parsed a head that announces a body of this length.
    ///
    /// # Errors
    /// If the head breaks a rule, or the bytes of a chunked body that are known so far.
    #[inline]
    pub(crate) fn head(&mut self, length: BodyLength, limits: &RequestLimits) -> Result<(), Refusal> {
        if length == BodyLength::Known(0) && self.is_plain(limits) {
            self.reported += 1;
            return Ok(());
        }
        self.inspect_head(length, limits)
    }

    fn is_plain(&mut self, limits: &RequestLimits) -> bool {
        let heads = &self.heads;
        *self.plain.get_or_insert_with(|| heads.len() <= limits.least && head::is_plain(heads))
    }

    fn inspect_head(&mut self, length: BodyLength, limits: &RequestLimits) -> Result<(), Refusal> {
        self.skip_reported();
        let end = self.begin + head::end(&self.heads[self.begin..]);
        let checked = head::check(&self.heads[self.begin..end], length, limits);
        self.begin = end;
        if length == BodyLength::Known(0) {
            return checked;
        }
        self.stage = Stage::after(length);
        let heads = std::mem::take(&mut self.heads);
        (self.begin, self.plain) = (0, None);
        checked.and(self.read(&heads[end..], limits))
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

    /// How many of these bytes are the body's, beginning with the first.
    fn take_content(&mut self, bytes: &[u8], limits: &RequestLimits) -> Result<usize, Refusal> {
        let (taken, ended) = match self {
            Self::Heads => (0, true),
            Self::Body(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Self::Chunks(chunks) => {
                let taken = chunks.read(bytes)?;
                limits.check_body(chunks.announced())?;
                (taken, chunks.ended())
            }
        };
        if ended {
            *self = Self::Heads;
        }
        Ok(taken)
    }
}

/// What is still to come of a request's content.
#[derive(Debug)]
pub(crate) struct Content(Stage);

impl Content {
    /// How many of these bytes are the content's, beginning with the first.
    ///
    /// # Errors
    /// If the framing of a chunked body is malformed, or a limit is exceeded.
    pub(crate) fn take(&mut self, bytes: &[u8], limits: &RequestLimits) -> Result<usize, Refusal> {
        let mut taken = 0;
        while taken < bytes.len() && !self.has_ended() {
            taken += self.0.take_content(&bytes[taken..], limits)?;
        }
        Ok(taken)
    }

    /// Whether none of it is to come.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.0, Stage::Heads)
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "framing_fuzz.rs"]
mod fuzz;
