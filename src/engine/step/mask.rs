//! What of an answer is the same when it is asked again: identities of text, its volatile parts left out.
//!
//! Two runs of one command print other times, durations, process ids and colours, and still say the same. Those are
//! masked. Numbers that are the answer are not: counts ("3 failed"), line numbers, versions, paths, percentages.
//!
//! A text is taken as it stands in its record, JSON's escapes included: an escaped line end ends a line as a real one
//! does. Nothing is copied but the lines that hold something to mask.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, Input, packed};
use memchr::memmem;
use wide::u8x16;
use xxhash_rust::xxh3::xxh3_64;

/// How many bytes at the front of a text are masked; what follows counts byte by byte, but for [`TAIL`].
const HEAD: usize = 24 << 10;

/// How many bytes at the end of a text are masked.
const TAIL: usize = 8 << 10;

/// How many lines a set of error lines may have; the others count no more.
const ERROR_LINES: usize = 64;

/// What stands for whatever was masked. No text that a person can read holds it.
const MASK: u8 = 0x01;

/// Mixes two hashes, in this order.
#[inline]
pub fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ 0x9E37_79B9_7F4A_7C15) * u128::from(other ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Returns the hash of a text as it stands.
#[inline]
pub fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// What a text says, masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Print {
    /// All of it: equal for texts that differ in nothing but what is volatile.
    pub text: u64,
    /// The set of its error lines, summary lines left out; `None`: there are none.
    pub errors: Option<u64>,
    /// How many lines with words it has.
    pub lines: u32,
}

/// Takes prints of texts; holds what they have in common to do.
#[derive(Clone, Debug, Default)]
pub struct Masker {
    /// A line without what a terminal does not show.
    shown: Vec<u8>,
    /// A line with what is volatile replaced.
    line: Vec<u8>,
}

/// What a text is, as far as masking goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is taken as it stands, but for its first lines and its last, where tools set their remarks.
    Kept,
    /// What a program prints.
    Printed,
    /// The same, and its error lines are looked for.
    Run,
}

/// How many bytes of a line are masked.
const LINE: usize = 1024;

/// How many bytes are looked at line by line of what is taken as it stands.
const LINES: usize = 8 << 10;

/// How many bytes a line has, about, where lines are not counted.
const ABOUT: usize = 40;

/// How many lines in front, and how many at the end, may be a tool's remarks.
const EDGE: usize = 6;

/// What a text may hold, asked once of all of it.
#[derive(Clone, Copy)]
struct May {
    redraws: bool,
    unseen: bool,
    temporary: bool,
}

impl std::ops::BitOr for May {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            redraws: self.redraws | other.redraws,
            unseen: self.unseen | other.unseen,
            temporary: self.temporary | other.temporary,
        }
    }
}

impl May {
    fn of(text: &[u8]) -> Self {
        fn finder(
            cell: &'static OnceLock<memmem::Finder<'static>>,
            of: &'static str,
        ) -> &'static memmem::Finder<'static> {
            cell.get_or_init(|| memmem::Finder::new(of))
        }
        static RETURN: OnceLock<memmem::Finder<'static>> = OnceLock::new();
        static ESCAPE: OnceLock<memmem::Finder<'static>> = OnceLock::new();
        static TEMPORARY: OnceLock<memmem::Finder<'static>> = OnceLock::new();
        static FOLDERS: OnceLock<memmem::Finder<'static>> = OnceLock::new();
        let has = |finder: &memmem::Finder<'_>| finder.find(text).is_some();
        Self {
            redraws: memchr::memchr(b'\r', text).is_some() || has(finder(&RETURN, "\\r")),
            unseen: memchr::memchr2_iter(0x1b, 0xe2, text).any(|at| unseen(&text[at..]).is_some())
                || has(finder(&ESCAPE, "\\u001")),
            temporary: has(finder(&TEMPORARY, "/tmp/")) || has(finder(&FOLDERS, "/var/folders/")),
        }
    }
}

