//! The pre-scan for plain text: which lines can concern any rule at all.
//!
//! Rules for plain lines are anchored where a line's own words begin, so a line is decided by its form (`classify/forms`): its
//! first eight bytes, what stands around the blank behind its first word, and its last bytes are looked up in small
//! tables made from the rules' patterns. Patterns of which nothing of the kind is certain (a user's; the built-in ones
//! all have a form) name literals instead, and those are searched in the whole block. What passes goes on to the exact
//! rules; the result is the same as asking every rule about every line, and a property test says so.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use aho_corasick::{AhoCorasick, packed};
use wide::u8x16;

use super::facts::LOOK_AT;
use super::fold::{self, INVISIBLE};
use super::forms::{self, HEAD, OPENING};
use super::rules::{Rules, SPOKEN_LEVEL};
use crate::engine::document::Documents;
use crate::engine::format::plain;

/// How many literals may be searched anywhere in a line: above that, the search leaves the processor's fast path.
pub const ANYWHERE_LIMIT: usize = 64;

/// How many openings all patterns together may have: above that, the table lets too many strangers through.
pub const OPENINGS_LIMIT: usize = 2000;

/// How many bytes are lower-cased and searched at a time.
const WINDOW: usize = 16 << 10;

/// Finds the lines of plain text that may concern a rule. Clones share the tables.
#[derive(Clone)]
pub struct Scanner {
    openings: Arc<Openings>,
    /// For the literals that may stand anywhere; `None`: there are none.
    anywhere: Option<Arc<Anywhere>>,
    lower: Vec<u8>,
}

/// The literals that may stand anywhere in a line.
struct Anywhere {
    /// Finds the keys of all of them.
    keys: Keys,
    literals: Vec<Literal>,
}

impl Anywhere {
    fn new<'l>(literals: impl Iterator<Item = &'l str>) -> Option<Self> {
        let literals: Vec<Literal> = literals.map(Literal::new).collect();
        let keys = literals.iter().map(|literal| &literal.text[literal.key.clone()]).collect();
        let keys = Keys::new(&keys)?;
        Some(Self { keys, literals })
    }
}

/// Finds keys in a block.
enum Keys {
    /// With the processor's vectors.
    Packed(packed::Searcher),
    /// Where the processor has none, or the keys are too many for them.
    Automaton(AhoCorasick),
}

impl Keys {
    fn new(keys: &BTreeSet<&[u8]>) -> Option<Self> {
        if keys.is_empty() {
            return None;
        }
        let packed = packed::Config::new().builder().extend(keys).build().map(Self::Packed);
        packed.or_else(|| AhoCorasick::new(keys).ok().map(Self::Automaton))
    }

    /// Returns where the first key stands from this place on.
    fn find(&self, lower: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Packed(searcher) => searcher.find_in(lower, (from..lower.len()).into()),
            Self::Automaton(searcher) => searcher.find(aho_corasick::Input::new(lower).range(from..)),
        }
        .map(|found| found.start())
    }
}

/// A literal (lower-case, as folded text has it), and the part of it that is searched: what typography cannot change.
#[derive(Debug, PartialEq, Eq)]
struct Literal {
    text: Vec<u8>,
    key: std::ops::Range<usize>,
}

impl Literal {
    fn new(text: &str) -> Self {
        let part = ascii_part(text);
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        Self { text: text.as_bytes().to_vec(), key: start..start + part.len() }
    }

    /// Whether the literal may stand around its key, which stands at `at`. Bytes that folding may rewrite are given the
    /// benefit of the doubt.
    fn may_stand(&self, lower: &[u8], at: usize) -> bool {
        let Some(end) = lower.get(at..).and_then(|rest| rest.strip_prefix(&self.text[self.key.clone()]))
        else {
            return false;
        };
        let before = self.text[..self.key.start].iter().rev();
        let after = self.text[self.key.end..].iter();
        agree(before, lower[..at].iter().rev()) && agree(after, end.iter())
    }
}

