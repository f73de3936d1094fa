//! JSON text → the types of the decoders, at the speed of reading the bytes.
//!
//! Lines of transcripts are mostly strings that nobody asks for: what a tool printed, twice. So a string is gone through
//! 16 bytes at a time, a long one 64, from quote to quote and not from escape to escape. There are two ways to read:
//! [`Object`]s (made by `object!`, for what is read of each line) are filled where they stand, and find the fields of their
//! members by a number that is made of the name; everything else comes through a [`serde::Deserializer`] as one would
//! expect.
//!
//! It takes the same texts as `serde_json` does and gives the same values, with one difference: an escape that does not
//! exist (`"\q"`) is found only in strings that are read, not in those that are skipped. [`RawValue`] works as there.
//!
//! [`RawValue`]: serde_json::value::RawValue

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::{BorrowedStrDeserializer, StrDeserializer},
};
use wide::u8x16;

/// How deep arrays and objects may be nested where they are read (not where they are skipped), as in `serde_json`.
const DEPTH_LIMIT: u32 = 128;

/// The name under which `serde_json` asks for the text of a value instead of the value.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// How many bytes of a long string are looked at in one go.
const BLOCK: usize = 64;

/// How many bytes of a string are looked at first: most names and short values end within them.
const PART: usize = 16;

/// How often as many more are looked at, before a string is taken to be a long one: ids, times and paths end within them.
const PARTS: usize = 4;

/// Why a text could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static str);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self("a value that is not of the type that was asked for")
    }
}

const fn error<T>(text: &'static str) -> Result<T, Error> {
    Err(Error(text))
}

/// Reads a value that is the whole text but for white space around it.
///
/// # Errors
///
/// The text is not JSON, or `T` does not take what it says.
pub fn from_str<'de, T: de::Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    if reader.peek().is_some() { error("something follows the value") } else { Ok(value) }
}

/// Returns the text that the bytes are, if they are UTF-8.
pub fn utf8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// Reads a value that is the whole text, if that is UTF-8.
///
/// # Errors
///
/// As [`from_str`]; the bytes are not UTF-8.
pub fn from_slice<'de, T: de::Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    utf8(bytes).map_or_else(|| error("the text is not UTF-8"), from_str)
}

/// Returns what a string says, from its notation with the quotes; `None` if it is no string. If there is an escape in it
/// that does not exist (half of a pair, where somebody cut a text), all escapes are left as they stand: the words around
/// them may matter. The notation must come from a text that was read: nothing else is looked at.
pub fn string(notation: &str) -> Option<Cow<'_, str>> {
    let text = notation.strip_prefix('"')?.strip_suffix('"')?;
    Some(unquoted(text).unwrap_or(Cow::Borrowed(text)))
}

/// Returns what a string says, from its notation with the quotes: all of it, or where it is long what no less than the
/// first `bytes` of the notation say; then `false` stands beside it.
pub fn string_head(notation: &str, bytes: usize) -> Option<(Cow<'_, str>, bool)> {
    if notation.len() <= bytes * 2 || !notation.starts_with('"') {
        return Some((string(notation)?, true));
    }
    let (mut end, text) = (1, notation.as_bytes());
    while end < bytes {
        match memchr::memchr(b'\\', &text[end..bytes]) {
            Some(at) => end += at + if text.get(end + at + 1) == Some(&b'u') { 6 } else { 2 },
            None => end = bytes,
        }
    }
    while !notation.is_char_boundary(end) {
        end += 1;
    }
    // A cut between the halves of a pair of escapes is no string: then the whole is read.
    match unquoted(notation.get(1..end)?) {
        Some(head) => Some((head, false)),
        None => Some((string(notation)?, true)),
    }
}

fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut said = String::new();
    unescape(text, &mut said).ok()?;
    Some(Cow::Owned(said))
}

/// How many digits a number may have that fits 64 bits whatever they are.
const SAFE_DIGITS: usize = 19;

/// A number as it stands in the text.
enum Number<'de> {
    /// A whole number that is read already.
    Whole(u64),
    /// Another whole number: negative, or large.
    Integer(&'de str),
    /// One with a fraction or an exponent.
    Fraction(&'de str),
}

/// A string as it stands in the text.
#[derive(Clone, Copy)]
struct Quoted {
    /// Where it begins and ends, quotes left out.
    start: usize,
    end: usize,
    /// Whether there may be escapes in it.
    escapes: bool,
}

/// Reads one text from front to back.
pub struct Reader<'de> {
    text: &'de str,
    /// Where the next byte is.
    at: usize,
    depth: u32,
    scratch: String,
}

impl<'de> Reader<'de> {
    fn new(text: &'de str) -> Self {
        Self { text, at: 0, depth: 0, scratch: String::new() }
    }

    /// Returns the next byte that is no white space, without taking it.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(byte) if *byte > b' ' => return Some(*byte),
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes the string whose opening quote is the next byte.
    #[inline(always)]
    fn string(&mut self) -> Result<Quoted, Error> {
        let start = self.at + 1;
        match first_stop(self.text.as_bytes(), start) {
            Some(Stop { at, is_quote: true }) => {
                let end = start + at;
                self.at = end + 1;
                Ok(Quoted { start, end, escapes: false })
            }
            Some(_) => self.long_string(start, start),
            None => self.medium_string(start),
        }
    }

