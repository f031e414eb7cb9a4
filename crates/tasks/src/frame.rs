//! How what is said travels: two lengths of four bytes (little-endian), a JSON document, bytes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The longest frame.
pub const MAX_FRAME: usize = 64 << 20;
/// The longest JSON document.
const MAX_HEAD: usize = 4 << 20;
const LENGTHS: usize = 8;

/// A message and its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<T> {
    /// The message.
    pub message: T,
    /// Its bytes: arguments or a result.
    pub body: Vec<u8>,
}

/// What is no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is too long.
    #[error("a message of {0} bytes is longer than any may be")]
    TooLong(usize),
    /// The document cannot be read.
    #[error("a message that cannot be read")]
    Malformed {
        /// What is wrong with it.
        source: serde_json::Error,
        /// How long it was.
        length: usize,
        /// The question's number, if it has one.
        n: Option<u64>,
    },
    /// It cannot be written.
    #[error("a message that cannot be written")]
    Unwritable(#[source] serde_json::Error),
}

/// Appends a frame.
///
/// # Errors
/// When it is too long.
pub fn encode<T: Serialize>(message: &T, body: &[u8], to: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = to.len();
    to.extend_from_slice(&[0; LENGTHS]);
    serde_json::to_writer(&mut *to, message).map_err(FrameError::Unwritable)?;
    let head = to.len() - start - LENGTHS;
    let whole = head + body.len();
    if head > MAX_HEAD || whole > MAX_FRAME {
        to.truncate(start);
        return Err(FrameError::TooLong(whole));
    }
    to.extend_from_slice(body);
    let bytes = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    to[start..start + 4].copy_from_slice(&bytes(head));
    to[start + 4..start + LENGTHS].copy_from_slice(&bytes(body.len()));
    Ok(())
}

/// Reads the first frame of these bytes, and how long it was; none if it is not whole.
///
/// # Errors
/// When no frame begins so.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<(Frame<T>, usize)>, FrameError> {
    let length = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let (Some(head), Some(body)) = (length(0), length(4)) else { return Ok(None) };
    let whole = head.saturating_add(body);
    if head > MAX_HEAD || whole > MAX_FRAME {
        return Err(FrameError::TooLong(whole));
    }
    let Some(rest) = bytes.get(LENGTHS..LENGTHS + whole) else { return Ok(None) };
    let (head, body) = rest.split_at(head);
    let length = LENGTHS + whole;
    let message = serde_json::from_slice(head).map_err(|source| {
        let n = serde_json::from_slice::<Number>(head).ok().and_then(|it| it.n);
        FrameError::Malformed { source, length, n }
    })?;
    Ok(Some((Frame { message, body: body.to_vec() }, length)))
}

/// What is read of a message that cannot be.
#[derive(Deserialize)]
struct Number {
    n: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ask;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_cut_anywhere_are_read_when_they_are_whole(body in proptest::collection::vec(any::<u8>(), 0..200), n: u64) {
            let message = Ask::Forget { n };
            let mut bytes = Vec::new();
            encode(&message, &body, &mut bytes).unwrap();
            for cut in 0..bytes.len() {
                prop_assert!(decode::<Ask>(&bytes[..cut]).unwrap().is_none());
            }
            bytes.push(7);
            let (frame, length) = decode::<Ask>(&bytes).unwrap().unwrap();
            prop_assert_eq!((frame, length), (Frame { message, body }, bytes.len() - 1));
        }

        #[test]
        fn random_bytes_are_refused_or_waited_for(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode::<Ask>(&bytes);
        }
    }

    #[test]
    fn one_that_cannot_be_read_has_its_length_and_its_number() {
        for (text, number) in [
            (r#"{"do":"forget","n":"x"}"#, None),
            (r#"{"do":"none","n":7,"key":"\udcff"}"#, Some(7)),
            ("{", None),
        ] {
            let mut bytes = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
            bytes.extend([1, 0, 0, 0]);
            bytes.extend_from_slice(text.as_bytes());
            assert!(decode::<Ask>(&bytes).unwrap().is_none());
            bytes.push(b'!');
            let Err(FrameError::Malformed { length, n, .. }) = decode::<Ask>(&bytes) else {
                panic!("{text}")
            };
            assert_eq!((length, n), (bytes.len(), number), "{text}");
        }
    }

    #[test]
    fn lengths_are_limited() {
        assert!(matches!(decode::<Ask>(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::TooLong(_))));
        let mut bytes = vec![1];
        assert!(encode(&Ask::Leave, &vec![0; MAX_FRAME], &mut bytes).is_err());
        assert_eq!(bytes, [1]);
    }
}
