//! The form that a format asks for: as Python's `%` operator writes values, or as JSON has them.

use crate::{
    atom::{Atom, Kind},
    escape,
    line::Pen,
    number,
};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As text, with `-` for nothing.
    Plain,
    /// As text of a width, or with so many digits.
    Padded(Spec),
    /// As a JSON value, with `null` for nothing.
    Json,
}

/// Python's conversion specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) width: u8,
    pub(crate) precision: Option<u8>,
    pub(crate) left: bool,
    pub(crate) zeros: bool,
    /// `d`: what is behind the point is left out.
    pub(crate) whole: bool,
}

impl Form {
    /// The simplest form that writes the atom like this.
    pub(crate) fn of(atom: &Atom, mut spec: Spec) -> Self {
        if atom.kind() == Kind::Number {
            let own = atom.precision();
            spec.whole &= own != Some(0);
            spec.precision = spec.precision.filter(|digits| Some(*digits) != own);
        }
        if spec == Spec::default() { Self::Plain } else { Self::Padded(spec) }
    }

    /// How much longer it may make a value.
    pub(crate) fn padding(self) -> usize {
        match self {
            Self::Padded(spec) => usize::from(spec.width) + usize::from(spec.precision.unwrap_or(0)),
            Self::Plain | Self::Json => 2,
        }
    }

    /// A text of a client, escaped; `None` is nothing.
    #[inline]
    pub(crate) fn text(self, pen: &mut Pen<'_>, value: Option<&[u8]>) {
        match (self, value) {
            (Self::Plain, Some(value)) if value.len() <= pen.most => escape::text(pen.out, value),
            (Self::Plain, None) => pen.out.push(b'-'),
            _ => self.dressed(pen, value),
        }
    }

    /// A text of a client that is escaped already.
    pub(crate) fn escaped(self, out: &mut Vec<u8>, value: Option<&[u8]>) {
        match (self, value) {
            (Self::Json, None) => out.extend_from_slice(b"null"),
            (_, value) => self.written(out, |out| out.extend_from_slice(value.unwrap_or(b"-"))),
        }
    }

    #[inline(never)]
    fn dressed(self, pen: &mut Pen<'_>, value: Option<&[u8]>) {
        let most = pen.most;
        match (self, value) {
            (Self::Json, None) => pen.out.extend_from_slice(b"null"),
            (_, None) => self.written(pen.out, |out| out.push(b'-')),
            (Self::Json, Some(value)) => self.written(pen.out, |out| cut(out, value, most, escape::json)),
            (_, Some(value)) => self.written(pen.out, |out| cut(out, value, most, escape::text)),
        }
    }

    /// A text of ours.
    #[inline]
    pub(crate) fn written(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Plain => write(out),
            Self::Padded(spec) => spec.pad(out, write),
            Self::Json => {
                out.push(b'"');
                write(out);
                out.push(b'"');
            }
        }
    }

    /// A word that JSON has, too.
    pub(crate) fn word(self, out: &mut Vec<u8>, word: &str) {
        match self {
            Self::Plain | Self::Json => out.extend_from_slice(word.as_bytes()),
            Self::Padded(spec) => spec.pad(out, |out| out.extend_from_slice(word.as_bytes())),
        }
    }

    /// A whole number.
    #[inline]
    pub(crate) fn number(self, out: &mut Vec<u8>, value: Option<u64>) {
        match (self, value) {
            (Self::Plain | Self::Json, Some(value)) => number::whole(out, value),
            _ => self.decimal(out, value, 0, 0),
        }
    }

    /// A number, of which the last `scale` decimal digits are behind the point.
    pub(crate) fn decimal(self, out: &mut Vec<u8>, value: Option<u64>, scale: u32, precision: u32) {
        match (self, value) {
            (Self::Json, None) => out.extend_from_slice(b"null"),
            (_, None) => self.written(out, |out| out.push(b'-')),
            (Self::Plain | Self::Json, Some(value)) => number::decimal(out, value, scale, precision),
            (Self::Padded(spec), Some(value)) if spec.whole => {
                spec.pad(out, |out| number::whole(out, value / number::power(scale)));
            }
            (Self::Padded(spec), Some(value)) => {
                let digits = spec.precision.map_or(precision, u32::from);
                spec.pad(out, |out| {
                    number::decimal(out, value, scale, digits);
                    zeros_behind(out, scale, digits);
                });
            }
        }
    }
}

impl Spec {
    fn pad(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let from = out.len();
        write(out);
        let missing = usize::from(self.width).saturating_sub(out.len() - from);
        let numeric = out[from..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        let fill = if self.zeros && numeric { b'0' } else { b' ' };
        let at = if self.left { out.len() } else { from };
        out.splice(at..at, std::iter::repeat_n(fill, missing));
    }
}

/// Digits that a value does not have: `%(status).2f`.
fn zeros_behind(out: &mut Vec<u8>, scale: u32, digits: u32) {
    if digits > scale {
        if scale == 0 {
            out.push(b'.');
        }
        out.extend(std::iter::repeat_n(b'0', (digits - scale) as usize));
    }
}

/// A text of which no more than so many bytes are written: `/aaaa...(9000 bytes)`.
#[inline]
fn cut(out: &mut Vec<u8>, value: &[u8], most: usize, escape: fn(&mut Vec<u8>, &[u8])) {
    if value.len() <= most {
        return escape(out, value);
    }
    // Not in the middle of a character.
    let is_continued = |at: &usize| value[*at] & 0xc0 == 0x80;
    let end = (most.saturating_sub(3)..=most).rev().find(|at| !is_continued(at)).unwrap_or(most);
    escape(out, &value[..end]);
    out.extend_from_slice(b"...(");
    number::whole(out, value.len() as u64);
    out.extend_from_slice(b" bytes)");
}
