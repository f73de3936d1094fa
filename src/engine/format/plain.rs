//! Plain text: any program's output, with time stamps, levels and quote marks in front of its own words.
//!
//! Knows no agent. It only makes a line readable; whether it is a failure, the rules for plain lines decide.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use wide::u8x16;

use super::{Decode, Decoded, Format, Frame};
use crate::model::record::{Body, LogLevel, Record, TextLine};
use crate::model::Timestamp;

/// The format that takes what no other does.
pub(super) static FORMAT: Plain = Plain;

/// Plain text.
pub(super) struct Plain;

impl Format for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn recognise(&self, _frame: Frame<'_>) -> bool {
        false
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

struct Decoder;

impl Decode for Decoder {
    /// JSON in plain text is content: somebody's `cat`.
    fn json(&mut self, _frame: Frame<'_>, out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        out(Record::new(Body::Lifecycle(crate::model::record::Lifecycle::Other)));
        Decoded::Yes
    }
}

/// Lines indented by more than this are somebody's quotation, code or continuation. Terminal programs indent their
/// own rows by two (Claude Code's `⎿` rows) or three.
const MAX_INDENT: usize = 3;

/// Makes a line readable: finds the time stamp, the level and the first of the program's own words.
///
/// `zone` is where a time stamp without a zone is taken to be from.
pub fn read_line<'a>(text: Cow<'a, str>, zone: &TimeZone) -> (Option<Timestamp>, TextLine<'a>) {
    let prefix = prefix(text.as_bytes());
    let time = prefix.time.as_ref().and_then(|range| parse_time(text.get(range.clone())?, zone));
    (time, words(&prefix, text))
}

/// As [`read_line`], without the time stamp.
pub fn read_words(text: Cow<'_, str>) -> TextLine<'_> {
    words(&prefix(text.as_bytes()), text)
}

fn words<'a>(prefix: &Prefix, text: Cow<'a, str>) -> TextLine<'a> {
    let level = prefix.level.as_ref().and_then(|range| text.get(range.clone())).map(read_level);
    TextLine { body: prefix.end, level, content: prefix.indented, text }
}

/// What stands in front of a line's own words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The time stamp.
    pub time: Option<std::ops::Range<usize>>,
    /// The level, brackets included.
    pub level: Option<std::ops::Range<usize>>,
    /// Where the line's own words begin.
    pub end: usize,
    /// Whether the line is indented as somebody's quotation or code is.
    pub indented: bool,
}

/// Returns where a line's own words begin: [`Prefix::end`] of [`prefix`], in a few steps for lines that have nothing in
/// front of them but blanks, of which there are so many.
#[inline]
pub fn own_words(line: &[u8], indent: usize) -> usize {
    match line[indent..] {
        [b'a'..=b'z', ..] | [b'A'..=b'Z', b'a'..=b'z', ..] => indent,
        // A time stamp stands at the very beginning; a bracket holds one, or a level.
        [b'0'..=b'9', ..] if indent > 0 || !may_be_dated(line) => indent,
        [b'[', b'0'..=b'9', ..] if indent > 0 || !may_be_dated(&line[1..]) => indent,
        [b'[', next, ..] if !next.is_ascii_alphanumeric() => indent,
        [b'A'..=b'Z', ..] | [b'[', b'A'..=b'Z' | b'a'..=b'z', ..] if level(&line[indent..]).is_none() => indent,
        [b'0'..=b'9', ..] => dated_words(line).unwrap_or_else(|| prefix(line).end),
        [b'A'..=b'Z' | b'[' | b'>' | b'|' | 0xc3 | 0xe2, ..] => prefix(line).end,
        _ => indent,
    }
}

