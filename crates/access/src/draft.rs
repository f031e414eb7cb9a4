//! A line under way: the parts of it that are known before its request ends.

/// The texts that a line is put together from. Used again for the next request, it needs no allocation.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where most lines have room.
    quick: [u8; QUICK],
    /// Where each part of it ends.
    quick_ends: [u16; QUICK_PARTS],
    /// How many they are; none if the line is not there.
    quick_parts: usize,
    text: Vec<u8>,
    /// Where each part ends.
    ends: Vec<u32>,
    /// How long the line may become.
    longest: usize,
}

const QUICK: usize = 512;
const QUICK_PARTS: usize = 4;
/// A draft that grew beyond this is not kept.
const KEEP: usize = 4096;

impl Default for Draft {
    fn default() -> Self {
        Self {
            quick: [0; QUICK],
            quick_ends: [0; QUICK_PARTS],
            quick_parts: 0,
            text: Vec::new(),
            ends: Vec::new(),
            longest: 0,
        }
    }
}

impl Draft {
    pub(crate) fn clear(&mut self, longest: usize) {
        if self.text.capacity() > KEEP {
            self.text = Vec::new();
        }
        self.quick_parts = 0;
        self.longest = longest;
        self.text.clear();
        self.ends.clear();
    }

    #[inline]
    pub(crate) fn quick(&mut self) -> (&mut [u8; QUICK], &mut [u16; QUICK_PARTS]) {
        (&mut self.quick, &mut self.quick_ends)
    }

    /// All of it is there, in so many parts.
    #[inline]
    pub(crate) fn is_quick(&mut self, parts: usize) {
        self.quick_parts = parts;
    }

    /// Where it is, and from where to where a part of it is.
    #[inline]
    pub(crate) fn quick_part(&self, index: usize) -> Option<(&[u8; QUICK], (usize, usize))> {
        if index >= self.quick_parts {
            return None;
        }
        let end = usize::from(*self.quick_ends.get(index)?);
        let begin = if index == 0 { 0 } else { usize::from(self.quick_ends[index - 1]) };
        Some((&self.quick, (begin, end)))
    }

    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    #[inline]
    pub(crate) fn end_part(&mut self) {
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Forgets all but the first parts: a response takes the place of another one.
    pub(crate) fn keep_parts(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Whether the line is too long with so many bytes more.
    #[inline]
    pub(crate) fn exceeds(&self, more: usize) -> bool {
        self.text.len() + more > self.longest
    }

    #[inline]
    pub(crate) fn part(&self, index: usize) -> Option<&[u8]> {
        if let Some((text, (begin, end))) = self.quick_part(index) {
            return text.get(begin..end);
        }
        let end = *self.ends.get(index)? as usize;
        let begin = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        self.text.get(begin..end)
    }
}
