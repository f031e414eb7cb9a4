//! How a line grows: short pieces are copied with all of a fixed array, which takes no loop and no call.

/// The longest constant that is copied with a fixed array.
const SHORT: usize = 16;

/// Appends the first bytes of an array.
#[inline(always)]
pub(crate) fn first<const N: usize>(out: &mut Vec<u8>, array: &[u8; N], length: usize) {
    let end = out.len() + length;
    out.extend_from_slice(array);
    out.truncate(end);
}

/// A part of a line that is the same for all requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constant {
    short: [u8; SHORT],
    length: usize,
    /// What is behind the first bytes.
    long: Box<[u8]>,
}

impl Constant {
    pub(crate) fn new(text: &[u8]) -> Self {
        let (start, rest) = text.split_at(text.len().min(SHORT));
        let mut short = [0; SHORT];
        short[..start.len()].copy_from_slice(start);
        Self { short, length: start.len(), long: rest.into() }
    }

    pub(crate) fn len(&self) -> usize {
        self.length + self.long.len()
    }

    /// All of it, if it is short.
    #[inline(always)]
    pub(crate) fn short(&self) -> Option<(&[u8; SHORT], usize)> {
        self.long.is_empty().then_some((&self.short, self.length))
    }

    #[inline(always)]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        first(out, &self.short, self.length);
        if !self.long.is_empty() {
            out.extend_from_slice(&self.long);
        }
    }
}

/// Where values are written, and how much of a client's text is.
pub(crate) struct Pen<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    /// Longer texts are cut.
    pub(crate) most: usize,
}

#[cfg(test)]
mod tests {
    use super::Constant;

    #[test]
    fn constants_of_all_lengths_are_written_whole() {
        for length in [0, 1, 15, 16, 17, 100] {
            let text: Vec<u8> = (0..length).collect();
            let (mut out, constant) = (b"before".to_vec(), Constant::new(&text));
            constant.write(&mut out);
            assert_eq!(out, [b"before", &text[..]].concat());
            assert_eq!(constant.len(), text.len());
        }
    }
}
