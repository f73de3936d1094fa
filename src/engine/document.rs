//! JSON documents that span lines: pretty-printed results and whole-file trajectories.
//!
//! Lines are held from one that opens an object or array until it closes. The lexer is strict and gives up at the
//! first byte that JSON does not allow, so that a stray `{` in a log releases its lines at once.

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It belongs to a document that is not complete yet; it is held.
    Held,
    /// It completed the document; take it with [`Documents::held`], then call [`Documents::clear`].
    Whole,
    /// This is no document after all: what is held (this line excluded) is text. Then call [`Documents::clear`].
    Broken,
    /// With it the document is larger than the limit; what was held of it is gone, and the rest is passed over.
    Oversized,
    /// It belongs to a document that is passed over.
    Skipped,
}

/// Collects the lines of one JSON document at a time.
#[derive(Debug)]
pub struct Documents {
    limit: usize,
    held: Vec<u8>,
    lexer: Option<Lexer>,
    /// The number and offset of the first held line.
    start: (u64, u64),
    oversized: bool,
}

impl Documents {
    /// Returns a collector that holds at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), lexer: None, start: (0, 0), oversized: false }
    }

    /// Whether a document is open.
    pub fn is_open(&self) -> bool {
        self.lexer.is_some()
    }

    /// Whether a line can open a document that goes on in the next line: JSON so far, and not closed.
    pub fn opens(line: &[u8]) -> bool {
        let mut lexer = Lexer::default();
        matches!(line.first(), Some(b'{' | b'[')) && lexer.push(line) && lexer.depth > 0
    }

    /// Takes a line (without line end) of number `line` at `offset`: the first of a document, or its next one.
    pub fn push(&mut self, bytes: &[u8], line: u64, offset: u64) -> Step {
        let lexer = self.lexer.get_or_insert_with(|| {
            self.start = (line, offset);
            Lexer::default()
        });
        if !lexer.push(bytes) {
            return Step::Broken;
        }
        let complete = lexer.depth == 0;
        if self.oversized || self.held.len() + bytes.len() + 1 > self.limit {
            let before = std::mem::replace(&mut self.oversized, true);
            self.held = Vec::new();
            if complete {
                self.clear();
            }
            return if before { Step::Skipped } else { Step::Oversized };
        }
        if !self.held.is_empty() {
            self.held.push(b'\n');
        }
        self.held.extend_from_slice(bytes);
        if complete { Step::Whole } else { Step::Held }
    }

    /// Returns the held lines, joined by `\n`, with the number and offset of the first.
    pub fn held(&self) -> (&[u8], u64, u64) {
        (&self.held, self.start.0, self.start.1)
    }

    /// Takes the held lines out and closes the document.
    pub fn take(&mut self) -> (Vec<u8>, u64, u64) {
        let held = std::mem::take(&mut self.held);
        self.clear();
        (held, self.start.0, self.start.1)
    }

    /// Forgets the document.
    pub fn clear(&mut self) {
        self.lexer = None;
        self.oversized = false;
        self.held.clear();
        self.held.shrink_to(64 * 1024);
    }
}

/// How deep documents may nest.
const MAX_DEPTH: usize = 256;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// A strict JSON lexer that is fed line by line. Strings and literals do not cross lines, as JSON has it.
#[derive(Debug, Default)]
struct Lexer {
    expect: Expect,
    depth: usize,
    /// One bit a level: set for an object.
    objects: [u64; MAX_DEPTH / 64],
}