/// Whether text reads as a literal goes on, as far as that is certain: it is not where something stands that is not
/// ASCII, or that is no printed character.
fn agree<'a>(literal: impl Iterator<Item = &'a u8>, text: impl Iterator<Item = &'a u8>) -> bool {
    let mut text = text.peekable();
    for expected in literal {
        match text.next() {
            Some(byte) if byte == expected => {}
            Some(b'\n') | None => return false,
            Some(byte) => return !byte.is_ascii() || byte.is_ascii_control(),
        }
        // A run of spaces is folded into one.
        while *expected == b' ' && text.next_if(|byte| **byte == b' ').is_some() {}
    }
    true
}

/// How lines look that a rule waits for, as bit tables over a hash: a stranger may slip in, nobody is left out.
struct Openings {
    /// The first [`HEAD`] bytes of all of them.
    heads: Table,
    /// Those of which no more, or one byte more, is certain.
    short: Table,
    /// Those of which five to seven bytes are, all of them.
    middle: Table,
    /// The first [`OPENING`] bytes of the others.
    long: Table,
    /// The last byte of the first word, and the first two behind the blank.
    joints: Table,
    /// The last bytes of first words.
    word_ends: [bool; 256],
    /// The first [`START`] bytes of the openings of which so many are certain, and the first [`HEAD`] of the others: what
    /// tells nearly all strangers in two looks.
    starts: Table,
    few: Table,
    /// How first words end, and what follows them.
    words: Vec<(Vec<u8>, Vec<u8>)>,
    /// How lines end, by their last byte.
    last_bytes: [bool; 256],
    ends: Vec<Vec<u8>>,
}

struct Table(Box<[u64; 512]>);

impl Table {
    fn new() -> Self {
        Self(Box::new([0; 512]))
    }

    /// Returns the key of the first `N` bytes, whatever the case of letters.
    #[inline(always)]
    fn key<const N: usize>(bytes: [u8; OPENING]) -> u64 {
        (u64::from_le_bytes(bytes) | 0x2020_2020_2020_2020) << (64 - 8 * N)
    }

    /// Returns the key of three bytes.
    #[inline(always)]
    fn head_key([a, b, c]: [u8; HEAD]) -> u64 {
        Self::key::<HEAD>([a, b, c, 0, 0, 0, 0, 0])
    }

    #[inline(always)]
    fn hash(key: u64) -> usize {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 49) as usize
    }

    fn insert(&mut self, key: u64) {
        let hash = Self::hash(key);
        self.0[hash / 64] |= 1 << (hash % 64);
    }

    #[inline(always)]
    fn contains(&self, key: u64) -> bool {
        let hash = Self::hash(key);
        self.0[hash / 64] >> (hash % 64) & 1 == 1
    }
}

impl Openings {
    fn new() -> Self {
        Self {
            heads: Table::new(),
            short: Table::new(),
            middle: Table::new(),
            long: Table::new(),
            joints: Table::new(),
            word_ends: [false; 256],
            starts: Table::new(),
            few: Table::new(),
            words: Vec::new(),
            last_bytes: [false; 256],
            ends: Vec::new(),
        }
    }

    /// Takes a certain beginning, of at least [`HEAD`] bytes.
    fn insert(&mut self, opening: &[u8]) {
        let mut bytes = [0; OPENING];
        let length = opening.len().min(OPENING);
        bytes[..length].copy_from_slice(&opening[..length]);
        self.heads.insert(Table::key::<HEAD>(bytes));
        match length {
            START.. => self.starts.insert(Table::key::<START>(bytes)),
            _ => self.few.insert(Table::key::<HEAD>(bytes)),
        }
        match length {
            OPENING => self.long.insert(Table::key::<OPENING>(bytes)),
            7 => self.middle.insert(Table::key::<7>(bytes)),
            6 => self.middle.insert(Table::key::<6>(bytes)),
            5 => self.middle.insert(Table::key::<5>(bytes)),
            _ => self.short.insert(Table::key::<HEAD>(bytes)),
        }
    }

