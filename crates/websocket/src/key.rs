//! The key of the opening handshake.

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

/// What every server appends to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`; `None` unless the key is sixteen bytes in base64
/// (RFC 6455 §4.2.1, §4.2.2).
#[must_use]
pub fn accept_key(key: &[u8]) -> Option<String> {
    let digits = key.strip_suffix(b"==")?;
    let is_key =
        digits.len() == 22 && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
    is_key.then(|| BASE64.encode(&Sha1::new().chain_update(key).chain_update(GUID).finalize()))
}

#[cfg(test)]
mod tests {
    use super::accept_key;

    #[test]
    fn the_key_of_the_rfc_is_accepted() {
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn what_is_not_sixteen_bytes_in_base64_is_no_key() {
        for key in ["", "short==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j-Q=="] {
            assert_eq!(accept_key(key.as_bytes()), None, "{key}");
        }
    }
}