impl Lexer {
    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.objects[level / 64] >> (level % 64) & 1 == 1
    }

    fn open(&mut self, object: bool) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        let (word, bit) = (self.depth / 64, 1u64 << (self.depth % 64));
        self.objects[word] = if object { self.objects[word] | bit } else { self.objects[word] & !bit };
        self.depth += 1;
        self.expect = if object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
        true
    }

    fn close(&mut self, object: bool) -> bool {
        if self.depth == 0 || self.in_object() != object {
            return false;
        }
        self.depth -= 1;
        self.after_value();
        true
    }

    fn after_value(&mut self) {
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    /// Takes a line; returns whether it is JSON so far.
    fn push(&mut self, line: &[u8]) -> bool {
        use Expect::{Colon, CommaOrEnd, Key, KeyOrEnd, Value, ValueOrEnd};
        let mut at = 0;
        while let Some(byte) = line.get(at) {
            let ok = match (byte, self.expect) {
                (b' ' | b'\t' | b'\r', _) => true,
                (b'{', Value | ValueOrEnd) => self.open(true),
                (b'[', Value | ValueOrEnd) => self.open(false),
                (b'}', KeyOrEnd) | (b'}', CommaOrEnd) => self.close(true),
                (b']', ValueOrEnd) | (b']', CommaOrEnd) => self.close(false),
                (b',', CommaOrEnd) => {
                    self.expect = if self.in_object() { Key } else { Value };
                    true
                }
                (b':', Colon) => {
                    self.expect = Value;
                    true
                }
                (b'"', Key | KeyOrEnd | Value | ValueOrEnd) => {
                    let Some(length) = string_length(&line[at..]) else { return false };
                    at += length - 1;
                    if matches!(self.expect, Key | KeyOrEnd) {
                        self.expect = Colon;
                    } else {
                        self.after_value();
                    }
                    true
                }
                (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', Value | ValueOrEnd) if self.depth > 0 => {
                    let word = line[at..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
                        .count();
                    let text = &line[at..at + word];
                    at += word - 1;
                    self.after_value();
                    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
                }
                _ => false,
            };
            if !ok {
                return false;
            }
            at += 1;
        }
        true
    }
}

/// Returns the length of the string literal at the start, quotes included; `None` if it does not end in this line.
fn string_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steps(lines: &[&str]) -> Vec<Step> {
        let mut documents = Documents::new(1000);
        lines
            .iter()
            .enumerate()
            .map(|(index, line)| documents.push(line.as_bytes(), index as u64 + 1, 0))
            .collect()
    }

    #[test]
    fn a_pretty_printed_document_is_held_until_it_closes() {
        use Step::{Held, Whole};
        let lines = ["{", "  \"a\": [1, -2.5e3, true,", "    {\"b\": \"}\\\"{\"}],", "  \"c\": null", "}"];
        assert_eq!(steps(&lines), [Held, Held, Held, Held, Whole]);
    }

    #[test]
    fn what_is_not_json_breaks_at_once() {
        for lines in [
            &["{", "  int x;"][..],
            &["[", "2023-01-01]"],
            &["{", "\"a\": b"],
            &["{", "]"],
            &["{", "\"a\": \"cut"],
        ] {
            assert_eq!(steps(lines).last(), Some(&Step::Broken), "{lines:?}");
        }
        for line in ["[INFO] x", "[2023-01-01 INFO]", "{ code: 429,", "[12] x", "plain", "{}"] {
            assert!(!Documents::opens(line.as_bytes()), "{line}");
        }
        assert!(Documents::opens(b"{") && Documents::opens(b"[{\"a\":1},"));
    }

    #[test]
    fn a_document_over_the_limit_is_passed_over_to_its_end() {
        let mut documents = Documents::new(10);
        assert_eq!(documents.push(b"[1,", 1, 0), Step::Held);
        assert_eq!(documents.push(b"2222222222,", 2, 4), Step::Oversized);
        assert_eq!(documents.push(b"3]", 3, 20), Step::Skipped);
        assert!(!documents.is_open());
    }

    proptest! {
        #[test]
        fn what_serde_accepts_is_never_broken(value in "[a-z\\\\\"{}\\[\\]:, 0-9]{0,20}", number in any::<f32>()) {
            prop_assume!(number.is_finite());
            let value = serde_json::json!({"k": [value, number, null, {"x": []}], "y": true});
            let text = serde_json::to_string_pretty(&value).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let steps = steps(&lines);
            prop_assert_eq!(steps.last(), Some(&Step::Whole));
            prop_assert!(!steps.contains(&Step::Broken));
        }

        #[test]
        fn arbitrary_lines_never_panic(lines in prop::collection::vec("[{}\\[\\]\",:\\\\a-f0-9 -]{0,30}", 0..20)) {
            let mut documents = Documents::new(100);
            for line in &lines {
                if documents.push(line.as_bytes(), 1, 0) == Step::Broken || !documents.is_open() {
                    documents.clear();
                }
            }
        }
    }
}
