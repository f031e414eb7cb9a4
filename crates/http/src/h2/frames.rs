//! The frames of a client, counted on their way to h2: floods of those that cost the client less than the server.
//!
//! h2 limits what clients make it keep: streams that are reset before they are served, headers, CONTINUATION, and empty DATA.
//! It does not limit how often it is kept busy by resets of streams that are served, PING, SETTINGS and PRIORITY.
//! Of flow control, what h2 does not tell is read here: the windows that the client gives.

use crate::{h2::PREFACE, request::refusal::Refusal};
use hostler_settings::Http2;
use std::time::Duration;

/// The time over which frames are counted.
const PERIOD_NANOS: u64 = Duration::from_secs(10).as_nanos() as u64;
const HEAD: usize = 9;

// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A setting, and how long one is (§6.5).
const INITIAL_WINDOW_SIZE: u16 = 4;
const SETTING: usize = 6;
/// How long the payload of WINDOW_UPDATE is.
const INCREMENT: usize = 4;
/// Windows that no frame has changed (§6.9.2).
const DEFAULT_WINDOW: u32 = 65_535;

/// Follows the frames of one client.
pub(crate) struct Frames {
    /// Of the preface or a payload, to be skipped.
    skips: usize,
    /// How long the records of the payload are that are read; 0: it is skipped.
    record_length: usize,
    record: Vec<u8>,
    /// CONTINUATION has to follow.
    in_headers: bool,
    head: [u8; HEAD],
    /// How much of the head was read.
    known: usize,
    since_nanos: u64,
    resets: u32,
    controls: u32,
    max_resets: u32,
    max_controls: u32,
    /// The last stream that the client has opened.
    pub(crate) last_stream: u32,
    pub(crate) flooded: bool,
    /// The least window of a stream that SETTINGS have given so far.
    pub(crate) least_window: u32,
    /// How many bytes of bodies the client has made room for on the connection, since its beginning.
    pub(crate) connection_window: u64,
}

impl Frames {
    pub(crate) fn new(settings: &Http2) -> Self {
        Self {
            skips: PREFACE.len(),
            record_length: 0,
            record: Vec::new(),
            in_headers: false,
            head: [0; HEAD],
            known: 0,
            since_nanos: 0,
            resets: 0,
            controls: 0,
            max_resets: settings.max_resets,
            max_controls: settings.max_control_frames,
            last_stream: 0,
            flooded: false,
            least_window: DEFAULT_WINDOW,
            connection_window: u64::from(DEFAULT_WINDOW),
        }
    }

    /// Whether a frame, or the headers of a request, have begun and not ended.
    pub(crate) fn is_begun(&self) -> bool {
        self.in_headers || self.skips > 0 || self.known > 0
    }

    /// Inspects bytes that hyper is given.
    ///
    /// # Errors
    /// If the client floods the connection.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> u64) -> Result<(), Refusal> {
        // What follows is read only so that the client learns why its connection ends.
        while !bytes.is_empty() && !self.flooded {
            if self.skips > 0 {
                let skipped = self.skips.min(bytes.len());
                self.skips -= skipped;
                self.read_payload(&bytes[..skipped]);
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEAD {
                self.known = 0;
                self.count(&now)?;
            }
        }
        Ok(())
    }

    /// Reads the records of a payload, wherever it was cut.
    fn read_payload(&mut self, bytes: &[u8]) {
        if self.record_length == 0 {
            return;
        }
        for byte in bytes {
            self.record.push(*byte);
            if self.record.len() == self.record_length {
                self.apply_record();
                self.record.clear();
            }
        }
    }

    /// A setting, or an increment of the connection's window.
    fn apply_record(&mut self) {
        match self.record[..] {
            [high, low, ref value @ ..] if self.record_length == SETTING => {
                let value = value.try_into().map_or(DEFAULT_WINDOW, u32::from_be_bytes);
                if u16::from_be_bytes([high, low]) == INITIAL_WINDOW_SIZE {
                    self.least_window = self.least_window.min(value);
                }
            }
            ref value => {
                let increment = value.try_into().map_or(0, u32::from_be_bytes) & 0x7fff_ffff;
                self.connection_window += u64::from(increment);
            }
        }
    }

    /// Counts the frame whose head was read.
    fn count(&mut self, now: &impl Fn() -> u64) -> Result<(), Refusal> {
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        self.skips = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.record.clear();
        self.record_length = match kind {
            SETTINGS => SETTING,
            WINDOW_UPDATE if u32::from_be_bytes(stream) == 0 => INCREMENT,
            _ => 0,
        };
        match kind {
            DATA | WINDOW_UPDATE => Ok(()),
            HEADERS | CONTINUATION => {
                self.in_headers = flags & END_HEADERS == 0;
                self.last_stream = self.last_stream.max(u32::from_be_bytes(stream) & 0x7fff_ffff);
                Ok(())
            }
            SETTINGS | PING if flags & ACK != 0 => Ok(()),
            RST_STREAM => {
                self.start_period(now());
                self.resets += 1;
                self.limit(
                    self.resets > self.max_resets,
                    "the client resets streams too often: --http2-max-resets",
                )
            }
            _ => {
                self.start_period(now());
                self.controls += 1;
                let exceeds = self.controls > self.max_controls;
                self.limit(exceeds, "the client sends too many control frames: --http2-max-control-frames")
            }
        }
    }