    /// Takes a string that does not end within its first bytes.
    #[inline(never)]
    fn medium_string(&mut self, start: usize) -> Result<Quoted, Error> {
        let bytes = self.text.as_bytes();
        let mut at = start;
        if bytes.len() - start >= PART {
            at += PART;
            for _ in 0..PARTS {
                match first_stop(bytes, at) {
                    Some(Stop { at: more, is_quote: true }) => {
                        let end = at + more;
                        self.at = end + 1;
                        return Ok(Quoted { start, end, escapes: false });
                    }
                    None if bytes.len() - at >= PART => at += PART,
                    _ => break,
                }
            }
        }
        self.long_string(start, at)
    }

    /// Takes a string that may hold more than plain text, and is known to go on up to `at`.
    #[inline(never)]
    fn long_string(&mut self, start: usize, mut at: usize) -> Result<Quoted, Error> {
        let bytes = self.text.as_bytes();
        // What is escaped does not matter, but for quotes: of a run of backslashes every other one escapes.
        let ends = |end: usize| match &bytes[start..end] {
            [.., b'\\', b'\\'] => {
                let backslashes = bytes[start..end].iter().rev().take_while(|byte| **byte == b'\\').count();
                backslashes.is_multiple_of(2)
            }
            [.., b'\\'] => false,
            _ => true,
        };
        while let Some(block) = bytes[at..].first_chunk::<BLOCK>() {
            let (mut quotes, controls) = quotes_and_controls(block);
            while quotes != 0 {
                let quote = quotes.trailing_zeros();
                let end = at + quote as usize;
                if ends(end) {
                    if controls & ((1 << quote) - 1) != 0 {
                        return error("a control character in a string");
                    }
                    self.at = end + 1;
                    return Ok(Quoted { start, end, escapes: true });
                }
                quotes &= quotes - 1;
            }
            if controls != 0 {
                return error("a control character in a string");
            }
            at += BLOCK;
        }
        loop {
            let stop = match first_stop(bytes, at) {
                Some(stop) => stop.at,
                None if bytes.len() - at >= PART => {
                    at += PART;
                    continue;
                }
                None => match bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
                    Some(stop) => stop,
                    None => return error("the text ends in a string"),
                },
            };
            at += stop;
            match bytes[at] {
                b'"' if ends(at) => {
                    self.at = at + 1;
                    return Ok(Quoted { start, end: at, escapes: true });
                }
                b'"' | b'\\' => at += 1,
                _ => return error("a control character in a string"),
            }
        }
    }

    /// Returns what a string says: as it stands, or in `scratch` where something is escaped.
    #[inline(always)]
    fn unescape(&mut self, quoted: Quoted) -> Result<Option<&'de str>, Error> {
        let text = self.text.get(quoted.start..quoted.end).unwrap_or_default();
        if quoted.escapes { self.unescape_to_scratch(text) } else { Ok(Some(text)) }
    }

    #[inline(never)]
    fn unescape_to_scratch(&mut self, text: &'de str) -> Result<Option<&'de str>, Error> {
        if memchr::memchr(b'\\', text.as_bytes()).is_none() {
            return Ok(Some(text));
        }
        self.scratch.clear();
        unescape(text, &mut self.scratch).map(|()| None)
    }

    /// Takes a literal that is a word.
    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return error("a word that is none of JSON's");
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a number.
    fn number(&mut self) -> Result<Number<'de>, Error> {
        let bytes = &self.text.as_bytes()[self.at..];
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let negative = bytes.first() == Some(&b'-');
        let sign = usize::from(negative);
        let mut end = sign;
        let mut value = 0u64;
        while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            end += 1;
        }
        let whole = end - sign;
        if whole == 0 || (whole > 1 && bytes[sign] == b'0') {
            return error("no number that JSON knows");
        }
        if !negative && whole <= SAFE_DIGITS && !matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
            self.at += end;
            return Ok(Number::Whole(value));
        }
        let mut integer = true;
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return error("no digits behind a decimal point");
            }
            end += 1 + fraction;
            integer = false;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent == 0 {
                return error("no digits in an exponent");
            }
            end += 1 + sign + exponent;
            integer = false;
        }
        let text = &self.text[self.at..self.at + end];
        self.at += end;
        Ok(if integer { Number::Integer(text) } else { Number::Fraction(text) })
    }

    /// Takes a value without looking at what it says.
    fn skip(&mut self) -> Result<(), Error> {
        // A bit a level, the innermost last: set where it is an object. What does not fit waits in `outer`.
        let (mut objects, mut depth, mut outer) = (0u128, 0u32, Vec::new());
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() == Some(close) {
                        self.at += 1;
                    } else {
                        if depth > 0 && depth.is_multiple_of(u128::BITS) {
                            outer.push(std::mem::take(&mut objects));
                        }
                        depth += 1;
                        objects = objects << 1 | u128::from(open == b'{');
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(_) => {
                    self.number()?;
                }
                None => return error("the text ends where a value is due"),
            }
            // A value is behind us: what goes on?
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(close) if close == if object { b'}' } else { b']' } => {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                        if depth > 0 && depth.is_multiple_of(u128::BITS) {
                            objects = outer.pop().unwrap_or_default();
                        }
                    }
                    _ => return error("neither a comma nor an end behind a value"),
                }
            }
        }
    }

    /// Takes a key and its colon.
    #[inline(always)]
    fn key(&mut self) -> Result<Quoted, Error> {
        if self.text.as_bytes().get(self.at) != Some(&b'"') && self.peek() != Some(b'"') {
            return error("no key where one is due");
        }
        let key = self.string()?;
        if self.text.as_bytes().get(self.at) != Some(&b':') && self.peek() != Some(b':') {
            return error("no colon behind a key");
        }
        self.at += 1;
        Ok(key)
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        self.at += 1;
        if self.depth >= DEPTH_LIMIT { error("nested too deep") } else { Ok(()) }
    }

    /// Takes an object.
    ///
    /// # Errors
    ///
    /// The next value is none, or a member is not of the type that was asked for.
    pub fn object<T: Object<'de>>(&mut self, object: &mut T) -> Result<(), Error> {
        if self.peek() != Some(b'{') {
            return error("no object where one is due");
        }
        self.depth += 1;
        if self.depth >= DEPTH_LIMIT {
            return error("nested too deep");
        }
        // The byte in front of the next member.
        let mut mark = b'{';
        let mut orderly = true;
        loop {
            if orderly {
                let before = self.at;
                mark = object.take_in_order(mark, self)?;
                orderly = self.at != before;
            }
            match (mark, self.peek()) {
                (b'{', _) | (_, Some(b',')) => self.at += 1,
                (_, Some(b'}')) => break,
                _ => return error("neither a comma nor an end behind a value"),
            }
            if mark == b'{' && self.peek() == Some(b'}') {
                break;
            }
            mark = b',';
            let key = self.key()?;
            let name = self.text.as_bytes().get(key.start..key.end).unwrap_or_default();
            if key.escapes && memchr::memchr(b'\\', name).is_some() {
                let mut name = String::new();
                unescape(self.text.get(key.start..key.end).unwrap_or_default(), &mut name)?;
                object.take(tag(name.as_bytes()), name.as_bytes(), self)?;
            } else {
                object.take(tag(name), name, self)?;
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Whether the next member, behind this mark, is the one of this name, as programs write it: the name stands in quotes
    /// here, with a colon behind it. If so, its value is next.
    #[inline(always)]
    pub fn is_next(&mut self, mark: u8, name: &'static str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is = rest.len() > name.len() && rest[0] == mark && rest[1..].starts_with(name.as_bytes());
        if is {
            self.at += 1 + name.len();
        }
        is
    }

    /// Goes through the items of a list, each of which has to be taken.
    ///
    /// # Errors
    ///
    /// The next value is no list, or an item cannot be taken.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.peek() != Some(b'[') {
            return error("no list where one is due");
        }
        self.enter()?;
        let mut first = true;
        loop {
            match self.peek() {
                Some(b']') => break,
                Some(b',') if !first => self.at += 1,
                Some(_) if first => {}
                _ => return error("neither a comma nor an end behind a value"),
            }
            first = false;
            item(self)?;
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Goes through the members of an object: their names, and the JSON text of their values.
    ///
    /// # Errors
    ///
    /// The next value is no object.
    pub fn members(&mut self, mut each: impl FnMut(Cow<'de, str>, &'de str)) -> Result<(), Error> {
        if self.peek() != Some(b'{') {
            return error("no object where one is due");
        }
        self.enter()?;
        let mut items = Items { reader: self, first: true };
        while items.next(b'}')? {
            let reader = &mut *items.reader;
            reader.peek();
            let key = reader.key()?;
            let name = match reader.unescape(key)? {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(reader.scratch.clone()),
            };
            reader.peek();
            let start = reader.at;
            reader.pass()?;
            each(name, reader.text.get(start..reader.at).unwrap_or_default());
        }
        items.end(b'}')
    }

    /// Returns how the next value begins.
    pub fn next_byte(&mut self) -> Option<u8> {
        self.peek()
    }

    /// Takes the next value if it is a string; another one is passed over.
    ///
    /// # Errors
    ///
    /// It is not JSON.
    #[inline(always)]
    pub fn take_str(&mut self) -> Result<Option<Cow<'de, str>>, Error> {
        if self.peek() != Some(b'"') {
            self.skip()?;
            return Ok(None);
        }
        let quoted = self.string()?;
        Ok(Some(match self.unescape(quoted)? {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.scratch.clone()),
        }))
    }

    /// Takes the next value if it is a number; another one is passed over.
    ///
    /// # Errors
    ///
    /// It is not JSON, or out of range.
    #[inline]
    pub fn take_number(&mut self) -> Result<Option<f64>, Error> {
        match self.peek() {
            Some(b'0'..=b'9' | b'-') => {}
            _ => {
                self.skip()?;
                return Ok(None);
            }
        }
        // Most are counts.
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (mut whole, mut digits) = (0u64, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            digits += 1;
        }
        let is_count = matches!(rest.get(digits), Some(b',' | b'}')) && (1..=SAFE_DIGITS).contains(&digits);
        if is_count && (rest[0] != b'0' || digits == 1) {
            self.at += digits;
            return Ok(Some(whole as f64));
        }
        match self.number()? {
            Number::Whole(number) => Ok(Some(number as f64)),
            Number::Integer(text) | Number::Fraction(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => error("a number out of range"),
            },
        }
    }

    /// Takes the next value if it is true or false; another one is passed over.
    ///
    /// # Errors
    ///
    /// It is not JSON.
    #[inline]
    pub fn take_flag(&mut self) -> Result<Option<bool>, Error> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(b"false") {
            self.at += 5;
            Ok(Some(false))
        } else if rest.starts_with(b"true") {
            self.at += 4;
            Ok(Some(true))
        } else {
            self.skip().map(|()| None)
        }
    }

    /// Passes over the next value.
    ///
    /// # Errors
    ///
    /// It is not JSON.
    #[inline]
    pub fn pass(&mut self) -> Result<(), Error> {
        if self.text.as_bytes().get(self.at) == Some(&b'"') {
            return self.string().map(|_| ());
        }
        self.skip()
    }
}