    /// Whether one of the openings may begin with these bytes, of which so many count.
    #[inline(always)]
    fn has_opening(&self, bytes: [u8; OPENING], length: usize) -> bool {
        length >= HEAD
            && (self.short.contains(Table::key::<HEAD>(bytes))
                || (length >= 7 && self.middle.contains(Table::key::<7>(bytes)))
                || (length >= 6 && self.middle.contains(Table::key::<6>(bytes)))
                || (length >= 5 && self.middle.contains(Table::key::<5>(bytes)))
                || (length == OPENING && self.long.contains(Table::key::<OPENING>(bytes))))
    }

    /// Takes how a first word ends and what follows it.
    fn insert_word(&mut self, end: &[u8], next: &[u8]) {
        if let ([.., last], [one, two, ..]) = (end, next) {
            self.joints.insert(Table::head_key([*last, *one, *two]));
            self.word_ends[usize::from(*last)] = true;
            self.word_ends[usize::from(last.to_ascii_uppercase())] = true;
            self.words.push((end.to_vec(), next.to_vec()));
        }
    }

    /// Takes how a line ends.
    fn insert_end(&mut self, end: &[u8]) {
        if let Some(last) = end.last() {
            self.last_bytes[usize::from(*last)] = true;
            self.last_bytes[usize::from(last.to_ascii_uppercase())] = true;
            self.ends.push(end.to_vec());
        }
    }

    /// Whether a line with these words of its own has one of the forms. `high`: whether there may be a byte in it that
    /// is not ASCII.
    #[inline]
    fn has_form(&self, words: &[u8], high: bool) -> bool {
        self.may_open(words, high) || self.may_go_on(words, high) || self.may_end(words, high)
    }

    /// Whether a line of printable ASCII has none of the forms, nor may be JSON, as far as a quick look can tell: false if
    /// it takes more to say, as it does of short lines and of what is oddly spaced.
    #[inline(always)]
    fn is_strange_to(&self, line: &[u8]) -> bool {
        let Some(mut spaces) = Spaces::read(line, 0) else { return false };
        let mut at = spaces.bits.trailing_ones() as usize;
        if at > MOST_INDENT {
            return false;
        }
        spaces.bits >>= at;
        if !plain::begins_with_words([line[at], line[at + 1]]) {
            if line[at] == b'{' || line[at] == b'[' && Documents::may_be_array(line, at) {
                return false;
            }
            let words = plain::own_words(line, at);
            if words != at {
                let Some(fresh) = Spaces::read(line, words) else { return false };
                (spaces, at) = (fresh, words);
            }
        }
        let words = &line[at..];
        let Some(head) = spaces.fold_head(words) else { return false };
        let opens =
            self.starts.contains(Table::key::<START>(head)) | self.few.contains(Table::key::<HEAD>(head));
        let goes_on = match spaces.joint(words) {
            Joint::None => false,
            Joint::Bytes(joint) => self.joints.contains(Table::head_key(joint)),
            Joint::Unclear => true,
        };
        let ends = words.last().is_none_or(|last| self.last_bytes[usize::from(*last)]);
        !(opens | goes_on | ends)
    }

    /// Whether words may begin as one of the openings does.
    #[inline]
    fn may_open(&self, words: &[u8], high: bool) -> bool {
        // Most lines end here.
        if let Some(head) = words.first_chunk::<HEAD>()
            && (head[0] | head[1] | head[2]).is_ascii()
            && !(head[1] == b' ' && head[2] == b' ')
            && !self.heads.contains(Table::head_key(*head))
        {
            return false;
        }
        if let Some(opening) = words.first_chunk::<OPENING>()
            && is_plain(u64::from_le_bytes(*opening))
        {
            return self.has_opening(*opening, OPENING);
        }
        self.does_open(words, high)
    }

    #[inline(never)]
    fn does_open(&self, words: &[u8], high: bool) -> bool {
        let front = &words[..words.len().min(FRONT)];
        if high && fold::may_change(front) {
            return self.does_open_folded(fold::fold_lower(&String::from_utf8_lossy(front)).as_bytes());
        }
        self.does_open_folded(words)
    }

