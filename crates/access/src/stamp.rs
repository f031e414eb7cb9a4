//! Times as text: each form is written once a second, and copied for the lines of that second.

use crate::{
    line::first,
    number::{padded, whole},
};

/// How far local time is from UTC, in seconds.
pub type Offset = i32;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The last second in each form.
#[derive(Debug, Default)]
pub struct Stamps {
    common: Stamp,
    granian: Stamp,
    utc: Stamp,
}

/// The longest form, and room to copy it with.
const LONGEST: usize = 32;

#[derive(Debug)]
struct Stamp {
    second: u64,
    offset: Offset,
    text: [u8; LONGEST],
    length: usize,
}

impl Default for Stamp {
    fn default() -> Self {
        Self { second: u64::MAX, offset: 0, text: [0; LONGEST], length: 0 }
    }
}

impl Stamp {
    /// The text, of which the first bytes count.
    #[inline]
    fn of(
        &mut self,
        (second, offset): (u64, Offset),
        form: fn(&mut Vec<u8>, &Civil),
    ) -> (&[u8; LONGEST], usize) {
        if (self.second, self.offset) != (second, offset) {
            self.renew(second, offset, form);
        }
        (&self.text, self.length)
    }

    fn write(&mut self, out: &mut Vec<u8>, time: (u64, Offset), form: fn(&mut Vec<u8>, &Civil)) {
        let (text, length) = self.of(time, form);
        first(out, text, length);
    }

    #[cold]
    fn renew(&mut self, second: u64, offset: Offset, form: fn(&mut Vec<u8>, &Civil)) {
        let mut text = Vec::with_capacity(LONGEST);
        form(&mut text, &Civil::new(second, offset));
        text.truncate(LONGEST);
        self.text[..text.len()].copy_from_slice(&text);
        (self.second, self.offset, self.length) = (second, offset, text.len());
    }
}

impl Stamps {
    /// `[22/Nov/2026:06:33:34 +0000]`, as Common Log Format has it.
    pub(crate) fn common(&mut self, out: &mut Vec<u8>, second: u64, offset: Offset) {
        let (text, length) = self.common_text(second, offset);
        first(out, text, length);
    }

    /// The same, of which the first bytes count.
    #[inline]
    pub(crate) fn common_text(&mut self, second: u64, offset: Offset) -> (&[u8; LONGEST], usize) {
        self.common.of((second, offset), |out, time| {
            out.push(b'[');
            padded(out, time.day, 2);
            out.push(b'/');
            out.extend_from_slice(MONTHS[time.month - 1]);
            out.push(b'/');
            whole(out, time.year);
            out.push(b':');
            time.clock(out);
            out.push(b' ');
            time.zone(out);
            out.push(b']');
        })
    }

    /// `2026-11-22 06:33:34 +0000`, as Granian has it.
    pub(crate) fn granian(&mut self, out: &mut Vec<u8>, second: u64, offset: Offset) {
        self.granian.write(out, (second, offset), |out, time| {
            time.date(out);
            out.push(b' ');
            time.clock(out);
            out.push(b' ');
            time.zone(out);
        });
    }

    /// `2026-11-22T06:33:34`: RFC 3339 without fraction and `Z`.
    pub(crate) fn utc(&mut self, out: &mut Vec<u8>, second: u64) {
        self.utc.write(out, (second, 0), |out, time| {
            time.date(out);
            out.push(b'T');
            time.clock(out);
        });
    }
}

/// A time of the calendar.
struct Civil {
    year: u64,
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    offset: Offset,
}

impl Civil {
    /// Seconds after 1970-01-01, at this distance from UTC.
    fn new(seconds: u64, offset: Offset) -> Self {
        let local = seconds.saturating_add_signed(i64::from(offset));
        let (days, of_day) = (local / 86_400, local % 86_400);
        // Years are taken to begin in March, so that a leap day is their last day.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let of_era_year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
        let march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march + 2) / 5 + 1;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = of_era_year + era * 400 + u64::from(month <= 2);
        let month = usize::try_from(month).unwrap_or(1);
        Self { year, month, day, hour: of_day / 3_600, minute: of_day / 60 % 60, second: of_day % 60, offset }
    }

    fn date(&self, out: &mut Vec<u8>) {
        whole(out, self.year);
        for part in [self.month as u64, self.day] {
            out.push(b'-');
            padded(out, part, 2);
        }
    }

    fn zone(&self, out: &mut Vec<u8>) {
        out.push(if self.offset < 0 { b'-' } else { b'+' });
        let minutes = u64::from(self.offset.unsigned_abs()) / 60;
        padded(out, minutes / 60, 2);
        padded(out, minutes % 60, 2);
    }

    fn clock(&self, out: &mut Vec<u8>) {
        padded(out, self.hour, 2);
        for part in [self.minute, self.second] {
            out.push(b':');
            padded(out, part, 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stamps;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_of_all_kinds_of_years_are_right() {
        let mut stamps = Stamps::default();
        for (second, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_767_225_599, "2025-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(text(|out| stamps.utc(out, second)), expected);
        }
    }

    #[test]
    fn local_times_tell_their_distance_from_utc() {
        let mut stamps = Stamps::default();
        assert_eq!(text(|out| stamps.common(out, 1_764_742_414, 0)), "[03/Dec/2025:06:13:34 +0000]");
        assert_eq!(text(|out| stamps.common(out, 1_764_742_414, -12_600)), "[03/Dec/2025:02:43:34 -0330]");
        assert_eq!(text(|out| stamps.granian(out, 1_764_742_414, 7_200)), "2025-12-03 08:13:34 +0200");
    }
}
