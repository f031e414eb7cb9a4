//! What is known of a request when it has ended, and how it is written.

use crate::{
    Offset, Stamps,
    atom::{Atom, Scale},
    form::Form,
    line::Pen,
    number,
};

/// What is known of a request when it has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// Seconds since 1970.
    pub second: u64,
    /// Nanoseconds of that second.
    pub nanos: u32,
    /// How far local time is from UTC.
    pub offset: Offset,
    /// The response's status; `None` if there was no response.
    pub status: Option<u16>,
    /// How many bytes of its body were sent.
    pub bytes: u64,
    /// From the head of the request to the end of the response, in nanoseconds.
    pub duration_nanos: u64,
    /// Until the response began.
    pub first_byte_nanos: Option<u64>,
    /// Until the application was called.
    pub queue_nanos: Option<u64>,
    /// The client left before the response was complete.
    pub client_left: bool,
    /// The client was sent the whole response.
    pub complete: bool,
}

impl Form {
    #[inline(never)]
    pub(crate) fn at_end(self, atom: &Atom, out: &mut Vec<u8>, end: &End, stamps: &mut Stamps) {
        match atom {
            Atom::Time => self.written(out, |out| stamps.common(out, end.second, end.offset)),
            Atom::Status => self.number(out, end.status.map(u64::from)),
            Atom::Reason => {
                let status = end.status.and_then(|status| http::StatusCode::from_u16(status).ok());
                self.word(out, status.and_then(|status| status.canonical_reason()).unwrap_or("-"));
            }
            Atom::Bytes => self.number(out, Some(end.bytes)),
            Atom::BytesOrDash => self.number(out, end.status.map(|_| end.bytes)),
            Atom::BeganAt => {
                let before = end.duration_nanos.saturating_sub(u64::from(end.nanos)).div_ceil(1_000_000_000);
                let second = end.second.saturating_sub(before);
                self.written(out, |out| stamps.granian(out, second, end.offset));
            }
            Atom::Timestamp => self.written(out, |out| {
                stamps.utc(out, end.second);
                out.push(b'.');
                number::padded(out, u64::from(end.nanos / 1000), 6);
                out.push(b'Z');
            }),
            Atom::Duration(scale) => self.duration(out, Some(end.duration_nanos), *scale),
            Atom::WholeDuration(scale) => {
                self.number(out, Some(end.duration_nanos / number::power(*scale as u32)));
            }
            Atom::FirstByte(scale) => self.duration(out, end.first_byte_nanos, *scale),
            Atom::Queue(scale) => self.wait(out, end.queue_nanos, *scale),
            Atom::DecimalSeconds => self.duration(out, Some(end.duration_nanos), Scale::Seconds),
            Atom::ClientLeft => self.word(out, if end.client_left { "true" } else { "false" }),
            Atom::Complete => self.word(out, if end.complete { "true" } else { "false" }),
            _ => self.text(&mut Pen { out, most: 0 }, None),
        }
    }

    fn duration(self, out: &mut Vec<u8>, nanos: Option<u64>, scale: Scale) {
        self.decimal(out, nanos, scale as u32, scale.precision());
    }

    /// A wait. One in whole milliseconds was measured by the kernel, which knows no more of it.
    fn wait(self, out: &mut Vec<u8>, nanos: Option<u64>, scale: Scale) {
        let is_whole = nanos.is_some_and(|nanos| nanos.is_multiple_of(1_000_000));
        let precision = if is_whole { scale as u32 - Scale::Millis as u32 } else { scale.precision() };
        self.decimal(out, nanos, scale as u32, precision);
    }
}