/// Where plain text ends.
struct Stop {
    at: usize,
    /// Whether by a quote, and not by a backslash or a control character.
    is_quote: bool,
}

/// Returns where in the next [`PART`] bytes plain text ends first; `None` as well if there are not as many bytes.
#[inline(always)]
fn first_stop(bytes: &[u8], at: usize) -> Option<Stop> {
    let part = u8x16::new(*bytes.get(at..)?.first_chunk::<PART>()?);
    let quotes = part.simd_eq(u8x16::splat(b'"'));
    let backslashes = part.simd_eq(u8x16::splat(b'\\'));
    let controls = part.min(u8x16::splat(0x1f)).simd_eq(part);
    let (quotes, others) = (quotes.to_bitmask(), (backslashes | controls).to_bitmask());
    let stops = quotes | others;
    // The first of them is a quote if none of the others stands before the first quote.
    let first = stops & stops.wrapping_neg();
    (stops != 0).then(|| Stop { at: stops.trailing_zeros() as usize, is_quote: quotes & first != 0 })
}

/// Returns which bytes of a block are quotes, and which are control characters: a bit a byte.
#[inline(always)]
fn quotes_and_controls(block: &[u8; BLOCK]) -> (u64, u64) {
    let parts = block.as_chunks::<16>().0;
    let parts: [u8x16; BLOCK / 16] = std::array::from_fn(|number| u8x16::new(parts[number]));
    let bits = |parts: [u8x16; BLOCK / 16]| {
        let bits = |number: usize| u64::from(parts[number].to_bitmask()) << (number * 16);
        (bits(0) | bits(1)) | (bits(2) | bits(3))
    };
    let quotes = parts.map(|part| part.simd_eq(u8x16::splat(b'"')));
    let is_control = |part: u8x16| part.min(u8x16::splat(0x1f)).simd_eq(part);
    let least = parts[0].min(parts[1]).min(parts[2].min(parts[3]));
    // Of neither there are many.
    let any = (quotes[0] | quotes[1]) | (quotes[2] | quotes[3]);
    if (any | is_control(least)).to_bitmask() == 0 {
        return (0, 0);
    }
    let controls = if is_control(least).to_bitmask() == 0 { 0 } else { bits(parts.map(is_control)) };
    (bits(quotes), controls)
}

