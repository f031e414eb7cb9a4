//! Bytes as lines, of which none is longer than a limit.

/// The longest line, in bytes: one that is longer becomes several.
const LONGEST: usize = 16 * 1024;

/// Bytes that have been written and are no whole line yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes in bytes, and gives each line that is whole, without its end.
    pub(crate) fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.begin(line, &mut each);
            self.end(&mut each);
            bytes = rest;
        }
        self.begin(bytes, &mut each);
    }

    /// The program writes no more: what it had begun is a line, too.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            self.end(&mut each);
        }
    }

    fn begin(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&str)) {
        while self.begun.len() + bytes.len() > LONGEST {
            let (part, rest) = bytes.split_at(LONGEST - self.begun.len());
            self.begun.extend_from_slice(part);
            // A character is not cut.
            let whole = LONGEST - unfinished(&self.begun);
            let cut = self.begun.split_off(whole);
            self.end(each);
            self.begun = cut;
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
    }

    fn end(&mut self, each: &mut impl FnMut(&str)) {
        let line = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
        each(&String::from_utf8_lossy(line));
        self.begun.clear();
    }
}

/// How many bytes at the end are the beginning of a character of UTF-8.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    let Some(first) = (last..bytes.len()).rev().find(|index| bytes[*index] & 0xc0 != 0x80) else { return 0 };
    let length = match bytes[first] {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        _ => 1,
    };
    let there = bytes.len() - first;
    if there < length { there } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Lines};

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, |line| found.push(line.to_owned()));
        }
        lines.finish(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_found_wherever_the_bytes_are_cut() {
        let text = "one\r\n\ntwö three\nlast".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(lines(&pieces), ["one", "", "twö three", "last"]);
            }
        }
        assert_eq!(lines(&[b"\xff\n"]), ["\u{fffd}"]);
        assert!(lines(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_becomes_several_and_no_character_is_cut() {
        let long = "ä€𝄞x".repeat(LONGEST);
        for size in [1usize, 7, 4096, long.len()] {
            let pieces: Vec<&[u8]> = long.as_bytes().chunks(size).collect();
            let found = lines(&pieces);
            assert!(found.iter().all(
                |line| line.len() <= LONGEST && line.len() > LONGEST - 4 || line == found.last().unwrap()
            ));
            assert!(found.concat() == long, "{size}");
        }
    }
}