impl Masker {
    /// Takes the print of a text. `each` is called with the hash of every masked line that has words in it.
    pub fn print(&mut self, text: &str, kind: Kind, mut each: impl FnMut(u64)) -> Print {
        let mut print = Print::default();
        let mut wrong: Vec<u64> = Vec::new();
        let text = text.as_bytes();
        let (front, kept, end) = if kind == Kind::Kept { edges(text) } else { (&[][..], &[][..], text) };
        let may = May::of(front) | May::of(end);
        let (head, middle, tail) = parts(end);
        let mut lines = |this: &mut Self, part: &[u8], print: &mut Print, each: &mut dyn FnMut(u64)| {
            let mut error = if kind == Kind::Run { error_word(part, 0) } else { None };
            let mut lines = Lines::of(part);
            while let Some(whole) = lines.next() {
                let end = lines.at;
                let is_wrong = error.is_some_and(|at| at < end);
                if is_wrong {
                    error = error_word(part, end);
                }
                let line = trim(if may.redraws { after_redraws(whole) } else { whole });
                if line.is_empty() {
                    continue;
                }
                let masked = this.mask(line, may);
                if masked.is_empty() {
                    continue;
                }
                let hash = xxh3_64(masked);
                print.text = mix(print.text, hash);
                print.lines += 1;
                if is_wrong && wrong.len() < ERROR_LINES && !is_sum(masked) && !wrong.contains(&hash) {
                    wrong.push(hash);
                }
                each(hash);
            }
        };
        lines(self, front, &mut print, &mut each);
        let (kept, rest) = kept.split_at(kept.len().min(LINES));
        if !rest.is_empty() {
            print.text = mix(print.text, xxh3_64(rest));
            print.lines += u32::try_from(rest.len() / ABOUT).unwrap_or(u32::MAX);
        }
        for line in Lines::of(kept) {
            let line = trim(line);
            if !line.is_empty() {
                let line = xxh3_64(line);
                print.text = mix(print.text, line);
                print.lines += 1;
                each(line);
            }
        }
        lines(self, head, &mut print, &mut each);
        if !middle.is_empty() {
            print.text = mix(print.text, xxh3_64(middle));
        }
        lines(self, tail, &mut print, &mut each);
        // A set: programs that work on several things at once tell them in any order.
        print.errors = wrong.into_iter().reduce(u64::wrapping_add);
        // A line may be long, and sessions are many.
        self.shown.shrink_to(LINE);
        self.line.shrink_to(LINE);
        print
    }

    /// Returns a line with what is volatile replaced.
    fn mask<'l>(&'l mut self, line: &'l [u8], may: May) -> &'l [u8] {
        let line = if may.unseen { without_unseen(line, &mut self.shown) } else { line };
        self.line.clear();
        // How far the line is copied, and how far it is read.
        let (mut copied, mut at) = (0, 0);
        let mut tally = None;
        while let Some(digit) = next_digit(line, at).filter(|digit| *digit < LINE) {
            let start =
                line[at..digit].iter().rposition(|byte| !is_word(*byte)).map_or(at, |before| at + before + 1);
            let found = if may.temporary { temporary(line, start) } else { None }
                .or_else(|| volatile(line, start, digit, &mut tally).map(|length| (start, length)));
            match found {
                Some((from, length)) => {
                    self.line.extend_from_slice(&line[copied..from.max(copied)]);
                    if self.line.last() != Some(&MASK) {
                        self.line.push(MASK);
                    }
                    at = from + length;
                    copied = at;
                }
                None => at = digit + line[digit..].iter().take_while(|byte| is_word(**byte)).count(),
            }
        }
        if copied == 0 {
            return line.trim_ascii();
        }
        self.line.extend_from_slice(&line[copied..]);
        self.line.trim_ascii()
    }
}

/// Returns where the next digit stands.
fn next_digit(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(part) = line[at..].first_chunk::<16>() {
        let distance = u8x16::new(*part) - u8x16::splat(b'0');
        let digits = distance.min(u8x16::splat(9)).simd_eq(distance).to_bitmask();
        if digits != 0 {
            return Some(at + digits.trailing_zeros() as usize);
        }
        at += 16;
    }
    line[at..].iter().position(u8::is_ascii_digit).map(|found| at + found)
}