/// As [`own_words`], for a line that begins with a date and a time, behind which there is no more than a level: how most
/// logs look. `None`: it takes [`prefix`] to tell.
fn dated_words(line: &[u8]) -> Option<usize> {
    let stretch = line.first_chunk::<32>()?;
    let digits = date_digits(stretch)?;
    let mut at = DATE_LENGTH;
    if matches!(line[at], b'.' | b',') {
        let fraction = (digits >> (at + 1)).trailing_ones().min(9) as usize;
        at += if fraction > 0 { fraction + 1 } else { 0 };
    }
    let space = usize::from(*line.get(at)? == b' ');
    match line[at + space..] {
        [b'Z', ..] if space == 0 => at += 1,
        [b'Z' | b'U', ..] | [b'+' | b'-', b'0'..=b'9', ..] => return None,
        _ => {}
    }
    let filler = |at: usize| Some(run(&line[at..], 8, FILLER)).filter(|length| *length < 8);
    at += filler(at)?;
    if let Some(level) = level(&line[at..]) {
        at += level;
        at += filler(at)?;
    } else {
        // Perhaps the name of a logger, or notes, with a level behind them.
        let name = run(&line[at..], 42, NAME);
        let behind = &line[at + name..];
        if name > 0 && (behind.starts_with(b" - ") || behind.starts_with(b":")) || noted(&line[at..]) > 0 {
            return None;
        }
    }
    let words = &line[at..];
    (target(words) == 0 && source_place(words) == 0).then(|| at + indent(words))
}

/// Whether a line's own words begin behind its blanks, whatever follows, by their first two bytes: no digit, bracket,
/// brace, row mark, nor what may be a level.
#[inline(always)]
pub fn begins_with_words([one, two]: [u8; 2]) -> bool {
    FIRST[usize::from(one)] & (1 | (two.is_ascii_lowercase() as u8) << 1) != 0
}

/// For [`begins_with_words`], by the first byte: 1 if that is enough, 2 if a lower-case letter has to follow.
const FIRST: [u8; 256] = {
    let mut first = [0; 256];
    let mut byte = b'!';
    while byte < 0x7f {
        first[byte as usize] = match byte {
            b'0'..=b'9' | b'[' | b'{' | b'>' | b'|' => 0,
            b'A'..=b'Z' => 2,
            _ => 1,
        };
        byte += 1;
    }
    first
};