/// Appends what an escaped text says.
fn unescape(text: &str, out: &mut String) -> Result<(), Error> {
    out.reserve(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied();
        rest = rest.get(at + 2..).unwrap_or_default();
        out.push(match escape {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => {
                let unit = hex(&mut rest)?;
                match unit {
                    0xdc00..=0xdfff => return error("the second half of a character without its first"),
                    0xd800..=0xdbff => {
                        rest = match rest.strip_prefix("\\u") {
                            Some(rest) => rest,
                            None => return error("the first half of a character without its second"),
                        };
                        let second = hex(&mut rest)?;
                        let pair = char::decode_utf16([unit, second]).next();
                        match pair {
                            Some(Ok(c)) => c,
                            _ => return error("the first half of a character without its second"),
                        }
                    }
                    unit => char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER),
                }
            }
            _ => return error("an escape that JSON does not know"),
        });
    }
    out.push_str(rest);
    Ok(())
}

/// Takes four hexadecimal digits.
fn hex(rest: &mut &str) -> Result<u16, Error> {
    let digits = rest.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
        Some(unit) => {
            *rest = &rest[4..];
            Ok(unit)
        }
        None => error("no four hexadecimal digits"),
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'{') => {
                self.enter()?;
                let mut items = Items { reader: self, first: true };
                let value = visitor.visit_map(&mut items)?;
                items.end(b'}')?;
                Ok(value)
            }
            Some(b'[') => {
                self.enter()?;
                let mut items = Items { reader: self, first: true };
                let value = visitor.visit_seq(&mut items)?;
                items.end(b']')?;
                Ok(value)
            }
            Some(b't') => {
                self.word("true")?;
                visitor.visit_bool(true)
            }
            Some(b'f') => {
                self.word("false")?;
                visitor.visit_bool(false)
            }
            Some(b'n') => {
                self.word("null")?;
                visitor.visit_unit()
            }
            Some(_) => {
                let text = match self.number()? {
                    Number::Whole(number) => return visitor.visit_u64(number),
                    Number::Integer(text) if text != "-0" => {
                        if let Ok(number) = text.parse() {
                            return visitor.visit_u64(number);
                        }
                        if let Ok(number) = text.parse() {
                            return visitor.visit_i64(number);
                        }
                        text
                    }
                    Number::Integer(text) | Number::Fraction(text) => text,
                };
                match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => visitor.visit_f64(number),
                    _ => error("a number out of range"),
                }
            }
            None => error("the text ends where a value is due"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() != Some(b'"') {
            return self.deserialize_any(visitor);
        }
        let quoted = self.string()?;
        match self.unescape(quoted)? {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_str(&self.scratch),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'n') {
            self.word("null")?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        self.peek();
        let start = self.at;
        self.skip()?;
        visitor.visit_map(Raw(self.text.get(start..self.at)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    /// Variants without a value only: their name is a string.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.peek() != Some(b'"') {
            return error("a variant is a string");
        }
        let quoted = self.string()?;
        match self.unescape(quoted)? {
            Some(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            None => visitor.visit_enum(StrDeserializer::new(&self.scratch)),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// The items of the array or object that the reader is in.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl Items<'_, '_> {
    /// Goes to the next item; returns whether there is one. Where nothing is behind a comma, whoever reads the item finds
    /// that out.
    #[inline(always)]
    fn next(&mut self, close: u8) -> Result<bool, Error> {
        let first = std::mem::replace(&mut self.first, false);
        match self.reader.peek() {
            Some(byte) if byte == close => Ok(false),
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.reader.at += 1;
                Ok(true)
            }
            _ => error("neither a comma nor an end behind a value"),
        }
    }

    /// Takes the end, once all items are.
    fn end(self, close: u8) -> Result<(), Error> {
        if self.reader.peek() != Some(close) {
            return error("items that nobody took");
        }
        self.reader.at += 1;
        self.reader.depth -= 1;
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.next(b']')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        // As programs write it: a comma, and the key at once.
        let rest = self.reader.text.as_bytes().get(self.reader.at..);
        if !self.first && matches!(rest, Some([b',', b'"', ..])) {
            self.reader.at += 1;
        } else if !self.next(b'}')? {
            return Ok(None);
        }
        let key = self.reader.key()?;
        match self.reader.unescape(key)? {
            Some(text) => seed.deserialize(BorrowedStrDeserializer::new(text)).map(Some),
            None => seed.deserialize(StrDeserializer::new(&self.reader.scratch)).map(Some),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

/// The text of a value, handed over as `serde_json` hands it over.
struct Raw<'de>(Option<&'de str>);

impl<'de> MapAccess<'de> for Raw<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.0.is_none() {
            return Ok(None);
        }
        seed.deserialize(RAW_VALUE.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(BorrowedStrDeserializer::new(self.0.take().unwrap_or_default()))
    }
}

/// What a member of an [`Object`] is read into.
pub trait Field<'de> {
    /// Takes the next value, whatever stood here before.
    ///
    /// # Errors
    ///
    /// The value is not JSON, or not of this type.
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), Error>;
}

/// Lets a type that serde reads be a member of an [`Object`].
macro_rules! fields_by_serde {
    ($($type:ty),+ $(,)?) => {$(
        impl<'de: 'a, 'a> $crate::engine::json::Field<'de> for $type {
            #[inline]
            fn fill(&mut self, reader: &mut $crate::engine::json::Reader<'de>) -> Result<(), $crate::engine::json::Error> {
                *self = serde::Deserialize::deserialize(reader)?;
                Ok(())
            }
        }
    )+};
}
pub(super) use fields_by_serde;

fields_by_serde!(Option<&'a serde_json::value::RawValue>);

/// An object, or `null`.
impl<'de, T: Object<'de>> Field<'de> for Option<T> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        if reader.peek() == Some(b'n') {
            *self = None;
            return reader.skip();
        }
        reader.object(self.insert(T::default()))
    }
}