    fn does_open_folded(&self, words: &[u8]) -> bool {
        let mut opening = [0; OPENING];
        let (mut length, mut before) = (0, 0);
        for byte in words {
            // A run of spaces is folded into one.
            if (*byte, before) == (b' ', b' ') {
                continue;
            }
            // No opening goes on with what is not ASCII.
            if !byte.is_ascii() || length == OPENING {
                break;
            }
            before = *byte;
            opening[length] = *byte;
            length += 1;
        }
        self.has_opening(opening, length)
    }

    /// Whether the first word may end, and the next begin, as one of the pairs does.
    #[inline]
    fn may_go_on(&self, words: &[u8], high: bool) -> bool {
        let blank = first_blank(words);
        if high && fold::may_change(&words[..words.len().min(blank + JOINT)]) {
            let front = String::from_utf8_lossy(&words[..words.len().min(LOOK_AT)]);
            return self.does_go_on(fold::fold_lower(&front).as_bytes());
        }
        let ([.., last], [_, one, two, ..]) = words.split_at(blank) else { return false };
        // Most lines end here.
        self.word_ends[usize::from(*last)]
            && (*one == b' ' || self.joints.contains(Table::head_key([*last, *one, *two])))
            && self.does_go_on(words)
    }

    #[inline(never)]
    fn does_go_on(&self, words: &[u8]) -> bool {
        let (word, rest) = words.split_at(first_blank(words));
        let rest = rest.trim_ascii_start();
        let ([.., last], [one, two, ..]) = (word, rest) else { return false };
        self.joints.contains(Table::head_key([*last, *one, *two]))
            && self.words.iter().any(|(end, next)| reads_back(word, end) && reads(rest, next))
    }

    /// Whether the line may end as one of the ends.
    #[inline]
    fn may_end(&self, words: &[u8], high: bool) -> bool {
        let Some(last) = words.last() else { return false };
        if !self.last_bytes[usize::from(*last)] && (last.is_ascii() || !high) {
            return false;
        }
        self.does_end(words, high)
    }

    #[inline(never)]
    fn does_end(&self, words: &[u8], high: bool) -> bool {
        let tail = &words[words.len().saturating_sub(TAIL)..];
        let ends = |text: &[u8]| self.ends.iter().any(|end| reads_back(text, end));
        if high && fold::may_change(tail) {
            return ends(fold::fold_lower(&String::from_utf8_lossy(tail)).as_bytes());
        }
        ends(words)
    }
}

/// How many bytes of an opening are looked at first.
const START: usize = 6;

/// How far a line may be indented for the quick look: so that enough of its words is seen.
const MOST_INDENT: usize = 12;

/// Where the blanks are in a stretch of a line, a bit a byte.
#[derive(Clone, Copy)]
struct Spaces {
    bits: u32,
}

/// What stands around the blank behind the first word.
enum Joint {
    /// There is none, or nothing behind it.
    None,
    /// The last byte in front and the first two behind.
    Bytes([u8; HEAD]),
    /// The blanks are more than were looked at.
    Unclear,
}

impl Spaces {
    #[inline(always)]
    fn read(line: &[u8], at: usize) -> Option<Self> {
        let stretch: &[u8; 32] = line.get(at..)?.first_chunk()?;
        let [front, back] = stretch.as_chunks::<16>().0 else { return None };
        let blanks = |part: &[u8; 16]| u8x16::new(*part).simd_eq(u8x16::splat(b' ')).to_bitmask();
        Some(Self { bits: blanks(front) | blanks(back) << 16 })
    }