/// Returns how many blanks a line begins with.
#[inline]
pub fn indent(line: &[u8]) -> usize {
    if line.first().is_some_and(|byte| *byte > b' ') {
        return 0;
    }
    line.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Whether a line may begin with a time stamp: two bytes of it are where they have to be.
#[inline]
fn may_be_dated(line: &[u8]) -> bool {
    matches!(line, [_, _, _, _, b'-' | b'/' | b'.', _, _, b'-' | b'/' | b'.', ..] | [_, _, b':', _, _, b':', ..])
}

/// Kinds of bytes, a bit each in [`KINDS`].
const BLANK: u8 = 1;
/// What stands between a time stamp, a level and the words.
const FILLER: u8 = 2;
const DIGIT: u8 = 4;
/// What the names of loggers consist of.
const NAME: u8 = 8;
/// What the paths of source files consist of.
const PATH: u8 = 16;
/// What levels begin with, in either case.
const LEVEL: u8 = 32;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0u8;
    loop {
        let mut kind = 0;
        if matches!(byte, b' ' | b'\t') {
            kind |= BLANK | FILLER;
        }
        if matches!(byte, b':' | b'|' | b'-') {
            kind |= FILLER;
        }
        if byte.is_ascii_digit() {
            kind |= DIGIT;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') {
            kind |= NAME | PATH;
        }
        if matches!(byte, b'/' | b'-') {
            kind |= PATH;
        }
        if matches!(byte & !0x20, b'T' | b'D' | b'I' | b'N' | b'W' | b'E' | b'F' | b'C' | b'P') {
            kind |= LEVEL;
        }
        kinds[byte as usize] = kind;
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

/// Returns how many bytes of a kind stand in front, looking at `most`.
#[inline]
fn run(bytes: &[u8], most: usize, kind: u8) -> usize {
    let most = most.min(bytes.len());
    let mut length = 0;
    while length < most && KINDS[usize::from(bytes[length])] & kind != 0 {
        length += 1;
    }
    length
}

/// Finds row marks (`>`, `|`, `⎿`, `└`, `✕`), a time stamp, a level, the name of a logger and a place in a source file in
/// front of a line.
pub fn prefix(line: &[u8]) -> Prefix {
    let blanks = |from: usize, most: usize| run(&line[from..], most, BLANK);
    let filler = |from: usize| run(&line[from..], 8, FILLER);
    let row = row_marks(line, blanks(0, 4));
    let mut at = row;
    let mut found = Prefix::default();
    let bracket = usize::from(line.get(at) == Some(&b'['));
    if let Some(length) = time_stamp(&line[at + bracket..]) {
        found.time = Some(at + bracket..at + bracket + length);
        at += bracket + length;
        at += filler(at);
        if let Some(level) = level(&line[at..]) {
            // `[2026-01-16 00:02:46 ERROR] …`
            found.level = Some(at..at + level);
            at += level;
        }
        at += usize::from(bracket == 1 && line.get(at) == Some(&b']'));
        at += filler(at);
        if found.level.is_none() {
            at += noted(&line[at..]);
            at += logger(&line[at..]);
        }
    } else {
        at += blanks(at, 4);
    }
    if found.level.is_none()
        && let Some((name, level)) = level(&line[at..]).map(|level| (0, level)).or_else(|| {
            found.time.as_ref().and_then(|_| named_level(&line[at..]))
        })
    {
        found.level = Some(at + name..at + name + level);
        at += name + level;
        at += logger_name(&line[at..]);
    }
    if found.time.is_some() || found.level.is_some() {
        at += filler(at);
        at += target(&line[at..]);
        let place = source_place(&line[at..]);
        at += place;
        at += if place > 0 { filler(at) } else { 0 };
        found.end = at;
    } else {
        found.end = row;
    }
    let indent = indent(&line[found.end..]);
    found.indented = found.end == 0 && indent > MAX_INDENT || row > 0 && is_test_result(line);
    found.end += indent;
    found
}

/// Marks that terminal programs set in front of a row, or of a row that went wrong.
const MARKS: [&[u8]; 12] = [
    b">", b"|", "⎿".as_bytes(), "└".as_bytes(), "✕".as_bytes(), "✖".as_bytes(), "✗".as_bytes(), "✘".as_bytes(),
    "×".as_bytes(), "■".as_bytes(), "⚠".as_bytes(), "❌".as_bytes(),
];

/// What makes a mark coloured.
const VARIATION: &[u8] = "\u{fe0f}".as_bytes();

/// Returns where the words behind at most two row marks begin; 0 if there is none.
fn row_marks(line: &[u8], mut at: usize) -> usize {
    let mut row = 0;
    for _ in 0..2 {
        // Most lines end here.
        if !matches!(line.get(at), Some(b'>' | b'|' | 0xc3 | 0xe2)) {
            break;
        }
        let Some(mark) = MARKS.iter().find(|mark| line[at..].starts_with(mark)) else { break };
        at += mark.len();
        at += if line[at..].starts_with(VARIATION) { VARIATION.len() } else { 0 };
        let gap = row_gap(&line[at..]);
        if gap == 0 {
            break;
        }
        at += gap;
        row = at;
    }
    row
}

/// Whether a marked row ends in a duration, as the rows of test runners do: `✕ says that the quota is exceeded (3 ms)`.
fn is_test_result(line: &[u8]) -> bool {
    let end = line.trim_ascii_end();
    let Some(unit) = end.strip_suffix(b"ms)").or_else(|| end.strip_suffix(b"s)")).or_else(|| end.strip_suffix(b"ms"))
    else {
        return false;
    };
    let number = unit.trim_ascii_end();
    let digits = number.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let before = &number[..number.len() - digits];
    digits > 0 && (before.ends_with(b"(") || before.ends_with(b" ")) && !before.ends_with(b" in ") && !before.ends_with(b" after ")
}

/// Returns the length of the gap behind a row mark: up to four blanks, no-break spaces among them.
fn row_gap(bytes: &[u8]) -> usize {
    let mut at = 0;
    for _ in 0..4 {
        at += match &bytes[at..] {
            [b' ' | b'\t', ..] => 1,
            [0xc2, 0xa0, ..] => 2,
            _ => break,
        };
    }
    at
}

/// The length of a date and a time without fraction and zone.
const DATE_LENGTH: usize = "2026-11-20T05:00:01".len();

/// Returns which of these bytes are digits, a bit each, if they begin with a date and a time.
#[inline]
fn date_digits<const N: usize>(bytes: &[u8; N]) -> Option<u32> {
    const DATE: u32 = 0b110_1101_1011_0110_1111;
    let separated = matches!(bytes[4], b'-' | b'/' | b'.')
        && matches!(bytes[7], b'-' | b'/' | b'.')
        && matches!(bytes[10], b'T' | b' ')
        && [bytes[13], bytes[16]] == [b':', b':'];
    if !separated {
        return None;
    }
    let mut padded = [0; 32];
    padded[..N].copy_from_slice(bytes);
    let digits = |part: &[u8; 16]| {
        let values = u8x16::new(*part) - u8x16::splat(b'0');
        values.min(u8x16::splat(9)).simd_eq(values).to_bitmask()
    };
    let [front, back] = padded.as_chunks::<16>().0 else { return None };
    let found = digits(front) | digits(back) << 16;
    (found & ((1 << DATE_LENGTH) - 1) == DATE).then_some(found)
}

/// Returns the length of a time stamp such as `2026-11-20T05:00:01,123 +0100`, or of a clock time alone.
fn time_stamp(bytes: &[u8]) -> Option<usize> {
    let fraction = |at: usize| match bytes.get(at) {
        Some(b'.' | b',') => {
            let digits = run(&bytes[at + 1..], 9, DIGIT);
            at + if digits > 0 { digits + 1 } else { 0 }
        }
        _ => at,
    };
    if bytes.get(2) == Some(&b':') {
        let clock = bytes.first_chunk::<{ "05:00:01".len() }>()?;
        let fits = clock[5] == b':' && [0, 1, 3, 4, 6, 7].iter().all(|at| clock[*at].is_ascii_digit());
        let end = fits.then(|| fraction(clock.len()))?;
        return matches!(bytes.get(end), Some(b' ' | b'\t' | b']')).then_some(end);
    }
    date_digits(bytes.first_chunk::<DATE_LENGTH>()?)?;
    let at = fraction(DATE_LENGTH);
    let space = usize::from(bytes.get(at) == Some(&b' '));
    let zone = match &bytes[at + space..] {
        [b'Z', ..] => 1,
        [b'U', b'T', b'C', ..] => 3,
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => 6,
        [b'+' | b'-', a, b, c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => 5,
        _ => return Some(at),
    };
    Some(at + space + zone)
}

/// Returns the length of a level, with its brackets and colon.
#[inline]
fn level(bytes: &[u8]) -> Option<usize> {
    let open = usize::from(bytes.first() == Some(&b'['));
    let words = &bytes[open..];
    // Most ask in vain.
    if KINDS[usize::from(*words.first()?)] & LEVEL == 0 {
        return None;
    }
    level_behind(bytes, open)
}

fn level_behind(bytes: &[u8], open: usize) -> Option<usize> {
    let words = &bytes[open..];
    let mut upper = [0; "CRITICAL".len()];
    let length = words.len().min(upper.len());
    upper[..length].copy_from_slice(&words[..length]);
    if open == 1 {
        upper.make_ascii_uppercase();
    }
    let word = match &upper {
        b"CRITICAL" => 8,
        [b'W', b'A', b'R', b'N', b'I', b'N', b'G', _] => 7,
        [b'N', b'O', b'T', b'I', b'C', b'E', ..] => 6,
        [b'T', b'R', b'A', b'C', b'E', ..]
        | [b'D', b'E', b'B', b'U', b'G', ..]
        | [b'E', b'R', b'R', b'O', b'R', ..]
        | [b'F', b'A', b'T', b'A', b'L', ..]
        | [b'P', b'A', b'N', b'I', b'C', ..] => 5,
        [b'I', b'N', b'F', b'O', ..] | [b'W', b'A', b'R', b'N', ..] => 4,
        [b'E', b'R', b'R', ..] => 3,
        _ => return None,
    };
    let mut at = open + word;
    if open == 1 {
        if bytes.get(at) != Some(&b']') {
            return None;
        }
        at += 1;
    }
    let colon = bytes.get(at) == Some(&b':');
    at += usize::from(colon);
    let ends = matches!(bytes.get(at), None | Some(b' ' | b'\t' | b':' | b'-' | b']'));
    (ends || colon && logger_name(&bytes[at..]) > 0).then_some(at)
}

/// Returns the length of a logger's name between dashes: `openai - `.
fn logger(bytes: &[u8]) -> usize {
    let name = run(bytes, 42, NAME);
    if name > 0 && bytes[name..].starts_with(b" - ") { name + 3 } else { 0 }
}

/// Returns the length of the notes in brackets between a time stamp and a level: `[Req:7f] [worker 2] [ERROR]`.
fn noted(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&b'[') {
        return 0;
    }
    let mut at = 0;
    for _ in 0..2 {
        if level(&bytes[at..]).is_some() {
            return at;
        }
        let note = bytes[at..].iter().take(64).position(|byte| *byte == b']');
        match note {
            Some(end) if bytes[at] == b'[' && bytes.get(at + end + 1) == Some(&b' ') => at += end + 2,
            _ => return 0,
        }
    }
    if level(&bytes[at..]).is_some() { at } else { 0 }
}

/// Returns the length of a logger's name in front of a level, and that of the level: `openhands:ERROR: `.
fn named_level(bytes: &[u8]) -> Option<(usize, usize)> {
    let name = run(bytes, 42, NAME);
    if name == 0 || bytes.get(name) != Some(&b':') {
        return None;
    }
    level(&bytes[name + 1..]).map(|level| (name + 1, level))
}

/// Returns the length of a logger's name right behind a level: of `root:` in `ERROR:root:it broke`.
fn logger_name(bytes: &[u8]) -> usize {
    let name = run(bytes, 42, NAME);
    if name > 0 && bytes.get(name) == Some(&b':') && !matches!(bytes.get(name + 1), None | Some(b' ' | b':')) {
        name + 1
    } else {
        0
    }
}

/// Returns where the first blank stands, or the end, looking at 81 bytes at most: in a few steps for short words.
#[inline]
fn first_blank(bytes: &[u8]) -> usize {
    let of = |stretch: &[u8; 16]| {
        let stretch = u8x16::new(*stretch);
        (stretch.simd_eq(u8x16::splat(b' ')) | stretch.simd_eq(u8x16::splat(b'\t'))).to_bitmask()
    };
    match bytes.first_chunk().map(of) {
        Some(blanks) if blanks != 0 => blanks.trailing_zeros() as usize,
        _ => memchr::memchr2(b' ', b'\t', &bytes[..bytes.len().min(81)]).unwrap_or(bytes.len()),
    }
}

/// Returns the last byte of the first word; 0 if there is none.
#[inline]
fn last_of_word(bytes: &[u8]) -> u8 {
    first_blank(bytes).checked_sub(1).map_or(0, |last| bytes[last])
}

/// Returns the length of the module that a log line says it comes from: `app::client: `.
fn target(bytes: &[u8]) -> usize {
    // Its only colon is its last byte in most that have one.
    let word = &bytes[..first_blank(bytes)];
    if word.last() != Some(&b':') || word.iter().position(|byte| *byte == b':') == Some(word.len() - 1) {
        return 0;
    }
    let name = bytes
        .iter()
        .take(80)
        .take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b':'))
        .count();
    let path = &bytes[..name];
    if path.ends_with(b":") && bytes.get(name) == Some(&b' ') && path.windows(2).any(|pair| pair == b"::") {
        name + 1
    } else {
        0
    }
}

