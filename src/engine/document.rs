//! JSON documents that span lines: pretty-printed results and whole-file trajectories.
//!
//! Lines are held from one that opens an object or array until it closes. The lexer is strict and gives up at the
//! first byte that JSON does not allow, so that a stray `{` in a log releases its lines at once. A document that
//! outgrows the limit is told element by element, each as it closes: no more than one of them is ever held.

use super::json;
use std::ops::Range;

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It belongs to a document that is not complete yet; it is held.
    Held,
    /// It completed the document; take it with [`Documents::take`].
    Whole,
    /// This is no document after all: what is held (this line excluded) is text; take it with [`Documents::take`].
    Broken,
    /// It belongs to a document that is larger than the limit, whose elements are told as they close.
    Parted,
    /// It completed such a document.
    PartedEnd,
}

/// A part of a document: a member of its object, an entry of a list that is such a member, or an entry of the list
/// that the document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The key (as written) of the member that it is, or of which it is an entry; empty in a document that is a list.
    pub member: &'a str,
    /// Whether it is an entry of a list.
    pub listed: bool,
    /// Its bytes, as they stand in the stream; none if it is larger than the limit.
    pub bytes: &'a [u8],
    /// The number of its first line.
    pub line: u64,
    /// Where that line begins in the stream, in bytes.
    pub line_offset: u64,
    /// Where it begins in the stream, in bytes.
    pub offset: u64,
    /// Whether it is larger than the limit and was passed over.
    pub truncated: bool,
}

impl Element<'_> {
    /// Tells whether it is an entry of the list under this key.
    pub fn is_entry_of(&self, member: &str) -> bool {
        self.listed && self.member == member
    }

    /// Tells whether it is the member with this key.
    pub fn is_member(&self, member: &str) -> bool {
        !self.listed && self.member == member
    }
}

/// Hands out the elements of a document that is held whole; positions count from its first byte.
pub fn elements(document: &[u8], out: &mut dyn FnMut(Element<'_>)) {
    let mut parts = Parts::new(usize::MAX);
    let (mut line, mut offset) = (0, 0);
    for text in document.split(|byte| *byte == b'\n') {
        if !parts.push(text, line, offset, out) {
            return;
        }
        line += 1;
        offset += text.len() as u64 + 1;
    }
}

/// Collects the lines of one JSON document at a time.
#[derive(Debug)]
pub struct Documents {
    limit: usize,
    held: Vec<u8>,
    lexer: Option<Lexer>,
    /// The number and offset of the first held line.
    start: (u64, u64),
    /// Where the last held line ends in the stream, its line end excluded.
    end: u64,
    /// At work once the document has outgrown the limit; nothing is held then.
    parts: Option<Parts>,
}

impl Documents {
    /// Returns a collector that holds at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), lexer: None, start: (0, 0), end: 0, parts: None }
    }

    /// Whether a document is open.
    pub fn is_open(&self) -> bool {
        self.lexer.is_some() || self.parts.is_some()
    }

    /// Whether a line can open a document that goes on in the next line: JSON so far, and not closed.
    pub fn opens(line: &[u8]) -> bool {
        let mut lexer = Lexer::default();
        matches!(line.first(), Some(b'{' | b'[')) && lexer.push(line, &mut |_, _| ()) && lexer.depth > 0
    }

    /// Whether a line whose first bracket stands behind so many blanks may be an array, or the beginning of one.
    pub fn may_be_array(line: &[u8], indent: usize) -> bool {
        let inside = line[indent + 1..].trim_ascii();
        let may_begin = match inside {
            [] | [b'{' | b'[' | b'"' | b']' | b'-', ..] => true,
            [b'0'..=b'9', ..] => {
                let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
                matches!(inside[digits..], [] | [b',' | b']' | b'.' | b'e' | b'E' | b' ' | b'\t', ..])
            }
            [b't' | b'f' | b'n', ..] => {
                [&b"true"[..], b"false", b"null"].iter().any(|word| inside.starts_with(word))
            }
            _ => false,
        };
        may_begin && (inside.ends_with(b"]") || (indent == 0 && Self::opens(line)))
    }

    /// Takes a line (without line end) of number `line` at `offset`: the first of a document, or its next one.
    /// Elements are handed to `out` if the document is too large to be held.
    pub fn push(&mut self, bytes: &[u8], line: u64, offset: u64, out: &mut dyn FnMut(Element<'_>)) -> Step {
        if let Some(parts) = &mut self.parts {
            let sound = parts.push(bytes, line, offset, out);
            return self.parted(sound);
        }
        let lexer = self.lexer.get_or_insert_with(|| {
            self.start = (line, offset);
            Lexer::default()
        });
        if !lexer.push(bytes, &mut |_, _| ()) {
            return Step::Broken;
        }
        let complete = lexer.depth == 0;
        let gap = if self.held.is_empty() { &[][..] } else { line_end(self.end, offset) };
        if self.held.len() + gap.len().max(1) + bytes.len() > self.limit {
            let mut parts = Parts::new(self.limit);
            let (held, mut held_line, mut held_offset) = self.take();
            let lines = (!held.is_empty()).then(|| held.split(|byte| *byte == b'\n')).into_iter().flatten();
            for text in lines {
                parts.push(text, held_line, held_offset, out);
                held_line += 1;
                held_offset += text.len() as u64 + 1;
            }
            let sound = parts.push(bytes, line, offset, out);
            self.parts = Some(parts);
            return self.parted(sound);
        }
        self.held.extend_from_slice(gap);
        self.held.extend_from_slice(bytes);
        self.end = offset + bytes.len() as u64;
        if complete { Step::Whole } else { Step::Held }
    }

    fn parted(&mut self, sound: bool) -> Step {
        let complete = self.parts.as_ref().is_none_or(|parts| parts.lexer.depth == 0);
        if !sound {
            self.clear();
            return Step::Broken;
        }
        if complete {
            self.clear();
            return Step::PartedEnd;
        }
        Step::Parted
    }

    /// Takes the held lines out, with their line ends but for the last, as they stand in the stream, and with the number
    /// and offset of the first; closes the document.
    pub fn take(&mut self) -> (Vec<u8>, u64, u64) {
        let held = std::mem::take(&mut self.held);
        self.clear();
        (held, self.start.0, self.start.1)
    }

    /// Forgets the document.
    pub fn clear(&mut self) {
        self.lexer = None;
        self.parts = None;
        self.held.clear();
        self.held.shrink_to(64 * 1024);
    }
}

/// Returns what stands between a line that ends at `end` and one that begins at `start`.
fn line_end(end: u64, start: u64) -> &'static [u8] {
    if start.saturating_sub(end) == 2 { b"\r\n" } else { b"\n" }
}