    /// Returns the first bytes of words that begin where the stretch does, runs of blanks folded into one; `None` if there
    /// is more than one run, or too long a one.
    #[inline(always)]
    fn fold_head(self, words: &[u8]) -> Option<[u8; OPENING]> {
        let head = *words.first_chunk::<OPENING>()?;
        let runs = self.bits & (self.bits >> 1) & ((1 << (START - 1)) - 1);
        if runs == 0 {
            return Some(head);
        }
        let kept = runs.trailing_zeros() + 1;
        let behind = (kept - 1 + (self.bits >> (kept - 1)).trailing_ones()) as usize;
        let rest = u64::from_le_bytes(*words.get(behind..)?.first_chunk()?);
        let folded = u64::from_le_bytes(head) & ((1 << (8 * kept)) - 1) | rest << (8 * kept);
        (is_plain(folded)).then_some(folded.to_le_bytes())
    }

    /// Returns what stands around the first blank of words that begin where the stretch does.
    #[inline(always)]
    fn joint(self, words: &[u8]) -> Joint {
        let (blank, next) = if self.bits != 0 {
            let blank = self.bits.trailing_zeros();
            (blank as usize, (blank + (self.bits >> blank).trailing_ones()) as usize)
        } else {
            let Some(blank) = memchr::memchr(b' ', words) else { return Joint::None };
            (blank, blank + 1)
        };
        match (words.get(..blank), words.get(next..)) {
            (_, Some([b' ', ..])) => Joint::Unclear,
            (Some([.., last]), Some([one, two, ..])) => Joint::Bytes([*last, *one, *two]),
            _ => Joint::None,
        }
    }
}

/// Whether eight bytes are ASCII, no two blanks next to each other: folding changes nothing of them.
#[inline(always)]
fn is_plain(bytes: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let blank = bytes ^ (ONES * b' ' as u64);
    // The highest bit of each blank (and perhaps of what stands behind one).
    let blanks = blank.wrapping_sub(ONES) & !blank & (ONES << 7);
    bytes & (ONES << 7) == 0 && blanks & (blanks << 8) == 0
}

/// How many bytes at the front of a line's own words can matter: more than an opening has, for what is invisible.
const FRONT: usize = 256;

/// How many bytes behind the first word can matter: more than `forms` looks at, for blanks and what is invisible.
const JOINT: usize = 40;

/// How many bytes can matter at the end of a line.
const TAIL: usize = 80;

/// Returns where the first blank is, or the end.
#[inline]
fn first_blank(words: &[u8]) -> usize {
    if let Some(front) = words.first_chunk() {
        let blanks = u8x16::new(*front).simd_eq(u8x16::splat(b' ')).to_bitmask();
        if blanks != 0 {
            return blanks.trailing_zeros() as usize;
        }
    }
    memchr::memchr(b' ', words).unwrap_or(words.len())
}

/// Whether a text begins as a literal in lower case does. A run of spaces counts as one.
fn reads(text: &[u8], literal: &[u8]) -> bool {
    agree_exactly(literal.iter(), text.iter())
}

/// Whether a text ends as a literal in lower case does.
fn reads_back(text: &[u8], literal: &[u8]) -> bool {
    agree_exactly(literal.iter().rev(), text.iter().rev())
}

fn agree_exactly<'a>(literal: impl Iterator<Item = &'a u8>, text: impl Iterator<Item = &'a u8>) -> bool {
    let mut text = text.peekable();
    for expected in literal {
        if text.next().is_none_or(|byte| byte.to_ascii_lowercase() != *expected) {
            return false;
        }
        while *expected == b' ' && text.next_if(|byte| **byte == b' ').is_some() {}
    }
    true
}

impl Scanner {
    /// Builds the scanner for these rules, and for further openings (lower-case ASCII) that the caller waits for.
    pub fn new(rules: &Rules, further_openings: &[&str]) -> Self {
        let mut openings = Openings::new();
        let mut anywhere: BTreeSet<String> = BTreeSet::new();
        let spoken =
            ["error: ", "exception: ", "fatal: ", "fatal ", "unexpected ", "unhandled ", "uncaught "];
        debug_assert!(spoken.iter().all(|word| SPOKEN_LEVEL.contains(word.trim_end_matches([' ', ':']))));
        for word in spoken.iter().chain(further_openings) {
            openings.insert(word.as_bytes());
        }
        for (pattern, stems) in rules.line_patterns() {
            let forms = forms::of(pattern, stems);
            forms.heads.iter().for_each(|head| openings.insert(head.as_bytes()));
            forms.words.iter().for_each(|(end, next)| openings.insert_word(end.as_bytes(), next.as_bytes()));
            forms.ends.iter().for_each(|end| openings.insert_end(end.as_bytes()));
            anywhere.extend(forms.anywhere);
        }
        let anywhere = Anywhere::new(anywhere.iter().map(String::as_str)).map(Arc::new);
        Self { openings: Arc::new(openings), anywhere, lower: Vec::new() }
    }