/// Returns a line without what a terminal does not show as text.
fn without_unseen<'l>(line: &'l [u8], shown: &'l mut Vec<u8>) -> &'l [u8] {
    shown.clear();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = memchr::memchr3(0x1b, 0xe2, b'\\', &line[at..]) {
        at += found;
        match unseen(&line[at..]) {
            Some(length) => {
                shown.extend_from_slice(&line[copied..at]);
                at += length;
                copied = at;
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return line;
    }
    shown.extend_from_slice(&line[copied..]);
    shown
}

/// Returns the first lines of a text, the last, and what lies between: tools set remarks in front of what they show and
/// behind it.
fn edges(text: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let mut lines = Lines::of(text);
    for _ in 0..EDGE {
        lines.next();
    }
    let (front, rest) = text.split_at(lines.at);
    let mut at = rest.len();
    for _ in 0..EDGE {
        match last_line_end(&rest[..at]) {
            Some(end) => at = end,
            None => return (front, &[], rest),
        }
    }
    let (kept, end) = rest.split_at(at);
    (front, kept, end)
}

/// Returns a line without white space around it.
#[inline(always)]
fn trim(mut line: &[u8]) -> &[u8] {
    // Code is indented.
    while let Some(part @ [b' ', b' ', ..]) = line.first_chunk::<16>() {
        let others = !u8x16::new(*part).simd_eq(u8x16::splat(b' ')).to_bitmask();
        line = &line[(others.trailing_zeros() as usize).min(16)..];
    }
    line.trim_ascii()
}

/// Returns the front, the middle and the end of a text, cut between lines where there are some.
fn parts(text: &[u8]) -> (&[u8], &[u8], &[u8]) {
    if text.len() <= HEAD + TAIL {
        return (text, &[], &[]);
    }
    (&text[..HEAD], &text[HEAD..text.len() - TAIL], &text[text.len() - TAIL..])
}

/// The lines of a text, real line ends and escaped ones.
struct Lines<'t> {
    text: &'t [u8],
    /// Where the next line begins.
    at: usize,
}

impl<'t> Lines<'t> {
    fn of(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (end, length) = line_end(rest).unwrap_or((rest.len(), 0));
        self.at += end + length;
        Some(&rest[..end])
    }
}

/// Returns where the first line ends, and how many bytes its end takes: a line feed, or the escape that stands for one.
fn line_end(text: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    while let (Some(part), Some(next)) = (text[at..].first_chunk::<16>(), text.get(at + 1..at + 17)) {
        let part = u8x16::new(*part);
        let next = u8x16::new(next.try_into().ok()?);
        let escaped = part.simd_eq(u8x16::splat(b'\\')) & next.simd_eq(u8x16::splat(b'n'));
        let ends = (part.simd_eq(u8x16::splat(b'\n')) | escaped).to_bitmask();
        if ends != 0 {
            at += ends.trailing_zeros() as usize;
            return Some((at, if text[at] == b'\n' { 1 } else { 2 }));
        }
        at += 16;
    }
    text[at..].iter().enumerate().find_map(|(more, byte)| match (byte, text.get(at + more + 1)) {
        (b'\n', _) => Some((at + more, 1)),
        (b'\\', Some(b'n')) => Some((at + more, 2)),
        _ => None,
    })
}

/// How many bytes are searched backwards for line ends in one go.
const BLOCK: usize = 64;

/// Returns where in the next bytes, at most [`BLOCK`] of them, lines end, a bit each: at a line feed, or at the escape that
/// stands for one.
#[inline(always)]
fn line_ends(text: &[u8]) -> u64 {
    match text.first_chunk::<BLOCK>() {
        Some(block) => line_ends_of(block, text),
        None => last_line_ends(text),
    }
}

/// As [`line_ends`], of less than a block.
#[inline(never)]
fn last_line_ends(text: &[u8]) -> u64 {
    let mut block = [0; BLOCK];
    block[..text.len()].copy_from_slice(text);
    line_ends_of(&block, text)
}

/// As [`line_ends`], of a block with which the text begins.
#[inline(always)]
fn line_ends_of(block: &[u8; BLOCK], text: &[u8]) -> u64 {
    let parts = block.as_chunks::<16>().0;
    let bits = |byte: u8| {
        let bits = |number: usize| {
            let same = u8x16::new(parts[number]).simd_eq(u8x16::splat(byte));
            u64::from(same.to_bitmask()) << (number * 16)
        };
        (bits(0) | bits(1)) | (bits(2) | bits(3))
    };
    let (mut ends, mut escapes) = (bits(b'\n'), bits(b'\\'));
    while escapes != 0 {
        let at = escapes.trailing_zeros() as usize;
        ends |= u64::from(text.get(at + 1) == Some(&b'n')) << at;
        escapes &= escapes - 1;
    }
    ends
}

/// Returns where the last line ends that has an end.
fn last_line_end(text: &[u8]) -> Option<usize> {
    let mut rest = text.len();
    while let Some(start) = rest.checked_sub(BLOCK) {
        let ends = line_ends(&text[start..]);
        if ends != 0 {
            return Some(start + ends.ilog2() as usize);
        }
        rest = start;
    }
    let ends = last_line_ends(&text[..rest]);
    // An escape may go on in the bytes behind.
    let cut = rest > 0 && text[rest - 1] == b'\\' && text.get(rest) == Some(&b'n');
    let ends = ends | u64::from(cut) << rest.saturating_sub(1);
    (ends != 0).then(|| ends.ilog2() as usize)
}

/// Returns what a terminal shows of a line that was drawn several times.
fn after_redraws(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").or_else(|| line.strip_suffix(b"\\r")).unwrap_or(line);
    let real = memchr::memrchr(b'\r', line).map_or(0, |at| at + 1);
    let escaped = memmem::rfind(line, b"\\r").map_or(0, |at| at + 2);
    &line[real.max(escaped)..]
}

const DIGIT: u8 = 1;
const HEX: u8 = 4;
/// What words consist of: no match begins inside of one.
const WORD: u8 = 16;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0u8;
    loop {
        let mut kind = 0;
        if byte.is_ascii_digit() {
            kind |= DIGIT | HEX | WORD;
        }
        if byte.is_ascii_alphabetic() || byte == b'_' {
            kind |= WORD;
        }
        if matches!(byte, b'a'..=b'f' | b'A'..=b'F') {
            kind |= HEX;
        }
        kinds[byte as usize] = kind;
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

fn run(bytes: &[u8], kind: u8) -> usize {
    bytes.iter().take_while(|byte| KINDS[usize::from(**byte)] & kind != 0).count()
}

fn digits(bytes: &[u8]) -> usize {
    run(bytes, DIGIT)
}

/// Returns the length of what a terminal does not show as text: colours, spinners.
fn unseen(bytes: &[u8]) -> Option<usize> {
    let escape = match bytes {
        [0x1b, ..] => 1,
        [b'\\', b'u', b'0', b'0', b'1', b'b' | b'B', ..] => 6,
        // Braille, quarters of circles: what programs turn while they work.
        [0xe2, 0xa0..=0xa3, _, ..] | [0xe2, 0x97, 0x90..=0x93, ..] => return Some(3),
        _ => return None,
    };
    if bytes.get(escape) != Some(&b'[') {
        return Some(escape);
    }
    let parameters = bytes[escape + 1..].iter().take_while(|byte| matches!(byte, b'0'..=b'?')).count();
    Some((escape + 2 + parameters).min(bytes.len()))
}

/// What the words in front of a value say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// It identifies an occurrence, and nothing else.
    Value,
    /// It is a time that something took.
    Span,
}

/// Words behind which a value stands that identifies an occurrence, by length.
fn values(length: usize) -> &'static [&'static [u8]] {
    match length {
        3 => &[b"pid", b"try"],
        4 => &[b"port", b"seed"],
        5 => &[b"nonce"],
        6 => &[b"callid", b"run_id"],
        7 => &[b"attempt", b"call_id", b"traceid", b"span_id"],
        8 => &[b"trace_id", b"chunk_id"],
        9 => &[b"requestid", b"sessionid"],
        10 => &[b"request_id", b"session_id", b"process_id"],
        _ => &[],
    }
}