/// A struct that takes the members of an object that it knows. Made by `object!`.
pub trait Object<'de>: Default {
    /// The [`tag`]s of the names that it knows.
    const TAGS: &'static [u64];

    /// Whether it may know a member whose name has this [`tag`].
    fn knows(tag: u64) -> bool;

    /// Takes the value of a member, or passes over it.
    ///
    /// # Errors
    ///
    /// The value is not JSON, or not of the member's type.
    fn take(&mut self, tag: u64, name: &[u8], reader: &mut Reader<'de>) -> Result<(), Error>;

    /// Takes members as long as they come in the order in which they are known to come, in which each is found by one
    /// comparison. `mark` is the byte in front of the next member; returns the one that is there then.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    fn take_in_order(&mut self, mark: u8, reader: &mut Reader<'de>) -> Result<u8, Error> {
        let _ = reader;
        Ok(mark)
    }
}

/// The JSON text of a value; none for `null` and for what is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notation<'a>(Option<&'a str>);

impl<'a> Notation<'a> {
    /// Returns the text.
    pub fn get(self) -> Option<&'a str> {
        self.0
    }

    /// Returns the text; an empty one if there is none.
    pub fn text(self) -> &'a str {
        self.0.unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Field<'de> for Notation<'a> {
    fn fill(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        let is_null = reader.peek() == Some(b'n');
        let start = reader.at;
        reader.pass()?;
        self.0 = reader.text.get(start..reader.at).filter(|_| !is_null);
        Ok(())
    }
}