/// Returns the length of a place in a source file: `main.py:498  `.
fn source_place(bytes: &[u8]) -> usize {
    let begins = |first: &u8| KINDS[usize::from(*first)] & PATH != 0;
    if !bytes.first().is_some_and(begins) || !last_of_word(bytes).is_ascii_digit() {
        return 0;
    }
    let path = run(bytes, 66, PATH);
    let digits = match bytes.get(path) {
        Some(b':') if bytes[..path].contains(&b'.') => run(&bytes[path + 1..], 6, DIGIT),
        _ => 0,
    };
    let end = path + 1 + digits;
    let blanks = if digits > 0 { run(&bytes[end..], 3, BLANK) } else { 0 };
    if blanks > 0 { end + blanks } else { 0 }
}

fn read_level(text: &str) -> LogLevel {
    let word = text.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_uppercase();
    match word.as_str() {
        "ERROR" | "ERR" | "FATAL" | "CRITICAL" | "PANIC" => LogLevel::Error,
        "WARN" | "WARNING" => LogLevel::Warning,
        _ => LogLevel::Info,
    }
}

/// Reads `2026-11-20 05:00:01,123` and its relatives. `2023-23-10` (year, day, month) is seen in the wild.
fn parse_time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let (mut month, mut day) = (number(5..7)?, number(8..10)?);
    if month > 12 {
        std::mem::swap(&mut month, &mut day);
    }
    let rest = text.get(19..)?;
    let fraction = rest.trim_start_matches([',', '.']).bytes().take_while(u8::is_ascii_digit);
    let (digits, nanos) = fraction.take(9).fold((0, 0), |(digits, nanos), digit| (digits + 1, nanos * 10 + i32::from(digit - b'0')));
    let nanos = nanos * 10i32.pow(9 - digits);
    let civil = jiff::civil::DateTime::new(
        number(0..4)?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(number(11..13)?).ok()?,
        i8::try_from(number(14..16)?).ok()?,
        i8::try_from(number(17..19)?).ok()?,
        nanos,
    )
    .ok()?;
    let zone = match rest.find(['Z', 'U', '+', '-']).map(|at| &rest[at..]) {
        Some("Z" | "UTC") => TimeZone::UTC,
        Some(offset) => {
            let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
            let hours = digits.get(0..2)?.parse::<i32>().ok()?;
            let minutes = digits.get(2..4)?.parse::<i32>().ok()?;
            let seconds = (hours * 60 + minutes) * 60 * if offset.starts_with('-') { -1 } else { 1 };
            TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?)
        }
        None => zone.clone(),
    };
    Some(Timestamp::from(civil.to_zoned(zone).ok()?.timestamp()))
}