    fn start_period(&mut self, now: u64) {
        if now.saturating_sub(self.since_nanos) >= PERIOD_NANOS {
            (self.since_nanos, self.resets, self.controls) = (now, 0, 0);
        }
    }

    fn limit(&mut self, exceeds: bool, rule: &'static str) -> Result<(), Refusal> {
        self.flooded = exceeds;
        if exceeds { Err(Refusal::malformed(rule)) } else { Ok(()) }
    }
}

/// Reasons of a GOAWAY (RFC 9113 §7).
pub(crate) const NO_ERROR: u8 = 0;
pub(crate) const ENHANCE_YOUR_CALM: u8 = 11;

/// GOAWAY after this stream of the client's (RFC 9113 §6.8): it may repeat what it has sent on later ones.
pub(crate) fn goaway(last_stream: u32, reason: u8) -> [u8; HEAD + 8] {
    let mut frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, reason];
    frame[HEAD..HEAD + 4].copy_from_slice(&last_stream.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::{Frames, PERIOD_NANOS, PREFACE};
    use hostler_settings::Http2;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    fn frames(max: u32) -> Frames {
        Frames::new(&Http2 { max_resets: max, max_control_frames: max, ..Http2::default() })
    }

    #[test]
    fn resets_and_control_frames_are_limited_in_a_period() {
        for (kind, counts) in [(3, true), (6, true), (2, true), (4, true), (0, false), (8, false), (1, false)]
        {
            let mut frames = frames(3);
            frames.read(PREFACE, || 0).unwrap();
            let bytes = frame(kind, 0, 1, &[0; 8]);
            for _ in 0..3 {
                frames.read(&bytes, || 5).unwrap();
            }
            assert_eq!(frames.read(&bytes, || 6).is_err(), counts, "{kind}");
            assert_eq!(frames.flooded, counts, "{kind}");
        }
        let mut frames = frames(3);
        frames.read(PREFACE, || 0).unwrap();
        for now in 0..100 {
            frames.read(&frame(3, 0, 1, &[0; 4]), || now * PERIOD_NANOS / 3).unwrap();
            frames.read(&frame(6, 1, 0, &[0; 8]), || now).unwrap();
        }
    }

    #[test]
    fn windows_are_read_however_frames_are_cut() {
        let settings = [&[0, 3, 0, 0, 0, 9][..], &[0, 4, 0, 0, 4, 0], &[0, 4, 0, 1, 0, 0]].concat();
        let bytes = [
            PREFACE,
            &frame(4, 0, 0, &settings),
            &frame(8, 0, 0, &[0, 0, 0, 7]),
            &frame(8, 0, 1, &[0, 0, 0, 99]),
            &frame(8, 0, 0, &[0x80, 0, 0, 1]),
        ]
        .concat();
        for size in [1, 2, 5, 1000] {
            let mut frames = frames(9);
            bytes.chunks(size).for_each(|bytes| frames.read(bytes, || 0).unwrap());
            assert_eq!((frames.least_window, frames.connection_window), (1024, 65_535 + 8));
            assert!(!frames.is_begun());
        }
    }

    #[test]
    fn headers_have_begun_until_their_last_frame_has_ended() {
        let mut frames = frames(9);
        frames.read(PREFACE, || 0).unwrap();
        let bytes = [frame(1, 0, 1, &[0x82, 0x86]), frame(9, 4, 1, &[0x84])].concat();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(frames.is_begun(), at > 0, "{at}");
            frames.read(&[*byte], || 0).unwrap();
        }
        assert!(!frames.is_begun());
    }

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            sent in prop::collection::vec((0u8..12, 0u8..2, prop::collection::vec(0u8..=255, 0..40)), 0..40),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let mut bytes = PREFACE.to_vec();
            let mut expected = (0, 0);
            for (kind, flags, payload) in &sent {
                bytes.extend(frame(*kind, *flags, 1, payload));
                match kind {
                    3 => expected.0 += 1,
                    0 | 1 | 8 | 9 => {}
                    4 | 6 if *flags == 1 => {}
                    _ => expected.1 += 1,
                }
            }
            let mut frames = frames(1000);
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < bytes.len() {
                let end = bytes.len().min(at + cuts.next().unwrap());
                frames.read(&bytes[at..end], || 1).unwrap();
                at = end;
            }
            prop_assert_eq!((frames.resets, frames.controls), expected);
        }
    }
}

#[cfg(test)]
#[path = "frames_fuzz.rs"]
mod fuzz;
