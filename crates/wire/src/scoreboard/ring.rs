//! The requests in flight, one entry each.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How many requests in flight are told apart; more are only counted.
pub(super) const RING: usize = 24;
/// Bytes of a path that are kept.
const PATH: usize = 72;

/// A request in flight.
#[repr(C)]
pub(super) struct RingEntry {
    /// Zero while the entry is free, and otherwise a number that differs with each use: a reader that finds the same
    /// number before and after has read one request.
    sequence: AtomicU64,
    started_at: AtomicU64,
    method: AtomicU64,
    peer: [AtomicU64; 3],
    path: [AtomicU64; PATH / 8],
}

/// A request in flight, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// When it began, in nanoseconds of the monotonic clock.
    pub started_at: u64,
    /// Cut to eight bytes.
    pub method: String,
    /// Cut to 72 bytes; without the query, which may hold secrets.
    pub path: String,
    /// The client; `None` on Unix sockets.
    pub peer: Option<SocketAddr>,
}

impl RingEntry {
    pub(super) fn is_free(&self) -> bool {
        self.sequence.load(Relaxed) == 0
    }

    pub(super) fn free(&self) {
        self.sequence.store(0, Relaxed);
    }

    pub(super) fn fill(&self, now: u64, method: &str, path: &str, peer: Option<SocketAddr>) {
        let sequence = now | 1;
        self.sequence.store(sequence, Relaxed);
        self.started_at.store(now, Relaxed);
        self.method.store(word(method.as_bytes(), 0), Relaxed);
        for (index, part) in self.path.iter().enumerate() {
            part.store(word(path.as_bytes(), index * 8), Relaxed);
            if path.len() < index * 8 {
                break;
            }
        }
        let (ip, port) = match peer.map(|peer| (peer.ip(), peer.port())) {
            Some((IpAddr::V4(ip), port)) => (ip.to_ipv6_mapped().to_bits(), u64::from(port) | 1 << 32),
            Some((IpAddr::V6(ip), port)) => (ip.to_bits(), u64::from(port) | 1 << 32),
            None => (0, 0),
        };
        let parts = [(ip >> 64) as u64, (ip & u128::from(u64::MAX)) as u64, port];
        self.peer.iter().zip(parts).for_each(|(entry, part)| entry.store(part, Relaxed));
    }

    pub(super) fn read(&self) -> Option<InFlight> {
        let sequence = self.sequence.load(Relaxed);
        if sequence == 0 {
            return None;
        }
        let path: Vec<u64> = self.path.iter().map(|part| part.load(Relaxed)).collect();
        let [high, low, port] = [0, 1, 2].map(|n| self.peer[n].load(Relaxed));
        let ip = IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))).to_canonical();
        #[expect(clippy::cast_possible_truncation, reason = "the port is the low sixteen bits")]
        let peer = (port >> 32 != 0).then(|| SocketAddr::new(ip, port as u16));
        let request = InFlight {
            started_at: self.started_at.load(Relaxed),
            method: text(&[self.method.load(Relaxed)]),
            path: text(&path),
            peer,
        };
        (self.sequence.load(Relaxed) == sequence).then_some(request)
    }
}

/// Eight bytes of a text from here on, with zeroes behind its end.
fn word(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    let mut eight = [0; 8];
    let length = rest.len().min(8);
    eight[..length].copy_from_slice(&rest[..length]);
    u64::from_ne_bytes(eight)
}

fn text(words: &[u64]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
impl RingEntry {
    pub(super) fn new() -> Self {
        Self {
            sequence: 0.into(),
            started_at: 0.into(),
            method: 0.into(),
            peer: Default::default(),
            path: Default::default(),
        }
    }
}
