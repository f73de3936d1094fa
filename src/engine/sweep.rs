//! The lines of a block, found in one sweep of 64 bytes a step.
//!
//! Most lines of plain text concern nobody, so finding where each ends must cost next to nothing. The same look at the
//! bytes tells whether a line is printable ASCII, which spares it most other questions.

use wide::u8x16;

/// How many bytes are looked at in one go.
const STEP: usize = 64;

/// A line of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins in the block.
    pub start: usize,
    /// Where it ends, its line end excluded.
    pub end: usize,
    /// Whether it holds a byte that is not ASCII.
    pub high: bool,
    /// Whether it may hold a control character. Tabs are none, nor (in most cases) is the carriage return of its end.
    pub control: bool,
}

/// What matters of a step, a bit a byte.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    ends: u64,
    high: u64,
    control: u64,
}

impl Masks {
    #[inline(always)]
    fn read(step: &[u8; STEP]) -> Self {
        let (mut ends, mut odd) = (0u64, u8x16::ZERO);
        for (number, part) in step.as_chunks::<16>().0.iter().enumerate() {
            let part = u8x16::new(*part);
            let end = part.simd_eq(u8x16::splat(b'\n'));
            ends |= u64::from(end.to_bitmask()) << (number * 16);
            // The highest bit of what is no printable ASCII.
            odd |= (part | (part - u8x16::splat(b' '))) & !end;
        }
        if odd.to_bitmask() == 0 {
            return Self { ends, high: 0, control: 0 };
        }
        Self::read_odd(step, ends)
    }

    #[inline(never)]
    fn read_odd(step: &[u8; STEP], ends: u64) -> Self {
        let high = bits(step, |part| part);
        let mut control = bits(step, |part| part.min(u8x16::splat(0x1f)).simd_eq(part)) & !ends;
        if control != 0 {
            control &= !bits(step, |part| part.simd_eq(u8x16::splat(b'\t')));
            // What stands in front of a line feed belongs to the line end.
            control &= !(bits(step, |part| part.simd_eq(u8x16::splat(b'\r'))) & (ends >> 1));
        }
        Self { ends, high, control }
    }
}

/// Returns the highest bit of each byte that `of` makes of the step.
#[inline(always)]
fn bits(step: &[u8; STEP], of: impl Fn(u8x16) -> u8x16) -> u64 {
    let (parts, _) = step.as_chunks::<16>();
    let bits = |part: &[u8; 16]| u64::from(of(u8x16::new(*part)).to_bitmask());
    parts.iter().enumerate().fold(0, |all, (number, part)| all | bits(part) << (number * 16))
}

/// The lines of a block, in order; a last one without a line end is told as well.
#[derive(Debug)]
pub struct Lines<'b> {
    block: &'b [u8],
    /// Where the next line begins.
    start: usize,
    /// Where the step begins whose masks are at hand.
    step: usize,
    /// What is left of them.
    masks: Masks,
    /// What the steps before say of the line that is open.
    high: bool,
    control: bool,
}

impl<'b> Lines<'b> {
    /// Returns the lines of this block.
    pub fn new(block: &'b [u8]) -> Self {
        let mut lines =
            Self { block, start: 0, step: 0, masks: Masks::default(), high: false, control: false };
        lines.read();
        lines
    }

    #[inline(always)]
    fn read(&mut self) {
        let rest = &self.block[self.step..];
        self.masks = match rest.first_chunk() {
            Some(step) => Masks::read(step),
            None => {
                let mut step = [b' '; STEP];
                step[..rest.len()].copy_from_slice(rest);
                Masks::read(&step)
            }
        };
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    #[inline]
    fn next(&mut self) -> Option<Line> {
        while self.masks.ends == 0 {
            self.high |= self.masks.high != 0;
            self.control |= self.masks.control != 0;
            if self.block.len() - self.step <= STEP {
                // The end of the block ends its last line.
                self.masks = Masks::default();
                let line =
                    Line { start: self.start, end: self.block.len(), high: self.high, control: self.control };
                self.start = self.block.len();
                return (line.start < line.end).then_some(line);
            }
            self.step += STEP;
            self.read();
        }
        let bit = self.masks.ends.trailing_zeros();
        let before = (1u64 << bit) - 1;
        let line = Line {
            start: self.start,
            end: self.step + bit as usize,
            high: self.high || self.masks.high & before != 0,
            control: self.control || self.masks.control & before != 0,
        };
        self.masks.ends &= self.masks.ends - 1;
        self.masks.high &= !before;
        self.masks.control &= !before;
        (self.high, self.control) = (false, false);
        self.start = line.end + 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(block: &[u8]) -> Vec<Line> {
        let mut start = 0;
        let mut lines = Vec::new();
        for bytes in block.split_inclusive(|byte| *byte == b'\n') {
            let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            lines.push(Line {
                start,
                end: start + text.len(),
                high: !text.is_ascii(),
                control: text
                    .strip_suffix(b"\r")
                    .filter(|_| text.len() < bytes.len())
                    .unwrap_or(text)
                    .iter()
                    .any(|byte| *byte < b' ' && *byte != b'\t'),
            });
            start += bytes.len();
        }
        lines
    }

    #[test]
    fn a_line_says_what_is_in_it() {
        let block = "one\n\ttabbed\nna\u{ef}ve\ncrlf\r\n\nlast".as_bytes();
        let told: Vec<(bool, bool)> = Lines::new(block).map(|line| (line.high, line.control)).collect();
        assert_eq!(
            told,
            [(false, false), (false, false), (true, false), (false, false), (false, false), (false, false)]
        );
    }

    proptest! {
        #[test]
        fn one_sweep_finds_what_a_split_finds(
            block in prop::collection::vec(prop::sample::select(b"abc \n\n\t\r\x00\xc3\x7f".to_vec()), 0..300),
            long in 0usize..200,
        ) {
            let mut block = block;
            block.splice(block.len() / 2..block.len() / 2, std::iter::repeat_n(b'x', long));
            let naive = naive(&block);
            let mut found: Vec<Line> = Lines::new(&block).collect();
            prop_assert_eq!(found.len(), naive.len());
            for (line, naive) in found.iter_mut().zip(&naive) {
                // A line end may stand on the border of two steps.
                line.control &= naive.control || line.end % STEP != 0;
            }
            prop_assert_eq!(found, naive);
        }
    }
}