/// Reads an object that is the whole text but for white space around it, into one as it is by default.
///
/// # Errors
///
/// The text is not JSON, no object, or one of whose members one is not of its type.
pub fn fill<'de, T: Object<'de>>(text: &'de str, object: &mut T) -> Result<(), Error> {
    let mut reader = Reader::new(text);
    reader.object(object)?;
    if reader.peek().is_some() { error("something follows the value") } else { Ok(()) }
}

/// Reads an object that is the whole text but for white space around it.
///
/// # Errors
///
/// As [`fill`].
pub fn read<'de, T: Object<'de>>(text: &'de str) -> Result<T, Error> {
    let mut object = T::default();
    fill(text, &mut object).map(|()| object)
}

/// Goes through the members of an object that is the whole text but for white space around it: their names, and the JSON
/// text of their values.
///
/// # Errors
///
/// The text is not JSON, or no object.
pub fn members<'de>(text: &'de str, each: impl FnMut(Cow<'de, str>, &'de str)) -> Result<(), Error> {
    let mut reader = Reader::new(text);
    reader.members(each)?;
    if reader.peek().is_some() { error("something follows the value") } else { Ok(()) }
}

/// Returns a number that tells the names of members apart, in few steps: what they begin and end with, what stands in
/// their middle, and their length. Those that one struct knows are different, which is checked as it is compiled.
#[inline(always)]
pub const fn tag(name: &[u8]) -> u64 {
    let middle = if name.len() > 16 { name[name.len() / 2 - 1] } else { 0 };
    let (front, end) = if let (Some(front), Some(end)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from_le_bytes(*front), u64::from_le_bytes(*end))
    } else if let (Some(front), Some(end)) = (name.first_chunk(), name.last_chunk()) {
        (u32::from_le_bytes(*front) as u64, u32::from_le_bytes(*end) as u64)
    } else {
        match name {
            [first, .., last] => (*first as u64, *last as u64),
            [only] => (*only as u64, 0),
            [] => (0, 0),
        }
    };
    front ^ end.rotate_left(29) ^ (name.len() as u64) << 57 ^ (middle as u64) << 40
}

/// Whether these are all different, and none of them one of the others.
pub const fn all_differ(tags: &[u64], others: &[u64]) -> bool {
    let mut one = 0;
    while one < tags.len() {
        let mut other = one + 1;
        while other < tags.len() + others.len() {
            if tags[one] == if other < tags.len() { tags[other] } else { others[other - tags.len()] } {
                return false;
            }
            other += 1;
        }
        one += 1;
    }
    true
}

