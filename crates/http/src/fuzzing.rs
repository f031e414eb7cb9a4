//! What the fuzz targets share: bytes of a protocol from bytes of the fuzzing engine.

/// From here on, a byte of the input says that the next one stands for itself.
const LITERAL: u8 = 240;

/// The parts that the bytes of the input choose. Bytes at random would rarely get past the first check of a parser.
pub(crate) fn assemble(input: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let (mut bytes, mut input) = (Vec::new(), input.iter());
    while let Some(choice) = input.next() {
        match *choice {
            LITERAL.. => bytes.extend(input.next()),
            choice => bytes.extend_from_slice(parts[usize::from(choice) % parts.len()]),
        }
    }
    bytes
}

/// The same as text, without what is no UTF-8.
pub(crate) fn assemble_text(input: &[u8], parts: &[&str]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    String::from_utf8_lossy(&assemble(input, &parts)).into_owned()
}

/// The first byte of the input, as the length of pieces, and the rest.
pub(crate) fn split_piece(input: &[u8]) -> Option<(usize, &[u8])> {
    let (piece, rest) = input.split_first()?;
    Some((1 + usize::from(*piece) % 40, rest))
}