/// The shortest and the longest line, in bytes, that a terminal may have wrapped.
const WRAP_WIDTHS: std::ops::RangeInclusive<usize> = 60..=250;

/// How many bytes of wrapped lines are joined at most.
pub const JOIN_LIMIT: usize = 4 * 1024;

/// Returns whether a line may go on in the next one: long enough for a terminal to have wrapped it, and not ended
/// by its own punctuation; or it ends inside a body of JSON that is printed over several lines.
pub fn may_continue(line: &str) -> bool {
    WRAP_WIDTHS.contains(&line.len()) && !line.trim_end().ends_with(['.', '!', '?', ';', ')', ']', '}'])
        || is_open_body(line)
}

/// Whether a text ends inside a body of JSON, at a place where printers of JSON begin a new line.
pub fn is_open_body(text: &str) -> bool {
    let end = text.trim_end();
    // More closing than opening braces are none of this body's.
    let open = || end.bytes().fold(0i32, |open, byte| open + i32::from(byte == b'{') - i32::from(byte == b'}'));
    end.len() < JOIN_LIMIT && end.ends_with(['{', '[', ',', '}', ']', '"']) && end.contains('{') && open() > 0
}

/// Joins a wrapped line with the next one, if that can be its continuation.
pub fn join(line: &str, next: &str) -> Option<String> {
    let words = next.trim_start();
    let first = words.chars().next()?;
    let prefix = prefix(next.as_bytes());
    let new_start = prefix.time.is_some()
        || prefix.level.is_some()
        || matches!(first, '>' | '-' | '*' | '#' | '[' | '●' | '⏺' | '❯' | '⎿' | '|' | '`')
        || (first.is_ascii_uppercase() && !line.ends_with(' '))
        || line.len() + next.len() > JOIN_LIMIT;
    if new_start {
        return None;
    }
    Some(format!("{line}{words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<String>, String, Option<LogLevel>, bool) {
        let (time, line) = read_line(Cow::Borrowed(text), &TimeZone::UTC);
        (time.map(|time| time.to_string()), line.text[line.body..].to_owned(), line.level, line.content)
    }

    #[test]
    fn log_prefixes_give_time_and_level() {
        for (text, time, body, level) in [
            (
                "[2023-23-10 00:32:14 INFO] error_code=x",
                Some("2023-10-23T00:32:14.000Z"),
                "error_code=x",
                Some(LogLevel::Info),
            ),
            (
                "2024-07-27 19:32:50,012 ERROR  Invalid key",
                Some("2024-07-27T19:32:50.012Z"),
                "Invalid key",
                Some(LogLevel::Error),
            ),
            (
                "2025-11-09T05:43:47.493667Z ERROR Failed to read",
                Some("2025-11-09T05:43:47.493Z"),
                "Failed to read",
                Some(LogLevel::Error),
            ),
            (
                "[2026-01-16 00:02:46] [ERROR] no file",
                Some("2026-01-16T00:02:46.000Z"),
                "no file",
                Some(LogLevel::Error),
            ),
            ("2026-01-16 00:02:46 +0100 x", Some("2026-01-15T23:02:46.000Z"), "x", None),
            ("ERROR: You've hit it", None, "You've hit it", Some(LogLevel::Error)),
            ("[WARNING] Loop detected", None, "Loop detected", Some(LogLevel::Warning)),
            (
                "2024-07-27 19:39:35,876 ERROR main.py:498  Quitting",
                Some("2024-07-27T19:39:35.876Z"),
                "Quitting",
                Some(LogLevel::Error),
            ),
            ("> litellm.Timeout: x", None, "litellm.Timeout: x", None),
            ("  ⎿  API Error: 529", None, "API Error: 529", None),
            ("  ⎿ \u{a0}API Error: 529", None, "API Error: 529", None),
            ("  ✗ Execution failed: 402", None, "Execution failed: 402", None),
            ("└  ✖ Some API Error: 429", None, "Some API Error: 429", None),
            ("⚠\u{fe0f} Out of credits", None, "Out of credits", None),
            (
                "13:54:54 - worker:ERROR: runner.py:161 - Error while running",
                None,
                "Error while running",
                Some(LogLevel::Error),
            ),
            ("14:25:54,031 WARN  it broke", None, "it broke", Some(LogLevel::Warning)),
            (
                "2026-01-16T00:02:46.184Z  WARN app::agents::agent: it broke",
                Some("2026-01-16T00:02:46.184Z"),
                "it broke",
                Some(LogLevel::Warning),
            ),
            (
                "[2026-01-16 00:02:46.667] [Req:26::ab] [ERROR] it broke",
                Some("2026-01-16T00:02:46.667Z"),
                "it broke",
                Some(LogLevel::Error),
            ),
            ("ERROR:root:it broke", None, "it broke", Some(LogLevel::Error)),
            ("INFO:httpx:HTTP Request: x", None, "HTTP Request: x", Some(LogLevel::Info)),
            ("ERROR: it: broke", None, "it: broke", Some(LogLevel::Error)),
            ("10:00:00", None, "10:00:00", None),
            ("[auto-resume] usage limit reached", None, "[auto-resume] usage limit reached", None),
            ("[API Error: x]", None, "[API Error: x]", None),
            ("Error: socket hang up", None, "Error: socket hang up", None),
        ] {
            let (got_time, got_body, got_level, content) = read(text);
            assert_eq!((got_time.as_deref(), got_body.as_str(), got_level), (time, body, level), "{text}");
            assert!(!content, "{text}");
        }
        assert!(read("        API Error: 529 quoted in code").3);
        for line in ["  ✕ Credit balance is too low (3 ms)", "× usage limit reached 12ms", "✖ out of credits (1.2s)"] {
            assert!(read(line).3, "the row of a test runner: {line}");
        }
        assert!(!read("✖ Attempt 1 failed. Retrying after 2034ms").3);
    }

    #[test]
    fn a_wrapped_line_is_joined_in_the_middle_of_a_word() {
        let line = "API Error: 400 {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_err";
        assert!(may_continue(line));
        let joined = join(line, "     or\",\"message\":\"prompt is too long\"}}").unwrap();
        assert!(joined.contains("invalid_request_error\",\"message\":\"prompt is too long"));
        assert_eq!(join(line, "● I see"), None);
        assert_eq!(join(line, "2024-07-27 19:35:22,343 ERROR  x"), None);
    }

    proptest! {
        #[test]
        fn own_words_begin_where_the_prefix_ends(
            line in "[ \t]{0,6}([a-zA-Z\\[>|⎿é]|ERROR|\\[warn\\]|\\[?2026-01-16[ T]00:02:46)?[ \\]:a-zA-Z0-9.-]{0,20}",
        ) {
            prop_assert_eq!(own_words(line.as_bytes(), indent(line.as_bytes())), prefix(line.as_bytes()).end);
        }

        #[test]
        fn own_words_behind_a_date_begin_where_the_prefix_ends(
            date in "(20[0-9]{2}[-/.][01][0-9][-/.][0-3][0-9][T ][012][0-9]:[0-9]{2}:[0-9]{2}|[0-9-]{4}-[0-9]{2}-[0-9: ]{9,14})",
            fraction in "([.,][0-9]{0,11})?",
            zone in "(| ?Z| UTC| ?[+-]0[0-9]:?00| -| \\+)",
            filler in "[ \t:|-]{0,10}",
            level in "(|INFO|WARNING|WARN|error|\\[Error\\]|ERR|INFORM|\\[main\\]|\\[a\\] \\[WARN\\]|openai|worker:ERROR)",
            between in "(| |:|  | - |:root:)",
            source in "(|app::client: |src/main.py:48  |a.b:7\t|client: |[a-z/.]{1,40}:5 )",
            words in "[ a-z0-9:]{0,20}",
        ) {
            let line = format!("{date}{fraction}{zone}{filler}{level}{between}{source}{words}");
            prop_assert_eq!(own_words(line.as_bytes(), 0), prefix(line.as_bytes()).end, "{}", line);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,120}") {
            let (_, line) = read_line(Cow::Borrowed(text.as_str()), &TimeZone::UTC);
            prop_assert!(line.text.is_char_boundary(line.body));
        }
    }
}