/// Words behind which a time stands that something took, by length.
fn spans(length: usize) -> &'static [&'static [u8]] {
    match length {
        4 => &[b"took"],
        7 => &[b"elapsed"],
        8 => &[b"duration"],
        9 => &[b"wall_time"],
        10 => &[b"elapsed_ms"],
        11 => &[b"duration_ms"],
        16 => &[b"duration_seconds"],
        _ => &[],
    }
}

/// Words that identify an occurrence together with `id`.
const NAMED: [&[u8]; 6] = [b"request", b"call", b"trace", b"session", b"chunk", b"process"];

/// Returns what the words in front of a place say of what stands there.
fn label(before: &[u8]) -> Option<Label> {
    let word = last_word(before)?;
    let is = |words: &[&[u8]]| words.iter().any(|other| word.eq_ignore_ascii_case(other));
    if is(values(word.len())) {
        return Some(Label::Value);
    }
    if is(spans(word.len())) {
        return Some(Label::Span);
    }
    if !word.eq_ignore_ascii_case(b"id") {
        return None;
    }
    let named = last_word(&before[..word.as_ptr() as usize - before.as_ptr() as usize])?;
    NAMED.iter().any(|other| named.eq_ignore_ascii_case(other)).then_some(Label::Value)
}

/// Returns the word in front of a place, if nothing but marks stands between them.
fn last_word(before: &[u8]) -> Option<&[u8]> {
    let gap = before
        .iter()
        .rev()
        .take(5)
        .take_while(|byte| matches!(byte, b' ' | b':' | b'=' | b'#' | b'"' | b'\\' | b'[' | b'('))
        .count();
    if gap == 0 {
        return None;
    }
    let before = &before[..before.len() - gap];
    let length = before.iter().rev().take(17).take_while(|byte| is_word(**byte)).count();
    (length > 1).then(|| &before[before.len() - length..])
}

