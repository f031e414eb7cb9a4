//! Masking of a client's payload (RFC 6455 §5.3).

/// Masks or unmasks `payload`, which begins where the key does.
pub(crate) fn apply(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn every_length_is_masked_byte_by_byte() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..40u8 {
            let plain: Vec<u8> = (0..len).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            let mut masked = plain.clone();
            apply(&mut masked, key);
            assert_eq!(masked, expected);
            apply(&mut masked, key);
            assert_eq!(masked, plain);
        }
    }

    #[test]
    fn rfc_6455_5_7_hello() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }
}
