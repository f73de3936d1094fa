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
    /// Where it ends, its line end (a line feed, or a carriage return and a line feed) excluded.
    pub end: usize,
    /// Whether it may hold anything but printable ASCII; [`Kinds`] says what. False only if it does not.
    pub odd: bool,
}

/// Returns where the line feeds are, and what else is not printable ASCII: a bit a byte.
#[inline(always)]
fn masks(step: &[u8; STEP]) -> (u64, u64) {
    let (mut ends, mut odd) = (0u64, 0u64);
    for (number, part) in step.as_chunks::<16>().0.iter().enumerate() {
        let part = u8x16::new(*part);
        ends |= u64::from(part.simd_eq(u8x16::splat(b'\n')).to_bitmask()) << (number * 16);
        // The highest bit of what is no printable ASCII.
        odd |= u64::from((part | (part - u8x16::splat(b' '))).to_bitmask()) << (number * 16);
    }
    (ends, odd & !ends)
}

/// As [`masks`], of less than a step, with a line feed behind it.
#[inline(never)]
fn last_masks(rest: &[u8]) -> (u64, u64) {
    let mut step = [b' '; STEP];
    step[..rest.len()].copy_from_slice(rest);
    step[rest.len()] = b'\n';
    masks(&step)
}

/// Calls `each` with the lines of a block, in order; a last one without a line end is told as well.
#[inline(always)]
pub fn lines(block: &[u8], mut each: impl FnMut(Line)) {
    let (mut start, mut at) = (0, 0);
    // Whether the steps before hold something odd of the line that is open.
    let mut odd_before = false;
    while start < block.len() {
        let rest = &block[at..];
        let (mut ends, mut odd) = match rest.first_chunk() {
            Some(step) => masks(step),
            None => last_masks(rest),
        };
        while ends != 0 {
            let bit = ends.trailing_zeros() as usize;
            let end = at + bit;
            if start == block.len() {
                return;
            }
            let returns = end > start && block[end - 1] == b'\r';
            // What stands in front of the line feed, in the highest bits; the carriage return of the line end is not odd.
            let before = (odd << (STEP - 1 - bit) << 1) & !(u64::from(returns) << (STEP - 1));
            each(Line { start, end: end - usize::from(returns), odd: (before != 0) | odd_before });
            start = end + 1;
            odd_before = false;
            odd &= u64::MAX << bit;
            ends &= ends - 1;
        }
        odd_before |= odd != 0;
        at += STEP;
    }
}

/// What a line holds beside printable ASCII and tabs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// A byte that is not ASCII.
    pub high: bool,
    /// A control character that is no tab.
    pub control: bool,
}

impl Kinds {
    /// Looks at all bytes of a line.
    #[inline(never)]
    pub fn of(line: &[u8]) -> Self {
        // Without an early end, so that it is done sixteen bytes at a time.
        let or = line.iter().fold(0, |all, byte| all | byte);
        let control = line.iter().fold(false, |any, byte| any | ((*byte < b' ') & (*byte != b'\t')));
        Self { high: !or.is_ascii(), control }
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
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let odd = text.iter().any(|byte| !byte.is_ascii() || *byte < b' ');
            lines.push(Line { start, end: start + text.len(), odd });
            start += bytes.len();
        }
        lines
    }

    fn found(block: &[u8]) -> Vec<Line> {
        let mut found = Vec::new();
        lines(block, |line| found.push(line));
        found
    }

    #[test]
    fn a_line_says_whether_it_is_printable() {
        let block = "one\n\ttabbed\nna\u{ef}ve\ncrlf\r\n\nbell\u{7}\nlast".as_bytes();
        let odd: Vec<bool> = found(block).iter().map(|line| line.odd).collect();
        assert_eq!(odd, [false, true, true, false, false, true, false]);
        for (line, high, control) in
            [("\ttabbed", false, false), ("na\u{ef}ve", true, false), ("\u{7}", false, true)]
        {
            assert_eq!(Kinds::of(line.as_bytes()), Kinds { high, control }, "{line:?}");
        }
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
            let mut found = found(&block);
            prop_assert_eq!(found.len(), naive.len());
            for (line, naive) in found.iter_mut().zip(&naive) {
                // The carriage return of a line end may stand in one step and the line feed in the next.
                let apart = block[line.end..].starts_with(b"\r") && (line.end + 1) % STEP == 0;
                prop_assert!(line.odd || !naive.odd);
                line.odd &= naive.odd || !apart;
            }
            prop_assert_eq!(found, naive);
        }
    }
}