fn is_word(byte: u8) -> bool {
    KINDS[usize::from(byte)] & WORD != 0
}

/// Returns the length of what is volatile in a word that begins here, and whose first digit stands there.
fn volatile(line: &[u8], start: usize, digit: usize, tally: &mut Option<bool>) -> Option<usize> {
    let label = label(&line[..start]);
    let bytes = &line[start..];
    if label == Some(Label::Value) {
        return Some(bytes.iter().take_while(|byte| is_word(**byte) || **byte == b'-').count());
    }
    if start < digit {
        return if bytes[..digit - start].iter().all(|byte| KINDS[usize::from(*byte)] & HEX != 0) {
            uuid(bytes).or_else(|| hexadecimal(bytes))
        } else {
            None
        };
    }
    let digits = digits(bytes);
    let by_form = match bytes.get(digits) {
        Some(b':') => clock(bytes),
        Some(b'-') => date(bytes).or_else(|| uuid(bytes)),
        Some(b'/') => date(bytes),
        Some(b'.') => date(bytes).or_else(|| quantity(bytes)),
        Some(b' ' | 0xc2) => quantity(bytes),
        Some(byte) if byte.is_ascii_alphabetic() => {
            quantity(bytes).or_else(|| uuid(bytes)).or_else(|| hexadecimal(bytes))
        }
        _ => None,
    };
    by_form
        .or_else(|| epoch(bytes, digits))
        .or_else(|| (label == Some(Label::Span)).then(|| number(bytes)))
        .or_else(|| tally.get_or_insert_with(|| is_tally(line)).then_some(digits))
}

/// Returns the length of a date, with its time of day where one follows.
fn date(bytes: &[u8]) -> Option<usize> {
    let b = bytes.first_chunk::<10>()?;
    let is_date = digits(b) == 4
        && b[4] == b[7]
        && matches!(b[4], b'-' | b'/' | b'.')
        && digits(&b[5..]) == 2
        && digits(&b[8..]) == 2;
    if !is_date || bytes.get(10).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let time = match bytes.get(10) {
        Some(b'T' | b't' | b' ' | b'_') => clock(&bytes[11..]).map(|length| length + 1),
        _ => None,
    };
    Some(10 + time.unwrap_or(0))
}

