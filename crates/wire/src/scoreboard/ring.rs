//! The requests in flight, one entry each.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How many requests in flight are told apart; more are only counted.
pub(super) const RING: usize = 24;
/// The same for other protocols that follow requests, such as WebSockets.
pub(super) const SESSIONS: usize = 20;
/// Bytes of a method that are kept.
const METHOD: usize = 8;
/// Bytes of a path that are kept.
const PATH: usize = 72;
/// Bytes of an id that are kept: a UUID fits.
const ID: usize = 40;
/// In place of a status: the request has been counted, and background work goes on.
pub(super) const BACKGROUND: u16 = u16::MAX;
/// At the end of a text that was cut.
const CUT: &str = "…";

/// A request in flight.
#[repr(C)]
pub(super) struct RingEntry {
    /// Zero while the entry is free. It differs with each use: a reader that finds the same time before and after has read
    /// one request.
    started_at: AtomicU64,
    /// What it has come to: 0, the status of its response, or [`BACKGROUND`].
    status: AtomicU64,
    method: AtomicU64,
    peer: [AtomicU64; 3],
    path: [AtomicU64; PATH / 8],
    /// The id in its header, where one is configured for ids; otherwise the id follows from the time.
    id: [AtomicU64; ID / 8],
}

/// A request in flight, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// When it began, in nanoseconds of the monotonic clock.
    pub started_at: u64,
    /// The status of its response; 0 until there is one.
    pub status: u16,
    /// Its response was sent: this is background work.
    pub is_background: bool,
    /// Cut to eight bytes, with `…` at the end.
    pub method: String,
    /// Cut to 72 bytes, with `…` at the end; without the query, which may hold secrets.
    pub path: String,
    /// The client; `None` on Unix sockets.
    pub peer: Option<SocketAddr>,
    /// The id in its header, cut to 40 bytes, with `…` at the end.
    pub id: Option<String>,
}

impl RingEntry {
    pub(super) fn is_free(&self) -> bool {
        self.started_at.load(Relaxed) == 0
    }

    /// Whether a method and a path need not be cut.
    #[inline]
    pub(super) fn has_room(method: &str, path: &str) -> bool {
        method.len() <= METHOD && path.len() <= PATH
    }

    pub(super) fn free(&self) {
        self.started_at.store(0, Relaxed);
    }

    pub(super) fn fill(&self, now: u64, method: &str, path: &str, peer: Option<SocketAddr>) {
        self.started_at.store(now.max(1), Relaxed);
        self.status.store(0, Relaxed);
        self.id[0].store(0, Relaxed);
        match Self::has_room(method, path) {
            true => self.name(method, path),
            false => self.name(&shortened(method, METHOD), &shortened(path, PATH)),
        }
        let (ip, port) = match peer.map(|peer| (peer.ip(), peer.port())) {
            Some((IpAddr::V4(ip), port)) => (ip.to_ipv6_mapped().to_bits(), u64::from(port) | 1 << 32),
            Some((IpAddr::V6(ip), port)) => (ip.to_bits(), u64::from(port) | 1 << 32),
            None => (0, 0),
        };
        let parts = [(ip >> 64) as u64, (ip & u128::from(u64::MAX)) as u64, port];
        self.peer.iter().zip(parts).for_each(|(entry, part)| entry.store(part, Relaxed));
    }

    #[inline]
    fn name(&self, method: &str, path: &str) {
        self.method.store(word(method.as_bytes(), 0), Relaxed);
        store(&self.path, path.as_bytes());
    }

    /// The request has this id in its header.
    pub(super) fn identify(&self, id: &str) {
        store(&self.id, shortened(id, ID).as_bytes());
    }

    /// Its response has this status.
    #[inline]
    pub(super) fn respond(&self, status: u16) {
        self.status.store(u64::from(status), Relaxed);
    }

    /// Shows what another entry shows.
    pub(super) fn copy(&self, other: &Self) {
        self.words().zip(other.words()).for_each(|(word, theirs)| word.store(theirs.load(Relaxed), Relaxed));
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        [&self.started_at, &self.status, &self.method]
            .into_iter()
            .chain(&self.peer)
            .chain(&self.path)
            .chain(&self.id)
    }

    pub(super) fn read(&self) -> Option<InFlight> {
        let started_at = self.started_at.load(Relaxed);
        if started_at == 0 {
            return None;
        }
        let id = load(&self.id);
        let [high, low, port] = [0, 1, 2].map(|n| self.peer[n].load(Relaxed));
        let ip = IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))).to_canonical();
        #[expect(clippy::cast_possible_truncation, reason = "the port is the low sixteen bits")]
        let peer = (port >> 32 != 0).then(|| SocketAddr::new(ip, port as u16));
        let status = u16::try_from(self.status.load(Relaxed)).unwrap_or(0);
        let request = InFlight {
            started_at,
            status: if status == BACKGROUND { 0 } else { status },
            is_background: status == BACKGROUND,
            method: text(&[self.method.load(Relaxed)]),
            path: load(&self.path),
            peer,
            id: Some(id).filter(|id| !id.is_empty()),
        };
        (self.started_at.load(Relaxed) == started_at).then_some(request)
    }
}

/// Stores a text that fits, with zeroes behind its end.
#[inline]
fn store(words: &[AtomicU64], text: &[u8]) {
    for (index, part) in words.iter().enumerate() {
        part.store(word(text, index * 8), Relaxed);
        if text.len() < index * 8 {
            break;
        }
    }
}

fn load(words: &[AtomicU64]) -> String {
    text(&words.iter().map(|part| part.load(Relaxed)).collect::<Vec<_>>())
}

/// As much of a text as there is room for; that it was cut is seen.
#[cold]
fn shortened(text: &str, room: usize) -> Cow<'_, str> {
    if text.len() <= room {
        return text.into();
    }
    let end = (0..=room - CUT.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{CUT}", &text[..end]).into()
}

/// Eight bytes of a text from here on, with zeroes behind its end.
#[inline]
fn word(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => rest.iter().rfold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

fn text(words: &[u64]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
impl RingEntry {
    pub(super) fn new() -> Self {
        Self {
            started_at: 0.into(),
            status: 0.into(),
            method: 0.into(),
            peer: Default::default(),
            path: Default::default(),
            id: Default::default(),
        }
    }
}
