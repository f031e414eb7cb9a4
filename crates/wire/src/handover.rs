//! The frame in which an idle connection goes from worker to worker.
//!
//! ```text
//! 0     'H'
//! 1     version of the frame
//! 2     where the unread bytes are: 0 behind this head, 1 in a file that comes as the second descriptor
//! 3     whether a PROXY header named the ends of the connection
//! 4, 5  which of the sender's listeners the connection came from
//! 6, 7  zero
//! 8-11  how many bytes are unread
//! 12-29 the client by that header: an IPv6 or mapped IPv4 address, and the port
//! 30-47 the address that it reached, likewise
//! ```
//! Numbers are little-endian. The first descriptor is the connection. Long unread bytes travel in a file (memfd),
//! because a message may not be longer than the socket's buffer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The length of the head.
pub const HANDOVER_HEAD: usize = 48;
/// Unread bytes up to this many stand behind the head.
pub const HANDOVER_INLINE: usize = 8 * 1024;
/// No request head is as long as this.
pub(crate) const HANDOVER_LONGEST: usize = 64 * 1024 * 1024;
/// Frames of another version are refused.
const VERSION: u8 = 2;
/// The length of an address and its port.
const END: usize = 18;

/// What is said about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoverHead {
    /// Which of the sender's [`crate::WorkerSettings::listeners`] it came from.
    pub listener: u16,
    /// How many bytes of the next request had been read.
    pub unread: usize,
    /// What its PROXY header said, which is not to be received again.
    pub proxied: Option<ProxiedEnds>,
}

/// The ends of a connection to a proxy, as the proxy names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxiedEnds {
    /// The client.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub local: SocketAddr,
}

fn encode_end(end: SocketAddr) -> [u8; END] {
    let ip = match end.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; END];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&end.port().to_le_bytes());
    bytes
}

fn decode_end(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let port = u16::from_le_bytes(port.try_into().ok()?);
    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical(), port))
}

impl HandoverHead {
    /// Whether the unread bytes are in a file.
    #[must_use]
    pub fn has_file(self) -> bool {
        self.unread > HANDOVER_INLINE
    }

    /// As bytes; `None` if there is more unread than a frame can carry.
    #[must_use]
    pub fn encode(self) -> Option<[u8; HANDOVER_HEAD]> {
        let unread =
            u32::try_from(self.unread).ok().filter(|_| self.unread <= HANDOVER_LONGEST)?.to_le_bytes();
        let listener = self.listener.to_le_bytes();
        let mut head = [0; HANDOVER_HEAD];
        head[..3].copy_from_slice(&[b'H', VERSION, u8::from(self.has_file())]);
        head[4..6].copy_from_slice(&listener);
        head[8..12].copy_from_slice(&unread);
        if let Some(ProxiedEnds { peer, local }) = self.proxied {
            head[3] = 1;
            head[12..30].copy_from_slice(&encode_end(peer));
            head[30..].copy_from_slice(&encode_end(local));
        }
        Some(head)
    }

    /// The head and what stands behind it; `None` for what is no frame of this version.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (head, behind) = frame.split_first_chunk::<HANDOVER_HEAD>()?;
        let [_, _, _, is_proxied, low, high, _, _, a, b, c, d, ends @ ..] = head;
        let (peer, local) = ends.split_at(END);
        let proxied = ProxiedEnds { peer: decode_end(peer)?, local: decode_end(local)? };
        let found = Self {
            listener: u16::from_le_bytes([*low, *high]),
            unread: usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?,
            proxied: (*is_proxied == 1).then_some(proxied),
        };
        let expected = if found.has_file() { 0 } else { found.unread };
        (found.encode()? == *head && behind.len() == expected).then_some((found, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::{HANDOVER_HEAD, HANDOVER_INLINE, HANDOVER_LONGEST, HandoverHead, ProxiedEnds};

    #[test]
    fn what_is_encoded_is_decoded() {
        for (unread, behind) in [(0, 0), (HANDOVER_INLINE, HANDOVER_INLINE), (HANDOVER_INLINE + 1, 0)] {
            let ends = |peer: &str, local: &str| ProxiedEnds {
                peer: peer.parse().unwrap(),
                local: local.parse().unwrap(),
            };
            let both = [ends("192.0.2.1:80", "[2001:db8::1]:65535"), ends("[::]:0", "0.0.0.0:0")];
            for proxied in both.into_iter().map(Some).chain([None]) {
                let head = HandoverHead { listener: 300, unread, proxied };
                let mut frame = head.encode().unwrap().to_vec();
                frame.resize(frame.len() + behind, b'x');
                assert_eq!(HandoverHead::decode(&frame), Some((head, &frame[HANDOVER_HEAD..])));
            }
        }
    }

    #[test]
    fn what_is_cut_or_of_another_version_is_refused() {
        let mut frame = HandoverHead { listener: 1, unread: 2, proxied: None }.encode().unwrap().to_vec();
        assert_eq!(HandoverHead::decode(&frame), None, "the unread bytes are missing");
        frame.extend(b"ab");
        assert!(HandoverHead::decode(&frame).is_some());
        assert_eq!(HandoverHead::decode(&frame[..47]), None);
        frame[1] += 1;
        assert_eq!(HandoverHead::decode(&frame), None);
        assert_eq!(HandoverHead::decode(br#"{"listener":0,"unread":[]}"#), None);
        assert_eq!(HandoverHead { listener: 0, unread: HANDOVER_LONGEST + 1, proxied: None }.encode(), None);
    }
}