/// Returns the length of a time of day with seconds, with its fraction and zone. Without seconds it may be a place.
fn clock(bytes: &[u8]) -> Option<usize> {
    let hours = digits(bytes);
    if !(1..=2).contains(&hours) {
        return None;
    }
    let [b':', m1, m2, b':', s1, s2, ..] = bytes[hours..] else { return None };
    if ![m1, m2, s1, s2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut at = hours + 6;
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        let fraction = digits(&bytes[at + 1..]);
        at += if fraction > 0 { fraction + 1 } else { 0 };
    }
    Some(
        at + match &bytes[at..] {
            [b'Z', ..] => 1,
            [b'+' | b'-', rest @ ..] if digits(rest) == 4 => 5,
            [b'+' | b'-', rest @ ..] if digits(rest) == 2 && rest.get(2) == Some(&b':') => 6,
            _ => 0,
        }
        .min(bytes.len() - at),
    )
}

/// Returns the length of a UUID.
fn uuid(bytes: &[u8]) -> Option<usize> {
    let b = bytes.first_chunk::<36>()?;
    let fits = b.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (fits && bytes.get(36).is_none_or(|byte| !is_word(*byte))).then_some(36)
}

/// Returns the length of a hash or an address: seven hexadecimal digits at least, letters and digits among them.
fn hexadecimal(bytes: &[u8]) -> Option<usize> {
    let (from, least) = if bytes.starts_with(b"0x") { (2, 4) } else { (0, 7) };
    let length = run(&bytes[from..], HEX);
    let run = &bytes[from..from + length];
    let ends = bytes.get(from + length).is_none_or(|byte| KINDS[usize::from(*byte)] & WORD == 0);
    let is_mixed =
        from > 0 || (run.iter().any(u8::is_ascii_digit) && run.iter().any(u8::is_ascii_alphabetic));
    (length >= least && ends && is_mixed).then_some(from + length)
}

/// Returns the length of seconds or milliseconds since 1970, of these years.
fn epoch(bytes: &[u8], digits: usize) -> Option<usize> {
    let ends = bytes.get(digits).is_none_or(|byte| KINDS[usize::from(*byte)] & WORD == 0);
    let fits = matches!(digits, 10 | 13 | 16) && matches!(&bytes[..2], b"15" | b"16" | b"17" | b"18" | b"19");
    (ends && fits).then_some(digits)
}

fn number(bytes: &[u8]) -> usize {
    let whole = digits(bytes);
    match bytes.get(whole) {
        Some(b'.') => {
            let fraction = digits(&bytes[whole + 1..]);
            whole + if fraction > 0 { fraction + 1 } else { 0 }
        }
        _ => whole,
    }
}

/// Units of time and of size, the longer before the shorter.
const UNITS: [&[u8]; 25] = [
    b"milliseconds",
    b"seconds",
    b"second",
    b"minutes",
    b"minute",
    b"hours",
    b"hour",
    b"bytes",
    b"secs",
    b"sec",
    b"msec",
    b"mins",
    b"min",
    b"KiB",
    b"MiB",
    b"GiB",
    b"kB",
    b"KB",
    b"MB",
    b"GB",
    b"ms",
    b"ns",
    b"us",
    b"\xc2\xb5s",
    b"s",
];

/// Returns the length of a duration or a size: a number with its unit.
fn quantity(bytes: &[u8]) -> Option<usize> {
    let number = number(bytes);
    let blank = usize::from(bytes.get(number) == Some(&b' '));
    let rest = &bytes[number + blank..];
    if !matches!(
        rest.first(),
        Some(b'm' | b's' | b'h' | b'b' | b'K' | b'M' | b'G' | b'k' | b'n' | b'u' | 0xc2)
    ) {
        return None;
    }
    let unit = UNITS.iter().find(|unit| {
        rest.starts_with(unit)
            && rest.get(unit.len()).is_none_or(|byte| KINDS[usize::from(*byte)] & WORD == 0)
    });
    if let Some(unit) = unit {
        return Some(number + blank + unit.len());
    }
    // `1m 3s`, `2h05m`.
    let [b'm' | b'h', after @ ..] = rest else { return None };
    let gap = usize::from(after.first() == Some(&b' '));
    let more = (blank == 0 && after.get(gap).is_some_and(u8::is_ascii_digit))
        .then(|| quantity(&after[gap..]))
        .flatten()?;
    Some(number + 1 + gap + more)
}