/// Declares a struct that is read from an object: the names of members, and the fields that they go to. What is not there
/// is as by default; of a member that is there twice the later counts; others are passed over. Members that hardly any
/// object has may stand in a struct of their own, behind `else`, which is made when there is one of them.
///
/// As `derive(Deserialize)` with defaults otherwise, but that the fields ([`Field`]s) are filled where they stand: of large
/// structs that are read for each line, moving them about would be most of the work.
///
/// `in order` lists names as they are mostly written one after the other, known ones and others; where several orders are
/// usual, a name may stand there more than once. It says how fast, and never what is read.
macro_rules! object {
    (
        $(#[$meta:meta])*
        $visible:vis struct $name:ident $(<$life:lifetime>)? {
            $($(#[$doc:meta])* $($key:literal)|+ => $field_visible:vis $field:ident: $type:ty,)*
            $(else $(#[$rest_doc:meta])* $rest:ident: $rest_type:ty,)?
            $(in order $($next:literal)+)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Default)]
        $visible struct $name $(<$life>)? {
            $($(#[$doc])* $field_visible $field: $type,)*
            $($(#[$rest_doc])* $rest: Option<Box<$rest_type>>,)?
        }

        impl<'de $(: $life, $life)?> $crate::engine::json::Object<'de> for $name $(<$life>)? {
            const TAGS: &'static [u64] = {
                let tags = &[$($($crate::engine::json::tag($key.as_bytes())),+),*];
                let others: &[&[u64]] = &[$(<$rest_type as $crate::engine::json::Object<'_>>::TAGS,)? &[]];
                assert!($crate::engine::json::all_differ(tags, others[0]));
                tags
            };

            #[inline]
            fn knows(tag: u64) -> bool {
                $($(tag == const { $crate::engine::json::tag($key.as_bytes()) } ||)+)*
                $(<$rest_type as $crate::engine::json::Object<'_>>::knows(tag) ||)? false
            }

            #[inline(always)]
            fn take(
                &mut self,
                tag: u64,
                name: &[u8],
                reader: &mut $crate::engine::json::Reader<'de>,
            ) -> Result<(), $crate::engine::json::Error> {
                // Looked at, so that what it asserts is.
                const { _ = <Self as $crate::engine::json::Object<'_>>::TAGS }
                $(if $(tag == const { $crate::engine::json::tag($key.as_bytes()) })||+ {
                    if $(name == $key.as_bytes())||+ {
                        return $crate::engine::json::Field::fill(&mut self.$field, reader);
                    }
                } else)* {
                    $(if <$rest_type as $crate::engine::json::Object<'_>>::knows(tag) {
                        return self.$rest.get_or_insert_default().take(tag, name, reader);
                    })?
                }
                reader.pass()
            }

            $(fn take_in_order(
                &mut self,
                mut mark: u8,
                reader: &mut $crate::engine::json::Reader<'de>,
            ) -> Result<u8, $crate::engine::json::Error> {
                $(if reader.is_next(mark, concat!("\"", $next, "\":")) {
                    mark = b',';
                    self.take(const { $crate::engine::json::tag($next.as_bytes()) }, $next.as_bytes(), reader)?;
                })+
                Ok(mark)
            })?
        }
    };
}
pub(super) use object;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    /// What both readers make of a text.
    fn agrees(text: &str) {
        let (theirs, ours) = (serde_json::from_str::<Value>(text).ok(), from_str::<Value>(text).ok());
        assert_eq!(ours, theirs, "{text}");
        let skipped = from_str::<IgnoredAny>(text).is_ok();
        let theirs = serde_json::from_str::<IgnoredAny>(text).is_ok();
        // An escape that does not exist is not looked for in what is skipped.
        assert!(
            skipped == theirs || (skipped && text.contains('\\')),
            "skipped: {skipped}, {theirs}: {text}"
        );
        let raw = from_str::<&RawValue>(text).ok().map(RawValue::get);
        assert_eq!(raw.is_some(), skipped, "{text}");
        if theirs {
            assert_eq!(raw, serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get));
        }
    }

    #[test]
    fn half_of_a_pair_does_not_cost_the_words_around_it() {
        assert_eq!(string(r#""a \ud83d\ude00 b""#).unwrap(), "a 😀 b");
        assert_eq!(string(r#""a \ud83d b""#).unwrap(), r"a \ud83d b");
        assert_eq!(string("1"), None);
    }

    #[test]
    fn a_variant_is_known_by_its_name() {
        assert_eq!(from_str::<Vec<Kind>>(r#"["one_word", "\u006fne_word"]"#).unwrap(), [Kind::OneWord; 2]);
        for text in [r#""two""#, "1", "null", r#"{"one_word": 1}"#] {
            assert!(from_str::<Kind>(text).is_err(), "{text}");
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        OneWord,
    }

    #[test]
    fn texts_are_taken_and_refused_as_by_serde_json() {
        let long = "x".repeat(200);
        let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
        let mut texts: Vec<String> = [
            "{}",
            "[]",
            " [ ] ",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "1",
            "-",
            "-0",
            "01",
            "1.",
            "1.5e",
            "1e5",
            "1e999",
            "-1.25E-3",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "true",
            "tru",
            "nul",
            "null",
            "falsey",
            "\"\"",
            "\"a",
            "\"a\\\"",
            "\"a\\\\\"",
            "\"\\u00e9\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\u12g4\"",
            "\"\\u\"",
            "\"\\q\"",
            "\"a\tb\"",
            "\"é😀\"",
            "",
            "  ",
            "{} x",
            "[\"a\":1]",
            "{\"a\",1}",
            "[}",
            "{]",
            "[[1],{\"b\":[true,null]}]",
            "{\"a\":{\"b\":[1,2,{\"c\":\"d\"}]},\"a\":2}",
            "\\\"a\"",
            "[\\\"a\"]",
            "\u{feff}{}",
            "\"\u{7f}\"",
            "[1]\0",
            "\u{b}1",
        ]
        .map(str::to_owned)
        .to_vec();
        for n in [1, 126, 127, 128, 129, 200, 255, 256, 257, 700] {
            texts.push(deep("[", "]", n));
            texts.push(format!("{}1{}", "[".repeat(n), "]".repeat(n)));
            texts.push(format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n)));
            texts.push(format!("{}{{}}{}", "{\"a\":".repeat(n), "}".repeat(n)));
        }
        for n in 55..75 {
            texts.push(format!("\"{}\\\"{}\"", "x".repeat(n), long));
            texts.push(format!("[\"{}\",\"{}\\n\"]", "\\\\".repeat(n), "y".repeat(n)));
            texts.push(format!("\"{}\"", "\\".repeat(n)));
            texts.push(format!("\"{}\u{1}\"", "x".repeat(n)));
            // Strings that are searched for their end, with what may be taken for one, and what goes on behind them.
            for (inside, behind) in [
                ("\\\"", ""),
                ("\\\\", "\"a\\\"\""),
                ("\\\\\\\"", "1"),
                ("\t", ""),
                ("\\", "\t1"),
                ("é", "{\"b\":[]}"),
            ] {
                let string = format!("\"{}{inside}{}{inside}\"", "x".repeat(n * 2), "y".repeat(n));
                texts.push(format!("[{string}]"));
                texts.push(format!("{{{string}:{string},\"a\":{behind}}}"));
                texts.push(format!("[{string},{behind}"));
            }
        }
        texts.iter().for_each(|text| agrees(text));
    }

    object! {
        struct Outer<'a> {
            "a" => a: Option<&'a RawValue>,
            "type" | "kind" => kind: Option<&'a RawValue>,
            "a_name_of_many_letters" => long: Option<&'a RawValue>,
            "inner" => inner: Option<Inner<'a>>,
            else rest: Rest<'a>,
            in order "a" "unknown" "type" "inner" "a_name_of_many_letters"
        }
    }

    object! {
        struct Inner<'a> {
            "a" => a: Option<&'a RawValue>,
            "b" => b: Notation<'a>,
        }
    }

    object! {
        struct Rest<'a> {
            "b" => b: Notation<'a>,
        }
    }

    /// The same, as serde reads it.
    #[derive(Default, serde::Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct ByDerive<'a> {
        a: Option<&'a RawValue>,
        b: Option<&'a RawValue>,
        #[serde(rename = "type", alias = "kind")]
        kind: Option<&'a RawValue>,
        a_name_of_many_letters: Option<&'a RawValue>,
        inner: Option<InnerByDerive<'a>>,
    }

    #[derive(Default, serde::Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct InnerByDerive<'a> {
        a: Option<&'a RawValue>,
        b: Option<&'a RawValue>,
    }

    /// What both ways to read an object make of a text in which no name comes twice.
    fn reads_alike(text: &str) {
        let ours = read::<Outer<'_>>(text).map(|outer| {
            let text = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
            let inner = outer.inner.map(|inner| (text(inner.a), inner.b.get().map(str::to_owned)));
            let rest = outer.rest.and_then(|rest| rest.b.get().map(str::to_owned));
            (text(outer.a), rest, text(outer.kind), text(outer.long), inner)
        });
        let theirs = serde_json::from_str::<ByDerive<'_>>(text).map(|outer| {
            let text = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
            let inner = outer.inner.map(|inner| (text(inner.a), text(inner.b)));
            (text(outer.a), text(outer.b), text(outer.kind), text(outer.a_name_of_many_letters), inner)
        });
        assert_eq!(ours.ok(), theirs.ok(), "{text}");
    }

    #[test]
    fn objects_are_read_in_whatever_order() {
        for text in [
            r#"{}"#,
            r#" { } "#,
            r#"{"a":1,"unknown":[2],"type":"x","inner":{"a":null,"b":""},"a_name_of_many_letters":3,"b":[]}"#,
            r#"{"type":"x","a":1}"#,
            r#"{ "a" : 1 , "type" : 2 }"#,
            r#"{"a":1"type":2}"#,
            r#"{"a":1{"type":2}"#,
            r#"{,"a":1}"#,
            r#"{"a":1,}"#,
            r#"{"a":1,"type"}"#,
            r#"{"a":}"#,
            r#"{"a":1} x"#,
            r#"{"t\u0079pe":1,"\u0061":"b"}"#,
            r#"{"inner":7}"#,
            r#"{"inner":null,"kind":2}"#,
            r#"{"a_name_of_many_lettert":1,"b_name_of_many_letters":2}"#,
            r#"{"A":1,"":2,"typ":3,"types":4}"#,
            r#"null"#,
            r#"7"#,
            r#""{}""#,
        ] {
            reads_alike(text);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(|number| Value::from(f64::from(number))),
            "[ -~é😀\n\t\"\\\\]{0,90}".prop_map(Value::from),
            "[a-c\"\\\\]{120,260}".prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[a-z\\\\\"]{0,12}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            agrees(&text);
        }

        #[test]
        fn what_is_damaged_is_judged_alike(value in json(), at in 0usize..400, with in "[\\\\\"{}\\[\\]:,0a \n]{0,2}", cut in 0usize..3) {
            let text = value.to_string();
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let end = (at + cut..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
            agrees(&format!("{}{with}{}", &text[..at], &text[end.min(text.len())..]));
        }

        #[test]
        fn objects_are_read_as_serde_reads_them(
            names in Just(vec!["a", "unknown", "type", "inner", "a_name_of_many_letters", "b", "more"]).prop_shuffle(),
            values in prop::collection::vec(json(), 7),
            inner in json(), kept in 0usize..8, damage in prop::option::of((0usize..200, "[\\\\\"{},: ]{0,2}")),
        ) {
            let member = |(name, value): (&&str, &Value)| match *name {
                "inner" if !value.is_object() => format!("\"inner\":{{\"b\":{inner},\"a\":{value}}}"),
                "inner" => "\"inner\":null".to_owned(),
                name => format!("\"{name}\":{value}"),
            };
            let members: Vec<String> = names.iter().zip(&values).take(kept).map(member).collect();
            let mut text = format!("{{{}}}", members.join(","));
            if let Some((at, with)) = &damage
                && let Some(at) = (*at..=text.len()).find(|at| text.is_char_boundary(*at))
            {
                text.insert_str(at, with);
            }
            // What is not read is not looked through for escapes that do not exist.
            if damage.is_none() || !text.contains('\\') {
                reads_alike(&text);
            }
        }

        #[test]
        fn soup_is_judged_alike(text in "[\\\\\"{}\\[\\]:,01.eE\\-truefalsn \n]{0,24}") {
            agrees(&text);
        }
    }
}
