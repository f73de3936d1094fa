//! Chunks of bytes → blocks of whole lines.
//!
//! A block is a run of whole lines lent from the chunk itself; only a line that crosses the border of two
//! chunks is copied. However the bytes are cut, the lines are the same.

use memchr::{memchr, memrchr};

/// A run of whole lines.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The bytes: whole lines, each with its line end, but for the last of a stream, which may have none.
    pub bytes: &'a [u8],
    /// The number of the first line, counted from 1.
    pub line: u64,
    /// Where the block begins in the stream, in bytes.
    pub offset: u64,
    /// How many bytes of its (then only) line were left out because the line is longer than the limit.
    pub omitted: u64,
}

/// Cuts a stream into blocks of whole lines.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    /// The unfinished line: never longer than `limit`.
    tail: Vec<u8>,
    /// Bytes of the unfinished line that were beyond the limit.
    omitted: u64,
    line: u64,
    offset: u64,
}

impl Framer {
    /// Returns a framer that keeps at most `line_limit` bytes (at least 1) of a line.
    pub fn new(line_limit: usize) -> Self {
        Self { limit: line_limit.max(1), tail: Vec::new(), omitted: 0, line: 1, offset: 0 }
    }

    /// Counts on from here: so many whole lines and bytes of the stream were passed over.
    pub fn begin_at(&mut self, lines: u64, bytes: u64) {
        self.line = lines + 1;
        self.offset = bytes;
    }

    /// Takes the next bytes and lends the blocks that they complete. `each` returns how many line ends it has met: who
    /// goes through the lines knows it anyway.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Block<'_>) -> u64) {
        let mut rest = chunk;
        if self.tail.is_empty() && self.omitted == 0 {
            // Nothing is open: go on below.
        } else if let Some(end) = memchr(b'\n', rest) {
            self.keep(&rest[..=end]);
            self.flush(&mut each);
            rest = &rest[end + 1..];
        } else {
            self.keep(rest);
            return;
        }
        let whole = memrchr(b'\n', rest).map_or(0, |end| end + 1);
        self.lend(&rest[..whole], &mut each);
        self.keep(&rest[whole..]);
    }

    /// Ends the stream: lends a last line that has no line end.
    pub fn finish(&mut self, mut each: impl FnMut(Block<'_>) -> u64) {
        if !self.tail.is_empty() || self.omitted > 0 {
            self.flush(&mut each);
        }
    }

    /// Returns how many lines and bytes have been lent so far.
    pub fn position(&self) -> (u64, u64) {
        (self.line - 1, self.offset)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.tail.len());
        let kept = bytes.len().min(room);
        self.tail.extend_from_slice(&bytes[..kept]);
        self.omitted += (bytes.len() - kept) as u64;
    }

    fn flush(&mut self, each: &mut impl FnMut(Block<'_>) -> u64) {
        each(Block { bytes: &self.tail, line: self.line, offset: self.offset, omitted: self.omitted });
        self.line += 1;
        self.offset += self.tail.len() as u64 + self.omitted;
        self.omitted = 0;
        self.tail.clear();
        // One huge line must not hold its memory for the rest of the stream.
        self.tail.shrink_to(64 * 1024);
    }

    /// Lends whole lines from the chunk; lines over the limit go out alone and cut, as they would from the tail.
    fn lend(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Block<'_>) -> u64) {
        while !bytes.is_empty() {
            let (short, long) = split_before_long_line(bytes, self.limit);
            if !short.is_empty() {
                let lines = each(Block { bytes: short, line: self.line, offset: self.offset, omitted: 0 });
                self.line += lines;
                self.offset += short.len() as u64;
            }
            if long > 0 {
                let line = &bytes[short.len()..short.len() + long];
                let omitted = (long - self.limit) as u64;
                each(Block { bytes: &line[..self.limit], line: self.line, offset: self.offset, omitted });
                self.line += 1;
                self.offset += long as u64;
            }
            bytes = &bytes[short.len() + long..];
        }
    }
}

/// Splits whole lines before the first that is longer than `limit` (its line end included); returns what
/// stands before it and its length (0: there is none).
fn split_before_long_line(bytes: &[u8], limit: usize) -> (&[u8], usize) {
    if bytes.len() <= limit {
        return (bytes, 0);
    }
    let mut start = 0;
    while start < bytes.len() {
        let length = memchr(b'\n', &bytes[start..]).map_or(bytes.len() - start, |end| end + 1);
        if length > limit {
            return (&bytes[..start], length);
        }
        start += length;
    }
    (bytes, 0)
}

/// Returns how many line ends there are.
pub fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines as (number, offset, bytes, omitted), however they were grouped.
    fn lines(chunks: &[&[u8]], limit: usize) -> Vec<(u64, u64, Vec<u8>, u64)> {
        let mut framer = Framer::new(limit);
        let mut lines = Vec::new();
        let mut each = |block: Block<'_>| {
            let (mut number, mut offset) = (block.line, block.offset);
            for line in block.bytes.split_inclusive(|byte| *byte == b'\n') {
                lines.push((number, offset, line.to_vec(), block.omitted));
                number += 1;
                offset += line.len() as u64;
            }
            if block.bytes.is_empty() {
                lines.push((number, offset, Vec::new(), block.omitted));
            }
            count_lines(block.bytes)
        };
        for chunk in chunks {
            framer.push(chunk, &mut each);
        }
        framer.finish(&mut each);
        lines
    }

    #[test]
    fn lines_keep_their_number_and_offset() {
        let got = lines(&[b"one\ntw", b"o\n\nfour"], 100);
        assert_eq!(
            got,
            [
                (1, 0, b"one\n".to_vec(), 0),
                (2, 4, b"two\n".to_vec(), 0),
                (3, 8, b"\n".to_vec(), 0),
                (4, 9, b"four".to_vec(), 0)
            ]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
        let got = lines(&[b"abcdefgh\nxy\n"], 4);
        assert_eq!(got, [(1, 0, b"abcd".to_vec(), 5), (2, 9, b"xy\n".to_vec(), 0)]);
    }

    proptest! {
        #[test]
        fn cutting_anywhere_gives_the_same_lines(
            text in prop::collection::vec(prop::sample::select(b"ab\n\r".to_vec()), 0..60),
            cuts in prop::collection::vec(0usize..60, 0..4),
            limit in 1usize..12,
        ) {
            let whole = lines(&[&text], limit);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(0);
            cuts.push(text.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&pieces, limit), whole);
        }
    }
}