/// Returns where a path in a folder for temporary files begins and how long it is, if the word that begins here is in
/// one and the path has a name of chance in it.
fn temporary(line: &[u8], start: usize) -> Option<(usize, usize)> {
    let in_path = |byte: &u8| is_word(*byte) || matches!(byte, b'/' | b'.' | b'-');
    let before = line[..start].iter().rev().take_while(|byte| in_path(byte)).count();
    let path = &line[start - before..];
    let folder = [&b"/tmp/"[..], b"/var/folders/"].into_iter().find(|folder| path.starts_with(folder))?;
    let length = path.iter().take_while(|byte| in_path(byte)).count();
    (length > folder.len()).then_some((start - before, length))
}

/// Whether a line keeps count of what the agent has done so far, rather than of what there is: a remark in brackets.
fn is_tally(line: &[u8]) -> bool {
    static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build([
                "so far",
                "this session",
                "tokens used",
                "tokens left",
                "calls made",
                "calls left",
                "reads:",
                "tool calls",
                "token usage",
            ])
            .expect("a few short words are searched")
    });
    let remark = matches!(line.first(), Some(b'(' | b'[' | b'<' | b'*' | b'-' | b'#'))
        || matches!(line.last(), Some(b')' | b']' | b'>'));
    remark && line.len() <= 200 && WORDS.is_match(line)
}

/// Words of lines that report that something is wrong.
const ERROR_WORDS: [&str; 15] = [
    "error",
    "failed",
    "FAIL",
    "panicked",
    "xception",
    "ot found",
    "annot ",
    "denied",
    "fatal",
    "undefined",
    "nvalid",
    "o such",
    "mismatch",
    "Error",
    "E   ",
];

/// Whether a text has a line that reports that something is wrong.
pub fn may_be_wrong(text: &str) -> bool {
    error_word(text.as_bytes(), 0).is_some()
}

/// Returns where the next of these words stands.
fn error_word(text: &[u8], from: usize) -> Option<usize> {
    static PACKED: LazyLock<Option<packed::Searcher>> =
        LazyLock::new(|| packed::Config::new().builder().extend(ERROR_WORDS).build());
    static AUTOMATON: LazyLock<AhoCorasick> =
        LazyLock::new(|| AhoCorasick::new(ERROR_WORDS).expect("a few short words are searched"));
    match &*PACKED {
        Some(searcher) => searcher.find_in(text, (from..text.len()).into()),
        // Where the processor cannot search for them at once.
        None => AUTOMATON.find(Input::new(text).range(from..)),
    }
    .map(|found| found.start())
}

