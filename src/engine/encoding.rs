//! What the first bytes of a source say of its encoding: UTF-8 with or without a byte order mark, or UTF-16, which
//! Windows PowerShell writes where output is redirected.
//!
//! UTF-16 without a mark is not guessed at: its lines are full of zero bytes, and such lines are counted
//! ([`zero_lines`]).

use std::borrow::Cow;

use memchr::{memchr, memrchr};

/// The marks that a source may begin with.
const MARKS: [(&[u8], Encoding); 3] = [
    (b"\xef\xbb\xbf", Encoding::Utf8),
    (b"\xff\xfe", Encoding::Utf16 { big_endian: false }),
    (b"\xfe\xff", Encoding::Utf16 { big_endian: true }),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// UTF-8, or whatever it is: its bytes are taken as they are.
    Utf8,
    Utf16 {
        big_endian: bool,
    },
}

/// Makes UTF-8 of a source that says it is something else, however its bytes are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    /// `None` until the first bytes have said it.
    encoding: Option<Encoding>,
    /// Bytes that say nothing yet: the beginning of a mark, half a character. At most three.
    held: Vec<u8>,
}

impl Decoder {
    /// Says that what comes is from the middle of a source: no mark is looked for.
    pub fn begin_inside(&mut self) {
        self.encoding = Some(Encoding::Utf8);
    }

    /// Takes the next bytes; returns their text, and how many bytes in front of it were a mark that is part of the
    /// stream as it is counted (that of UTF-16 is not: places in such a source are those of its text in UTF-8).
    pub fn push<'c>(&mut self, chunk: &'c [u8]) -> (usize, Cow<'c, [u8]>) {
        if self.encoding == Some(Encoding::Utf8) {
            return (0, Cow::Borrowed(chunk));
        }
        let bytes = if self.held.is_empty() {
            Cow::Borrowed(chunk)
        } else {
            let mut bytes = std::mem::take(&mut self.held);
            bytes.extend_from_slice(chunk);
            Cow::Owned(bytes)
        };
        let mut mark = 0;
        let encoding = match self.encoding {
            Some(encoding) => encoding,
            None if MARKS.iter().any(|(mark, _)| bytes.len() < mark.len() && mark.starts_with(&bytes)) => {
                self.held = bytes.into_owned();
                return (0, Cow::Borrowed(&[]));
            }
            None => {
                let found = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
                mark = found.map_or(0, |(mark, _)| mark.len());
                found.map_or(Encoding::Utf8, |(_, encoding)| *encoding)
            }
        };
        self.encoding = Some(encoding);
        match (encoding, bytes) {
            (Encoding::Utf8, Cow::Borrowed(bytes)) => (mark, Cow::Borrowed(&bytes[mark..])),
            (Encoding::Utf8, Cow::Owned(mut bytes)) => {
                bytes.drain(..mark);
                (mark, Cow::Owned(bytes))
            }
            (Encoding::Utf16 { big_endian }, bytes) => {
                (0, Cow::Owned(self.utf16(&bytes[mark..], big_endian)))
            }
        }
    }

    /// Ends the source: returns what is left of it.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.held);
        match self.encoding {
            // Half a character.
            Some(Encoding::Utf16 { .. }) if !rest.is_empty() => "\u{fffd}".into(),
            _ => rest,
        }
    }

    fn utf16(&mut self, bytes: &[u8], big_endian: bool) -> Vec<u8> {
        let unit = |pair: &[u8]| {
            let pair = [pair[0], pair[1]];
            if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        };
        let mut whole = bytes.len() & !1;
        // The second half of a pair may come with the next bytes.
        if whole >= 2 && matches!(unit(&bytes[whole - 2..whole]), 0xd800..=0xdbff) {
            whole -= 2;
        }
        self.held.extend_from_slice(&bytes[whole..]);
        let units = bytes[..whole].chunks_exact(2).map(unit);
        let mut text = String::with_capacity(whole);
        text.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        text.into_bytes()
    }
}

/// Returns how many of these lines hold a zero byte, which no text does, and are not counted elsewhere as records that
/// nobody understands.
pub fn zero_lines(block: &[u8]) -> u64 {
    let (mut lines, mut at) = (0, 0);
    while let Some(zero) = memchr(0, &block[at..]) {
        let zero = at + zero;
        let start = memrchr(b'\n', &block[..zero]).map_or(0, |end| end + 1);
        lines += u64::from(!block[start..zero].trim_ascii_start().starts_with(b"{\""));
        match memchr(b'\n', &block[zero..]) {
            Some(end) => at = zero + end + 1,
            None => break,
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a source that comes in these chunks, and the marks that are counted.
    fn decode<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> (usize, String) {
        let (mut decoder, mut marks, mut text) = (Decoder::default(), 0, Vec::new());
        for chunk in chunks {
            let (mark, more) = decoder.push(chunk);
            assert!(mark == 0 || text.is_empty(), "a mark stands in front");
            marks += mark;
            text.extend_from_slice(&more);
        }
        text.extend(decoder.finish());
        (marks, String::from_utf8(text).unwrap())
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn a_source_reads_the_same_however_it_is_encoded_and_cut() {
        let text = "API Error: 529 · naïve 😀\r\n{\"a\":\"ü\"}\n";
        for (bytes, mark) in [
            (text.as_bytes().to_vec(), 0),
            (format!("\u{feff}{text}").into_bytes(), 3),
            (utf16(text, u16::to_le_bytes), 0),
            (utf16(text, u16::to_be_bytes), 0),
        ] {
            for first in 0..=bytes.len() {
                for second in [first, (first + 1).min(bytes.len()), (first + 3).min(bytes.len())] {
                    let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(decode(chunks), (mark, text.to_owned()), "{first} {second}");
                }
            }
        }
    }

    #[test]
    fn odd_beginnings_and_ends_lose_nothing() {
        for (bytes, text) in [
            ("".as_bytes(), ""),
            ("\u{feff}".as_bytes(), ""),
            (b"\xff\xfe", ""),
            (b"\xff\xfea\0b", "a\u{fffd}"),
            (b"\xff\xfea\0\x3d\xd8", "a\u{fffd}"),
            (b"\xff\xfe\x3d\xd8a\0", "\u{fffd}a"),
            ("ﬀ".as_bytes(), "ﬀ"),
        ] {
            assert_eq!(decode(bytes.chunks(1)).1, text, "{bytes:?}");
            assert_eq!(decode([bytes]).1, text, "{bytes:?}");
        }
        let mut inside = Decoder::default();
        inside.begin_inside();
        assert_eq!(inside.push(b"\xff\xfea").1, &b"\xff\xfea"[..], "no mark in the middle of a source");
        let mut short = Decoder::default();
        assert!(short.push(b"\xef\xbb").1.is_empty());
        assert_eq!(short.finish(), b"\xef\xbb");
    }

    #[test]
    fn lines_with_zero_bytes_are_counted_once() {
        for (block, lines) in
            [(&b"plain\ntext\n"[..], 0), (b"a\0b\0\nc\nd\0", 2), (b"\0\n\0\n\n", 2), (b" {\"a\0\nx", 0)]
        {
            assert_eq!(zero_lines(block), lines, "{block:?}");
        }
    }
}