/// How much of a key is kept, in bytes; a longer one names nothing that a format knows.
const MAX_KEY: usize = 64;

/// Cuts a document into elements, line by line.
#[derive(Debug)]
struct Parts {
    limit: usize,
    lexer: Lexer,
    key: String,
    /// Whether the member of the top object that is open now is a list.
    in_list: bool,
    /// The element that is open.
    open: Option<Open>,
    /// What earlier lines held of it.
    held: Vec<u8>,
    /// Where the last of them ends in the stream, its line end excluded.
    end: u64,
}

/// An element that is not closed yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    depth: usize,
    line: u64,
    line_offset: u64,
    offset: u64,
    oversized: bool,
}

impl Parts {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            lexer: Lexer::default(),
            key: String::new(),
            in_list: false,
            open: None,
            held: Vec::new(),
            end: 0,
        }
    }

    /// Takes a line; returns whether it is JSON so far.
    fn push(&mut self, text: &[u8], line: u64, offset: u64, out: &mut dyn FnMut(Element<'_>)) -> bool {
        let Self { limit, lexer, key, in_list, open, held, end } = self;
        if open.is_some_and(|element| !element.oversized) {
            held.extend_from_slice(line_end(*end, offset));
        }
        *end = offset + text.len() as u64;
        // Where in this line the open element goes on.
        let mut start = 0;
        let mut top_is_object = lexer.depth > 0 && lexer.is_object(0);
        let sound = lexer.push(text, &mut |token, range| match token {
            Token::Key(1) if top_is_object => {
                let name = text.get(range.start + 1..range.end - 1).unwrap_or_default();
                key.clear();
                key.push_str(&String::from_utf8_lossy(&name[..name.len().min(MAX_KEY)]));
            }
            Token::Begin(0) => top_is_object = text.get(range.start) == Some(&b'{'),
            Token::Begin(1) if top_is_object && text.get(range.start) == Some(&b'[') => *in_list = true,
            Token::Begin(depth) if open.is_none() && (depth == 1 || (depth == 2 && *in_list)) => {
                let place = offset + range.start as u64;
                *open = Some(Open { depth, line, line_offset: offset, offset: place, oversized: false });
                held.clear();
                start = range.start;
            }
            Token::End(depth) => match *open {
                Some(element) if element.depth == depth => {
                    let part = &text[start..range.end];
                    let oversized = element.oversized || held.len() + part.len() > *limit;
                    let bytes = if oversized {
                        &[][..]
                    } else if held.is_empty() {
                        part
                    } else {
                        held.extend_from_slice(part);
                        &held[..]
                    };
                    out(Element {
                        member: key,
                        listed: *in_list || !top_is_object,
                        bytes,
                        line: element.line,
                        line_offset: element.line_offset,
                        offset: element.offset,
                        truncated: oversized,
                    });
                    *open = None;
                    held.clear();
                    held.shrink_to(64 * 1024);
                }
                _ if depth == 1 => *in_list = false,
                _ => {}
            },
            _ => {}
        });
        if let Some(element) = open {
            let part = &text[start..];
            if element.oversized || held.len() + part.len() > *limit {
                element.oversized = true;
                *held = Vec::new();
            } else {
                held.extend_from_slice(part);
            }
        }
        sound
    }
}

