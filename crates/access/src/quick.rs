//! Lines as most are, written with few instructions: into a fixed piece of memory, by copies of fixed sizes.
//!
//! What is not simple (a text that has to be escaped, a value with a width, no room) is not written here: each function
//! says so with `None`, and the line is written the general way.

use crate::{
    Draft, End, Stamps, Start, address, escape, number,
    program::{Begin, Step},
    start::{Found, Value, target},
};
use http::{HeaderValue, Method, Version};

/// How many bytes of a line are copied at once.
const CHUNK: usize = 32;

/// A piece of memory, and how much of it is written.
pub(crate) struct Cursor<'a, const ROOM: usize> {
    pub(crate) room: &'a mut [u8; ROOM],
    pub(crate) at: usize,
}

impl<const ROOM: usize> Cursor<'_, ROOM> {
    /// The first bytes of an array.
    #[inline(always)]
    pub(crate) fn first<const N: usize>(&mut self, array: &[u8; N], length: usize) -> Option<()> {
        // There is always room behind, so that one comparison with a constant is enough.
        if self.at > ROOM - CHUNK {
            return None;
        }
        self.room[self.at..self.at + N].copy_from_slice(array);
        self.at += length;
        Some(())
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self, byte: u8) -> Option<()> {
        self.first(&[byte], 1)
    }

    /// How much is written, if room is left behind it.
    #[inline(always)]
    pub(crate) fn written(&self) -> Option<usize> {
        (self.at <= ROOM - CHUNK).then_some(self.at)
    }

    /// A text that needs no escape.
    #[inline(always)]
    pub(crate) fn text(&mut self, value: &[u8]) -> Option<()> {
        match value {
            [] => Some(()),
            [byte] => {
                self.byte(*byte)?;
                escape::is_safe(*byte).then_some(())
            }
            [_, _] | [_, _, _] => {
                let (a, b) = (value.first_chunk::<2>()?, value.last_chunk::<2>()?);
                self.ends(a, b, value.len(), escape::all_safe(&escape::joined(a, b)))
            }
            _ if value.len() < 8 => {
                let (a, b) = (value.first_chunk::<4>()?, value.last_chunk::<4>()?);
                self.ends(a, b, value.len(), escape::all_safe(&escape::joined(a, b)))
            }
            _ if value.len() < 16 => {
                let (a, b) = (value.first_chunk::<8>()?, value.last_chunk::<8>()?);
                self.ends(a, b, value.len(), escape::all_safe(a) && escape::all_safe(b))
            }
            _ => self.long(value),
        }
    }

    /// A text by its beginning and its end, which may overlap.
    #[inline(always)]
    fn ends<const N: usize>(&mut self, a: &[u8; N], b: &[u8; N], length: usize, safe: bool) -> Option<()> {
        if !safe {
            return None;
        }
        self.first(a, length - N)?;
        self.first(b, N)
    }

    fn long(&mut self, value: &[u8]) -> Option<()> {
        let (chunks, rest) = value.as_chunks::<16>();
        let mut safe = true;
        for chunk in chunks {
            safe &= escape::all_safe_16(chunk);
            self.first(chunk, 16)?;
        }
        let last = value.last_chunk::<16>()?;
        safe &= escape::all_safe_16(last);
        // Some of it is there already.
        self.at -= 16 - rest.len();
        self.first(last, 16)?;
        safe.then_some(())
    }

    /// A part of other memory, which has room behind it.
    #[inline(always)]
    fn part<const FROM: usize>(&mut self, from: &[u8; FROM], (begin, end): (usize, usize)) -> Option<()> {
        let (behind, mut read) = (self.at + (end - begin), begin);
        while read < end {
            let chunk = from.get(read..read + CHUNK)?.first_chunk::<CHUNK>()?;
            self.first(chunk, CHUNK)?;
            read += CHUNK;
        }
        self.at = behind;
        Some(())
    }

    #[inline(always)]
    fn number(&mut self, number: u64) -> Option<()> {
        let (digits, length) = number::short(number)?;
        self.first(&digits, length)
    }

    fn request_line(&mut self, start: &Start<'_>) -> Option<()> {
        let (method, uri) = start.line?;
        if *method == Method::GET {
            self.first(b"GET ", 4)?;
        } else {
            self.text(method.as_str().as_bytes())?;
            self.byte(b' ')?;
        }
        if uri.scheme().is_some() && start.version < Some(Version::HTTP_2) {
            return None;
        }
        self.text(target(uri).as_bytes())?;
        match start.version? {
            Version::HTTP_11 => self.first(b" HTTP/1.1", 9),
            Version::HTTP_2 => self.first(b" HTTP/2", 7),
            _ => None,
        }
    }

    fn header(&mut self, value: Option<&HeaderValue>) -> Option<()> {
        match value {
            None => self.byte(b'-'),
            Some(value) => self.text(value.as_bytes()),
        }
    }
}

/// Writes what the request says.
#[inline]
pub(crate) fn begin(steps: &[Begin], draft: &mut Draft, start: &Start<'_>, found: &Found<'_>) -> Option<()> {
    if found.repeated {
        return None;
    }
    let (room, ends) = draft.quick();
    let mut cursor = Cursor { room, at: 0 };
    let mut part = 0;
    for step in steps {
        match &step.value {
            Value::Nothing => {}
            Value::Client => match start.client {
                Some(client) => {
                    let (text, length) = address::short(client.ip())?;
                    cursor.first(&text, length)?;
                }
                None => cursor.byte(b'-')?,
            },
            Value::User if found.authorization.is_none() => cursor.byte(b'-')?,
            Value::RequestLine => cursor.request_line(start)?,
            Value::Referer => cursor.header(found.referer)?,
            Value::UserAgent => cursor.header(found.user_agent)?,
            Value::User | Value::Other(..) => return None,
        }
        let (text, length) = step.behind.short()?;
        cursor.first(text, length)?;
        if step.ends_part {
            *ends.get_mut(part)? = u16::try_from(cursor.at).ok()?;
            part += 1;
        }
    }
    cursor.written()?;
    draft.is_quick(part);
    Some(())
}

/// Writes the whole line.
#[inline]
pub(crate) fn finish<const ROOM: usize>(
    steps: &[Step],
    draft: &Draft,
    end: &End,
    stamps: &mut Stamps,
    cursor: &mut Cursor<'_, ROOM>,
) -> Option<usize> {
    for step in steps {
        let behind = match step {
            Step::Part(index) => {
                let (text, part) = draft.quick_part(*index)?;
                cursor.part(text, part)?;
                continue;
            }
            Step::Time(behind) => {
                let (text, length) = stamps.common_text(end.second, end.offset);
                cursor.first(text, length)?;
                behind
            }
            Step::Status(behind) => {
                cursor.number(u64::from(end.status?))?;
                behind
            }
            Step::Bytes(behind) => {
                cursor.number(end.bytes)?;
                behind
            }
            Step::BytesOrDash(behind) => {
                end.status?;
                cursor.number(end.bytes)?;
                behind
            }
            Step::Header(..) | Step::End(..) => return None,
        };
        let (text, length) = behind.short()?;
        cursor.first(text, length)?;
    }
    cursor.byte(b'\n')?;
    cursor.written()
}
