//! The frame in which an idle connection goes from worker to worker.
//!
//! ```text
//! 0     'H'
//! 1     version of the frame
//! 2     where the unread bytes are: 0 behind this head, 1 in a file that comes as the second descriptor
//! 3     zero
//! 4, 5  which of the sender's listeners the connection came from
//! 6, 7  zero
//! 8-11  how many bytes are unread
//! ```
//! Numbers are little-endian. The first descriptor is the connection. Long unread bytes travel in a file (memfd),
//! because a message may not be longer than the socket's buffer.

/// The length of the head.
pub const HANDOVER_HEAD: usize = 12;
/// Unread bytes up to this many stand behind the head.
pub const HANDOVER_INLINE: usize = 8 * 1024;
/// No request head is as long as this.
pub(crate) const HANDOVER_LONGEST: usize = 64 * 1024 * 1024;
/// Frames of another version are refused.
const VERSION: u8 = 1;

/// What is said about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoverHead {
    /// Which of the sender's [`crate::WorkerSettings::listeners`] it came from.
    pub listener: u16,
    /// How many bytes of the next request had been read.
    pub unread: usize,
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
        head[8..].copy_from_slice(&unread);
        Some(head)
    }

    /// The head and what stands behind it; `None` for what is no frame of this version.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (head, behind) = frame.split_first_chunk::<HANDOVER_HEAD>()?;
        let [_, _, _, _, low, high, _, _, unread @ ..] = *head;
        let found = Self {
            listener: u16::from_le_bytes([low, high]),
            unread: usize::try_from(u32::from_le_bytes(unread)).ok()?,
        };
        let expected = if found.has_file() { 0 } else { found.unread };
        (found.encode()? == *head && behind.len() == expected).then_some((found, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::{HANDOVER_INLINE, HANDOVER_LONGEST, HandoverHead};

    #[test]
    fn what_is_encoded_is_decoded() {
        for (unread, behind) in [(0, 0), (HANDOVER_INLINE, HANDOVER_INLINE), (HANDOVER_INLINE + 1, 0)] {
            let head = HandoverHead { listener: 300, unread };
            let mut frame = head.encode().unwrap().to_vec();
            frame.resize(frame.len() + behind, b'x');
            assert_eq!(HandoverHead::decode(&frame), Some((head, &frame[12..])));
        }
    }

    #[test]
    fn what_is_cut_or_of_another_version_is_refused() {
        let mut frame = HandoverHead { listener: 1, unread: 2 }.encode().unwrap().to_vec();
        assert_eq!(HandoverHead::decode(&frame), None, "the unread bytes are missing");
        frame.extend(b"ab");
        assert!(HandoverHead::decode(&frame).is_some());
        assert_eq!(HandoverHead::decode(&frame[..11]), None);
        frame[1] += 1;
        assert_eq!(HandoverHead::decode(&frame), None);
        assert_eq!(HandoverHead::decode(br#"{"listener":0,"unread":[]}"#), None);
        assert_eq!(HandoverHead { listener: 0, unread: HANDOVER_LONGEST + 1 }.encode(), None);
    }
}