/// What a lexer met; the number is how many objects and lists stand around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// A key (its range is that of the string, quotes included).
    Key(usize),
    /// A value begins.
    Begin(usize),
    /// A value ended.
    End(usize),
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
    fn is_object(&self, level: usize) -> bool {
        self.objects[level / 64] >> (level % 64) & 1 == 1
    }

    fn in_object(&self) -> bool {
        self.is_object(self.depth - 1)
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

    /// Takes a line and tells its tokens with their ranges in it; returns whether it is JSON so far.
    fn push(&mut self, line: &[u8], out: &mut dyn FnMut(Token, Range<usize>)) -> bool {
        use Expect::{Colon, CommaOrEnd, Key, KeyOrEnd, Value, ValueOrEnd};
        let mut at = 0;
        while let Some(byte) = line.get(at) {
            let ok = match (byte, self.expect) {
                (b' ' | b'\t' | b'\r', _) => true,
                (b'{' | b'[', Value | ValueOrEnd) => {
                    out(Token::Begin(self.depth), at..at + 1);
                    self.open(*byte == b'{')
                }
                (b'}', KeyOrEnd | CommaOrEnd) | (b']', ValueOrEnd | CommaOrEnd) => {
                    let closed = self.close(*byte == b'}');
                    if closed {
                        out(Token::End(self.depth), at..at + 1);
                    }
                    closed
                }
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
                    let range = at..at + length;
                    at += length - 1;
                    if matches!(self.expect, Key | KeyOrEnd) {
                        self.expect = Colon;
                        out(Token::Key(self.depth), range);
                    } else {
                        self.after_value();
                        out(Token::Begin(self.depth), range.clone());
                        out(Token::End(self.depth), range);
                    }
                    true
                }
                (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', Value | ValueOrEnd) if self.depth > 0 => {
                    let word = line[at..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
                        .count();
                    let range = at..at + word;
                    at += word - 1;
                    self.after_value();
                    let sound = json::from_slice::<serde::de::IgnoredAny>(&line[range.clone()]).is_ok();
                    if sound {
                        out(Token::Begin(self.depth), range.clone());
                        out(Token::End(self.depth), range);
                    }
                    sound
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

    /// An element with owned parts: member, listed, text, line, offset.
    type Told = (String, bool, String, u64, u64);

    fn told(element: Element<'_>) -> Told {
        let text = String::from_utf8_lossy(element.bytes).into_owned();
        (element.member.to_owned(), element.listed, text, element.line, element.offset)
    }

    fn feed(documents: &mut Documents, lines: &[&str]) -> (Vec<Step>, Vec<Told>) {
        let (mut steps, mut parts, mut offset) = (Vec::new(), Vec::new(), 0);
        for (index, line) in lines.iter().enumerate() {
            steps.push(
                documents.push(line.as_bytes(), index as u64 + 1, offset, &mut |e| parts.push(told(e))),
            );
            offset += line.len() as u64 + 1;
        }
        (steps, parts)
    }

    fn steps(lines: &[&str]) -> Vec<Step> {
        feed(&mut Documents::new(1000), lines).0
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
    fn a_document_over_the_limit_is_told_element_by_element() {
        let mut documents = Documents::new(24);
        let lines = [
            "{",
            "  \"info\": {",
            "    \"a\": [1]",
            "  },",
            "  \"list\": [",
            "    {\"n\": 1}, 2,",
            "    [",
            "      3",
            "    ]",
            "  ], \"none\": [],",
            "  \"last\": \"x\"",
            "}",
        ];
        let (steps, parts) = feed(&mut documents, &lines);
        assert_eq!(steps.first(), Some(&Step::Held));
        assert_eq!(steps.last(), Some(&Step::PartedEnd));
        assert!(!documents.is_open());
        let expected = [
            ("info", false, "{\n    \"a\": [1]\n  }", 2, 12),
            ("list", true, "{\"n\": 1}", 6, 48),
            ("list", true, "2", 6, 58),
            ("list", true, "[\n      3\n    ]", 7, 65),
            ("last", false, "\"x\"", 11, 108),
        ];
        let expected: Vec<Told> = expected
            .iter()
            .map(|(member, listed, text, line, offset)| {
                ((*member).to_owned(), *listed, (*text).to_owned(), *line, *offset)
            })
            .collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn an_element_over_the_limit_is_passed_over_and_said_to_be() {
        let mut documents = Documents::new(10);
        let mut parts = Vec::new();
        let mut push = |line: &str, number| {
            documents.push(line.as_bytes(), number, 0, &mut |e| parts.push((e.bytes.len(), e.truncated)))
        };
        assert_eq!(push("[1,", 1), Step::Held);
        assert_eq!(push("2222222222222,[", 2), Step::Parted);
        assert_eq!(push("33333333,", 3), Step::Parted);
        assert_eq!(push("4],5]", 4), Step::PartedEnd);
        assert_eq!(parts, [(1, false), (0, true), (0, true), (1, false)]);
    }

    #[test]
    fn a_document_that_breaks_late_has_told_its_elements() {
        let (steps, parts) = feed(&mut Documents::new(7), &["[\"one\",", "\"two\",", "oops"]);
        assert_eq!(steps, [Step::Parted, Step::Parted, Step::Broken]);
        assert_eq!(parts.len(), 2);
    }

    fn document() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(serde_json::Value::from),
            (-9i64..9).prop_map(serde_json::Value::from),
            "[a-z\\\\\"{}\\[\\]:, 0-9]{0,8}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
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
        fn the_elements_are_those_that_serde_finds_whatever_the_limit(value in document(), limit in 1usize..60) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            let mut expected = Vec::new();
            match &value {
                serde_json::Value::Array(list) => expected.extend(list.iter().map(|entry| (String::new(), true, entry.clone()))),
                serde_json::Value::Object(members) => for (key, member) in members {
                    match member {
                        serde_json::Value::Array(list) => expected.extend(list.iter().map(|entry| (key.clone(), true, entry.clone()))),
                        member => expected.push((key.clone(), false, member.clone())),
                    }
                },
                _ => {}
            }
            let mut whole = Vec::new();
            elements(text.as_bytes(), &mut |element| {
                assert!(!element.truncated);
                assert!(text.as_bytes()[usize::try_from(element.offset).unwrap()..].starts_with(element.bytes));
                let value: serde_json::Value = serde_json::from_slice(element.bytes).unwrap();
                whole.push((element.member.to_owned(), element.listed, value));
            });
            prop_assert_eq!(&whole, &expected);
            // In parts, the same elements come, but for those that are too large.
            let lines: Vec<&str> = text.lines().collect();
            if Documents::opens(lines[0].as_bytes()) {
                let mut documents = Documents::new(limit);
                let (steps, parts) = feed(&mut documents, &lines);
                prop_assert!(documents.held.len() <= limit);
                if steps.last() == Some(&Step::PartedEnd) {
                    prop_assert_eq!(parts.len(), expected.len());
                    for ((member, listed, text, _, _), (key, in_list, value)) in parts.iter().zip(&expected) {
                        prop_assert_eq!((member, listed), (key, in_list));
                        if !text.is_empty() {
                            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(text).unwrap(), value);
                        }
                    }
                }
            }
        }

        #[test]
        fn arbitrary_lines_never_panic(lines in prop::collection::vec("[{}\\[\\]\",:\\\\a-f0-9 -]{0,30}", 0..20), limit in 0usize..100) {
            let mut documents = Documents::new(limit);
            for line in &lines {
                if documents.push(line.as_bytes(), 1, 0, &mut |_| ()) == Step::Broken || !documents.is_open() {
                    documents.clear();
                }
                elements(line.as_bytes(), &mut |_| ());
            }
        }
    }
}
