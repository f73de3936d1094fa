//! JSON documents that span lines.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use session_doctor::engine::document::{Documents, Element, Step, elements};

use crate::draw::Draw;

/// An element with owned parts: member, listed, text, line, offset, truncated.
type Told = (String, bool, Vec<u8>, u64, u64, bool);

fn told(element: &Element<'_>) -> Told {
    assert!(!element.truncated || element.bytes.is_empty(), "what was passed over is not handed out");
    let Element { member, listed, bytes, line, line_offset, offset, truncated } = *element;
    assert!(line_offset <= offset, "it begins in its line");
    (member.to_owned(), listed, bytes.to_vec(), line, offset, truncated)
}

/// How deep documents may nest.
const MAX_DEPTH: usize = 256;

/// How many bytes of a key are kept.
const MAX_KEY: usize = 64;

/// The elements of a document as serde sees them: member (as written), listed, text.
struct Expected<'a>(Vec<(String, bool, &'a str)>);

impl<'de> Visitor<'de> for Expected<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(entry) = list.next_element::<&RawValue>()? {
            self.0.push((String::new(), true, entry.get()));
        }
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        while let Some((key, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            let key = key.get().trim_matches('"');
            let value = value.get();
            if value.starts_with('[') {
                let entries: Vec<&RawValue> = serde_json::from_str(value).expect("serde read it before");
                self.0.extend(entries.iter().map(|entry| (key.to_owned(), true, entry.get())));
            } else {
                self.0.push((key.to_owned(), false, value));
            }
        }
        Ok(self)
    }
}

fn expected(document: &str) -> Option<Vec<(String, bool, &str)>> {
    let mut deserializer = serde_json::Deserializer::from_str(document);
    let found = deserializer.deserialize_any(Expected(Vec::new())).ok()?;
    deserializer.end().ok()?;
    Some(found.0)
}

/// Holds the elements of a whole document to those that serde finds.
fn whole(text: &[u8]) {
    let mut found = Vec::new();
    elements(text, &mut |element| {
        assert!(!element.truncated);
        let start = usize::try_from(element.offset).expect("an offset in a text");
        assert!(text[start..].starts_with(element.bytes), "it does not begin where it is said to");
        let line = text[..start].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(element.line, line, "it does not stand in the line that is said");
        found.push(told(&element));
    });
    let Some(expected) = std::str::from_utf8(text).ok().and_then(expected) else { return };
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((member, listed, bytes, ..), (key, in_list, value)) in found.iter().zip(expected) {
        assert_eq!((*listed, bytes.as_slice()), (in_list, value.as_bytes()));
        // Of a long key, and of one with escapes, only the beginning, or nothing, is kept.
        assert!(*member == key || key.len() > MAX_KEY || key.contains('\\'), "{member} is {key}");
    }
}

/// The lines as they stand in the stream, but for the last line end.
fn unended(lines: &[&[u8]]) -> Vec<u8> {
    let text = lines.join(&b'\n');
    text.strip_suffix(b"\r").unwrap_or(&text).to_vec()
}

/// Holds the collector of documents to what it promises.
pub fn check(stream: &[u8]) {
    let text = stream.trim_ascii();
    if text.first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
        whole(text);
    }
    let mut draw = Draw::of(stream);
    let limit = *draw.pick(&[0, 1, 9, 60, 500, 4096, 1 << 20]);
    let mut documents = Documents::new(limit);
    let (mut held, mut parts): (Vec<&[u8]>, Vec<Told>) = (Vec::new(), Vec::new());
    let (mut line, mut offset, mut first) = (1, 0, (0, 0));
    let mut parted = false;
    for whole in stream.split(|byte| *byte == b'\n') {
        let bytes = whole.strip_suffix(b"\r").unwrap_or(whole);
        let open = documents.is_open();
        if open || Documents::opens(bytes) {
            if !open {
                first = (line, offset);
                held.clear();
                parts.clear();
                parted = false;
            }
            let step = documents.push(bytes, line, offset, &mut |element| parts.push(told(&element)));
            match step {
                Step::Held => {
                    assert!(!parted, "nothing is held of what is told in parts");
                    held.push(whole);
                    assert!(unended(&held).len() <= limit, "more is held than may be");
                }
                Step::Whole => {
                    held.push(whole);
                    let (text, line, offset) = documents.take();
                    assert_eq!((text.as_slice(), (line, offset)), (unended(&held).as_slice(), first));
                    assert!(!documents.is_open());
                }
                Step::Broken => {
                    let (text, line, offset) = documents.take();
                    if !parted && !text.is_empty() {
                        assert_eq!((text.as_slice(), (line, offset)), (unended(&held).as_slice(), first));
                        let all = [text.as_slice(), bytes].join(&b'\n');
                        let deep = all.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() >= MAX_DEPTH;
                        assert!(
                            deep || serde_json::from_slice::<IgnoredAny>(&all).is_err(),
                            "it is JSON after all"
                        );
                    }
                    assert!(!documents.is_open());
                }
                Step::Parted | Step::PartedEnd => parted = true,
            }
            if step == Step::PartedEnd {
                assert!(!documents.is_open());
            }
            for (_, _, bytes, line, offset, _) in &parts {
                assert!(bytes.len() <= limit, "an element of {} bytes", bytes.len());
                assert!((*line, *offset) >= first);
                let start = usize::try_from(*offset).expect("an offset in a text");
                assert!(stream[start..].starts_with(bytes), "it does not begin where it is said to");
            }
        }
        line += 1;
        offset += whole.len() as u64 + 1;
    }
}