/// Whether a line only sums up what others report.
fn is_sum(line: &[u8]) -> bool {
    static SUMS: LazyLock<AhoCorasick> = LazyLock::new(|| {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build([
                " failed,",
                " passed",
                "test result:",
                "could not compile",
                "aborting due to",
                "error: test failed",
                "failures:",
                " errors",
                "for more information",
            ])
            .expect("a few short words are searched")
    });
    SUMS.is_match(&line[..line.len().min(400)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        let mut masker = Masker::default();
        String::from_utf8_lossy(masker.mask(line.as_bytes(), May::of(line.as_bytes()))).replace('\u{1}', "·")
    }

    fn print(text: &str) -> Print {
        Masker::default().print(text, Kind::Run, |_| {})
    }

    #[test]
    fn what_differs_from_run_to_run_is_masked() {
        for (line, expected) in [
            ("2026-11-20T05:00:01.123Z INFO up", "· INFO up"),
            ("[2026-11-20 05:00:01,123 +0100] up", "[· +0100] up"),
            ("at 5:00:01 it began", "at · it began"),
            ("finished in 3.21s", "finished in ·"),
            ("finished in 1m 3s (61 seconds)", "finished in · (·)"),
            ("read 12.5 MB, 17 bytes", "read ·, ·"),
            ("id 7f3c2a1b-0000-4444-8888-aaaaaaaaaaaa", "id ·"),
            ("id afbc2a1b-0000-4444-8888-aaaaaaaaaaaa", "id ·"),
            ("commit 4f2a91c says", "commit · says"),
            ("object at 0x7f3c2a1b00", "object at ·"),
            ("wrote /tmp/tmp8x1/out", "wrote ·"),
            ("pid 4711, port: 8080, attempt 3/5", "pid ·, port: ·, attempt ·/5"),
            ("request id: req_0a1", "request id: ·"),
            ("{\"duration_seconds\":0.25}", "{\"duration_seconds\":·}"),
            ("started 1795154400", "started ·"),
            ("\u{1b}[31merror\u{1b}[0m: x", "error: x"),
            ("\\u001b[31merror\\u001b[0m: x", "error: x"),
            ("⠋ building", "building"),
            ("(14 reads this session)", "(· reads this session)"),
        ] {
            assert_eq!(masked(line), expected, "{line}");
        }
    }

    #[test]
    fn what_an_answer_says_is_not_masked() {
        for line in [
            "3 failed, 10 passed",
            "src/main.rs:12:34: unused",
            "version 1.2.3",
            "/srv/app2/x.py",
            "45 %",
            "127.0.0.1:8080",
            "abcdefg",
            "1234567",
            "12:34",
            "face to face",
            "5 minded",
            "utf8 text",
            "v2.0.1-rc1",
            "issue #42",
        ] {
            assert_eq!(masked(line), line);
        }
    }

    #[test]
    fn a_line_drawn_again_counts_as_it_stands_at_last() {
        assert_eq!(print("10 %\r20 %\rdone"), print("50 %\rdone"));
        assert_eq!(print("10 %\\r20 %\\rdone"), print("done"));
        assert_eq!(print("one\r\ntwo"), print("one\\ntwo"));
    }

    #[test]
    fn errors_are_a_set_without_their_sums() {
        let one = print("error: a is wrong\nerror: b is wrong\n2 failed, 3 passed in 0.1s");
        let other = print("error: b is wrong\nnote\nerror: a is wrong\n2 failed, 4 passed in 7.1s");
        assert_eq!(one.errors, other.errors);
        assert_ne!(one.errors, print("error: a is wrong\n1 failed").errors);
        assert_eq!(print("1 failed, 2 passed").errors, None);
        assert_eq!(print("all is well").errors, None);
    }

    #[test]
    fn of_a_long_text_the_middle_counts_as_it_stands() {
        let text =
            |middle: &str, end: &str| format!("{}{middle}{}{end}", "x\n".repeat(HEAD), "y\n".repeat(TAIL));
        let one = print(&text("a", "took 1s"));
        assert_eq!(one, print(&text("a", "took 2s")));
        assert_ne!(one, print(&text("b", "took 1s")));
    }

    /// The lines of a text, found simply.
    fn lines_slowly(text: &[u8]) -> Vec<&[u8]> {
        let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
        while at < text.len() {
            let length = if text[at] == b'\n' { 1 } else { 2 * usize::from(text[at..].starts_with(b"\\n")) };
            if length > 0 {
                lines.push(&text[start..at]);
                start = at + length;
            }
            at += length.max(1);
        }
        if start < text.len() {
            lines.push(&text[start..]);
        }
        lines
    }

    proptest::proptest! {
        #[test]
        fn lines_are_found_wherever_they_end(text in "(x{1,40}|\\\\n|\\\\|n|\n| {1,20}){0,24}") {
            let text = text.as_bytes();
            let lines = lines_slowly(text);
            proptest::prop_assert_eq!(Lines::of(text).collect::<Vec<_>>(), lines.clone());
            let last = (0..text.len()).rfind(|at| text[*at] == b'\n' || text[*at..].starts_with(b"\\n"));
            proptest::prop_assert_eq!(last_line_end(text), last);
            for line in lines {
                proptest::prop_assert_eq!(trim(line), line.trim_ascii());
            }
        }

        #[test]
        fn any_text_has_a_print(text in "(\\PC|\\\\n|\\\\r|[\x1b\r\n0-9a-f:.T -]){0,200}") {
            proptest::prop_assert_eq!(print(&text), print(&text));
        }
    }
}