    /// Calls `each` with the position of every literal in the block, in order.
    pub fn hits(&mut self, block: &[u8], mut each: impl FnMut(usize)) {
        let Some(anywhere) = &self.anywhere else { return };
        let mut start = 0;
        while start < block.len() {
            // Whole lines, as many as stay in the processor's nearest cache; a longer line by itself.
            let rest = &block[start..];
            let window = match rest.get(..WINDOW).map(|window| memchr::memrchr(b'\n', window)) {
                None => rest,
                Some(Some(end)) => &rest[..=end],
                Some(None) => &rest[..memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)],
            };
            self.lower.clear();
            self.lower.extend_from_slice(window);
            self.lower.make_ascii_lowercase();
            // What is invisible may stand inside a key. Ordinary text has nothing of it, and costs one look.
            let mut unseen = invisible(&self.lower).peekable();
            let mut from = 0;
            while let Some(at) = anywhere.keys.find(&self.lower, from) {
                while let Some(unseen) = unseen.next_if(|unseen| *unseen < at) {
                    each(start + unseen);
                }
                if anywhere.literals.iter().any(|literal| literal.may_stand(&self.lower, at)) {
                    each(start + at);
                }
                from = at + 1;
            }
            unseen.for_each(|unseen| each(start + unseen));
            start += window.len();
        }
    }

    /// Returns whether a line has the form of one that may concern a rule.
    pub fn has_form(&self, line: &[u8]) -> bool {
        self.has_form_behind(line, plain::indent(line), true)
    }

    /// As [`Self::has_form`], for a line that begins with so many blanks. `high`: whether there may be a byte in it that
    /// is not ASCII.
    #[inline]
    pub(in crate::engine) fn has_form_behind(&self, line: &[u8], indent: usize, high: bool) -> bool {
        self.openings.has_form(&line[plain::own_words(line, indent)..], high)
    }

    /// Whether a line of printable ASCII is surely neither JSON nor has the form of one that may concern a rule. False says
    /// nothing.
    #[inline(always)]
    pub(in crate::engine) fn is_nobodys(&self, line: &[u8]) -> bool {
        self.openings.is_strange_to(line)
    }

    /// Returns whether a line may concern a rule: it has the form of one that may, or holds one of the literals.
    pub fn is_candidate(&mut self, line: &[u8]) -> bool {
        self.has_form(line) || {
            let mut hit = false;
            self.hits(line, |_| hit = true);
            hit
        }
    }
}

/// Returns where something stands that folding leaves out.
fn invisible(window: &[u8]) -> impl Iterator<Item = usize> {
    static SEARCHER: LazyLock<packed::Searcher> = LazyLock::new(|| {
        let characters = INVISIBLE.into_iter().flatten().map(String::from);
        packed::Config::new().builder().extend(characters).build().expect("a few short literals are searched")
    });
    // Pieces of which all bytes are looked at: faster than to stop at the first that is not ASCII.
    let ascii = window.chunks(256).all(|piece| piece.iter().fold(0, |all, byte| all | byte).is_ascii());
    let any = (!ascii).then(|| SEARCHER.find_iter(window));
    any.into_iter().flatten().map(|found| found.start())
}

/// What the pre-scan has to keep for the patterns of some rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Heads, ends, and (with what follows) ends of first words.
    openings: BTreeSet<(String, String)>,
    anywhere: BTreeSet<String>,
}

impl Load {
    /// Returns what these rules load it with.
    pub fn of(rules: &Rules) -> Self {
        let mut load = Self::default();
        rules.line_patterns().for_each(|(pattern, stems)| load.add(pattern, stems));
        load
    }

    /// Adds a pattern for plain lines.
    pub(super) fn add(&mut self, pattern: &str, stems: &[String]) {
        let forms = forms::of(pattern, stems);
        self.openings.extend(forms.heads.into_iter().map(|head| (head, String::new())));
        self.openings.extend(forms.ends.into_iter().map(|end| (String::new(), end)));
        self.openings.extend(forms.words);
        self.anywhere.extend(forms.anywhere);
    }

    /// Returns how many beginnings and ends of lines are looked up.
    pub fn openings(&self) -> usize {
        self.openings.len()
    }

    /// Returns how many literals are searched in every line.
    pub fn anywhere(&self) -> usize {
        self.anywhere.len()
    }
}

/// The longest part of a stem that typography cannot change: what `fold` would rewrite may stand in the raw line
/// in another form.
pub(super) fn ascii_part(stem: &str) -> &str {
    stem.split(|c: char| !c.is_ascii() || matches!(c, '\'' | '-' | ' '))
        .flat_map(|part| part.split("..."))
        .max_by_key(|part| part.len())
        .unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn typography_and_prefixes_do_not_hide_a_candidate() {
        let mut scanner = Scanner::new(&Rules::built_in(), &[]);
        for line in [
            "You’ve hit your limit ∙ resets 3pm",
            "API Error: 529",
            "LITELLM.RateLimitError: x",
            "[2026-01-01 10:00:00 ERROR] Credit balance is too low",
            "> litellm.Timeout: x",
        ] {
            assert!(scanner.is_candidate(line.as_bytes()), "{line}");
        }
        for line in ["downloaded 3 crates", "Jun 14 15:16:01 combo sshd[19939]: x", "", "ab", "{ }"] {
            assert!(!scanner.is_candidate(line.as_bytes()), "{line}");
        }
    }

    /// A scanner for literals that may stand anywhere, and nothing else.
    fn searching(literals: &[&str]) -> Scanner {
        let anywhere = Anywhere::new(literals.iter().copied()).map(Arc::new);
        Scanner { openings: Arc::new(Openings::new()), anywhere, lower: Vec::new() }
    }

    #[test]
    fn a_word_of_a_literal_is_not_the_literal() {
        let mut scanner =
            searching(&["when calling the", "allocation failed - javascript heap out of memory"]);
        for (line, candidate) in [
            ("zz An error occurred (ThrottlingException) when calling the ConverseStream operation", true),
            ("zz an error occurred (X) when  calling the Y operation", true),
            ("zz an error occurred (X) when\u{a0}calling\u{a0}the Y operation", true),
            ("zz nothing calling (X)", false),
            ("1234: FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", true),
            ("1234: out of memory in javascript", false),
        ] {
            assert_eq!(scanner.is_candidate(line.as_bytes()), candidate, "{line}");
        }
    }

    /// Whether a line has one of the forms, asked of each and not of tables, which let a stranger slip in.
    fn has_form_of_a_rule(line: &str) -> bool {
        let own = &line.as_bytes()[plain::prefix(line.as_bytes()).end..];
        let words = fold::fold_lower(&String::from_utf8_lossy(own));
        let (word, rest) = words.split_once(' ').unwrap_or((words.as_str(), ""));
        Rules::built_in().line_patterns().any(|(pattern, stems)| {
            let forms = forms::of(pattern, stems);
            let goes_on = |(end, next): &(String, String)| {
                word.ends_with(end.as_str()) && rest.starts_with(next.as_str())
            };
            forms.heads.iter().any(|head| words.starts_with(head.as_str()))
                || forms.words.iter().any(goes_on)
                || forms.ends.iter().any(|end| words.ends_with(end.as_str()))
        })
    }

    proptest! {
        #[test]
        fn a_quick_look_passes_over_nothing_that_has_a_form(
            indent in " {0,5}",
            stamp in "(2026-11-20[T ]05:00:0[0-9]([.,]123)?Z?[ ,]{0,2})?",
            front in "(|ERROR |INFO |\\[warn\\] |\\[|> |- |\\+ {1,9})",
            words in "(api error: |rate limit |error:  |[a-z.]{0,5}error:  ?|[a-z: ]{0,12})",
            more in "(an error occurred |[ a-z]{0,20})",
            back in "([ a-zA-Z.]{0,60}|[a-z ]{0,40}heap  ?out of memory)",
        ) {
            let scanner = Scanner::new(&Rules::built_in(), &[]);
            let line = format!("{indent}{stamp}{front}{words}{more}{back}");
            prop_assert!(!(scanner.is_nobodys(line.as_bytes()) && has_form_of_a_rule(&line)), "{line}");
        }
    }

    #[test]
    fn a_quick_look_is_enough_for_most_lines() {
        let scanner = Scanner::new(&Rules::built_in(), &[]);
        for line in [
            "  - router: session now says where it stopped, and the list is sorted (56520)",
            "   Compiling parser-schema v0.72.3 (crates/parser/schema)",
            "[ 49%] Building object schema.dir/router_93676.o with the default settings",
            "2026-11-20T05:00:05.231Z  INFO billing: ledger took 72231 us, 12 rows written",
            "   25688  session      ledger        25.69 %  passed through without a change",
            "+    pub fn cart(&mut self, worker: &str) -> Option<usize> { self.worker.get(9173) }",
            "src/ledger/session.rs:765:    let session = ledger.lookup(&key, 89865)?;",
            "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok /etc/httpd/conf/workers2.properties",
        ] {
            assert!(scanner.is_nobodys(line.as_bytes()), "{line}");
        }
        for line in [
            "API Error: 529 Overloaded, and so on and so forth",
            "  > API  Error: 529 Overloaded, and so on and so forth",
            "2026-11-20T05:00:05.231Z ERROR client: API Error: 529 Overloaded, and so on",
            "{\"type\":\"error\",\"message\":\"it is broken\"}",
            "[{\"type\":\"error\",\"message\":\"it is broken\"}]",
        ] {
            assert!(!scanner.is_nobodys(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_line_is_known_by_its_first_word_and_by_its_end() {
        let mut scanner = Scanner::new(&Rules::built_in(), &[]);
        for (line, candidate) in [
            ("my.errors.ThrottlingException: An error occurred (X) when calling the Y operation", true),
            ("my.errors.ThrottlingException:  an  ERROR occurred (X) when", true),
            ("my.errors.Throttling\u{200b}Exception: an error occurred (X)", true),
            ("my.errors.ThrottlingException:\u{a0}an error occurred (X)", true),
            ("my.errors.ThrottlingException: nothing occurred (X)", false),
            ("✓ exception: an error occurred (X)", false),
            ("./run.sh: line 14: 4242 Killed                  claude -p hello", true),
            (
                "[1:0x1] 90 ms: FATAL: Reached heap limit Allocation failed - JavaScript  heap out of memory",
                true,
            ),
            ("[1:0x1] 90 ms: FATAL: Allocation failed - JavaScript heap out of memory\u{200b}", true),
            ("[1:0x1] 90 ms: it was not out of memory", false),
        ] {
            assert_eq!(scanner.is_candidate(line.as_bytes()), candidate, "{line}");
        }
    }

    #[test]
    fn literals_are_found_also_where_the_fast_search_is_not_to_be_had() {
        // More than it takes: as on a processor that it does not know.
        let literals: Vec<String> = (0..100).map(|n| format!("word{n:03}")).collect();
        let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
        let mut scanner = searching(&literals);
        let keys = scanner.anywhere.as_deref().map(|anywhere| &anywhere.keys);
        assert!(matches!(keys, Some(Keys::Automaton(_))));
        assert!(scanner.is_candidate(b"it says Word099 here"));
        assert!(!scanner.is_candidate(b"it says nothing"));
    }
}
