//! The pre-scan for plain text: which lines can concern any rule at all.
//!
//! Rules for plain lines are anchored where a line's own words begin, so a line is decided by how it opens: the first
//! six bytes of its words are looked up in small tables made from the rules' patterns. The few patterns that have
//! no certain opening name literals instead, and those are searched in the whole block. What passes goes on to the
//! exact rules; the result is the same as asking every rule about every line, and a property test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, packed};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind};

use super::fold::INVISIBLE;
use super::rules::{Rules, SPOKEN_LEVEL};
use crate::engine::format::plain;
use crate::engine::json;

/// How many bytes of a line's own words are looked at first.
const HEAD: usize = 3;

/// How many are looked at where the head is one that a rule waits for.
const OPENING: usize = 6;

/// How many literals may be searched anywhere in a line: above that, the search leaves the processor's fast path.
pub const ANYWHERE_LIMIT: usize = 64;

/// How many openings all patterns together may have: above that, the table lets too many strangers through.
pub const OPENINGS_LIMIT: usize = 2000;

/// How many bytes are lower-cased and searched at a time.
const WINDOW: usize = 16 << 10;

/// How long the searched part of a pattern's own literal is at least, in bytes.
const KEY_MIN: usize = 5;

/// How many openings a single pattern may have.
const OPENINGS_PER_PATTERN: usize = 200;

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

/// How lines open that a rule waits for, as bit tables over a hash: a stranger may slip in, nobody is left out.
struct Openings {
    /// The first [`HEAD`] bytes of all of them.
    heads: Table,
    /// Those of which no more is certain.
    short: Table,
    /// The first [`OPENING`] bytes of the others.
    long: Table,
}

struct Table([u64; 1024]);

impl Table {
    fn hash(bytes: &[u8]) -> usize {
        let key = bytes.iter().fold(0u64, |key, byte| key << 8 | u64::from(*byte));
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
    }

    fn insert(&mut self, bytes: &[u8]) {
        let hash = Self::hash(bytes);
        self.0[hash / 64] |= 1 << (hash % 64);
    }

    fn contains(&self, bytes: &[u8]) -> bool {
        let hash = Self::hash(bytes);
        self.0[hash / 64] >> (hash % 64) & 1 == 1
    }
}

impl Openings {
    fn new() -> Self {
        let empty = || Table([0; 1024]);
        Self { heads: empty(), short: empty(), long: empty() }
    }

    /// Takes a certain beginning, of at least [`HEAD`] bytes.
    fn insert(&mut self, opening: &[u8]) {
        self.heads.insert(&opening[..HEAD]);
        match opening.get(..OPENING) {
            Some(long) => self.long.insert(long),
            None => self.short.insert(&opening[..HEAD]),
        }
    }

    /// Whether words may begin as one of the openings does.
    fn may_open(&self, words: &[u8]) -> bool {
        // Most lines end here.
        if let [one, two, three, ..] = words
            && (one | two | three).is_ascii()
            && *two != b' '
            && !self.heads.contains(&[one, two, three].map(u8::to_ascii_lowercase))
        {
            return false;
        }
        let mut opening = [0; OPENING];
        let (mut length, mut before) = (0, 0);
        for byte in words {
            // What is not ASCII may be folded into something else: only as far as here is certain.
            if !byte.is_ascii() {
                return length < HEAD || self.heads.contains(&opening[..HEAD]);
            }
            // A run of spaces is folded into one.
            if (*byte, before) == (b' ', b' ') {
                continue;
            }
            before = *byte;
            opening[length] = byte.to_ascii_lowercase();
            length += 1;
            if length == HEAD && !self.heads.contains(&opening[..HEAD]) {
                return false;
            }
            if length == OPENING {
                break;
            }
        }
        length >= HEAD
            && (self.short.contains(&opening[..HEAD]) || (length == OPENING && self.long.contains(&opening)))
    }
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
            match pattern_openings(pattern) {
                Some(found) => found.iter().for_each(|opening| openings.insert(opening.as_bytes())),
                None => anywhere.extend(pattern_literals(pattern, stems)),
            }
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

    /// Returns whether a line opens as one that may concern a rule.
    pub fn opens(&self, line: &[u8]) -> bool {
        let indent = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = match &line[indent..] {
            // Neither a mark, nor a time stamp, nor a level, which are in capitals: the common case.
            [b'a'..=b'z', ..] | [b'A'..=b'Z', b'a'..=b'z', ..] => indent,
            _ => plain::prefix(line).end,
        };
        self.openings.may_open(&line[start..])
    }

    /// Returns whether a line may concern a rule: it opens so, or holds one of the literals.
    pub fn is_candidate(&mut self, line: &[u8]) -> bool {
        self.opens(line) || {
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
    openings: BTreeSet<String>,
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
        match pattern_openings(pattern) {
            Some(openings) => self.openings.extend(openings),
            None => self.anywhere.extend(pattern_literals(pattern, stems)),
        }
    }

    /// Returns how many openings are looked up.
    pub fn openings(&self) -> usize {
        self.openings.len()
    }

    /// Returns how many literals are searched in every line.
    pub fn anywhere(&self) -> usize {
        self.anywhere.len()
    }
}

/// How the patterns of the built-in rules open: what [`compute_openings`] says of them, worked out beforehand because it
/// takes most of the time that the program needs to start. A test says when it is stale, and writes it.
const BUILT_IN_OPENINGS: &str = include_str!("openings.json");

/// Returns how everything begins that a pattern can match ([`OPENING`] bytes where so many are certain), or `None` if
/// that is not certain.
fn pattern_openings(pattern: &str) -> Option<Vec<String>> {
    static BUILT_IN: OnceLock<Memo> = OnceLock::new();
    let memo =
        BUILT_IN.get_or_init(|| json::from_str(BUILT_IN_OPENINGS).expect("a file that the tests load"));
    memo.get(pattern).cloned().unwrap_or_else(|| compute_openings(pattern))
}

/// By pattern: how it opens.
type Memo = BTreeMap<String, Option<Vec<String>>>;

fn compute_openings(pattern: &str) -> Option<Vec<String>> {
    let hir = ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern).ok()?;
    let literals = Extractor::new()
        .kind(ExtractKind::Prefix)
        .limit_total(OPENINGS_PER_PATTERN)
        .limit_literal_len(OPENING)
        .limit_class(40)
        .extract(&hir);
    let openings = literals.literals()?.iter().map(|literal| {
        // What is not ASCII is not looked up.
        let ascii = literal.as_bytes().iter().take_while(|byte| byte.is_ascii());
        let opening: String = ascii.map(|byte| char::from(*byte)).collect();
        (opening.len() >= HEAD).then_some(opening)
    });
    openings.collect()
}

/// Returns literals of which one stands in every text that a pattern can match: its own where it has one that is long
/// enough, else the stems of its rule.
fn pattern_literals(pattern: &str, stems: &[String]) -> Vec<String> {
    let hir = ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern).ok();
    hir.as_ref().and_then(required).unwrap_or_else(|| stems.to_vec())
}

/// Returns literals of which one stands in everything that this matches, or `None` if there is none worth searching.
fn required(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = String::from_utf8(literal.0.to_vec()).ok()?;
            (ascii_part(&text).len() >= KEY_MIN).then(|| vec![text])
        }
        HirKind::Capture(group) => required(&group.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => required(&repeated.sub),
        HirKind::Concat(parts) => parts
            .iter()
            .filter_map(required)
            .max_by_key(|literals| literals.iter().map(|text| ascii_part(text).len()).min()),
        HirKind::Alternation(ways) => {
            ways.iter().map(required).collect::<Option<Vec<_>>>().map(|ways| ways.concat())
        }
        _ => None,
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

    #[test]
    fn the_openings_worked_out_beforehand_are_those_of_the_built_in_rules() {
        let rules = Rules::built_in();
        let memo: Memo = rules
            .line_patterns()
            .map(|(pattern, _)| (pattern.to_owned(), compute_openings(pattern)))
            .collect();
        let fresh = serde_json::to_string_pretty(&memo).unwrap() + "\n";
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/classify/openings.json");
            std::fs::write(path, &fresh).unwrap();
        } else {
            assert!(
                fresh == BUILT_IN_OPENINGS,
                "openings.json is stale: UPDATE_EXPECT=1 cargo test --lib openings"
            );
        }
    }

    #[test]
    fn a_word_of_a_literal_is_not_the_literal() {
        let mut scanner = Scanner::new(&Rules::built_in(), &[]);
        for (line, candidate) in [
            ("zz An error occurred (ThrottlingException) when calling the ConverseStream operation", true),
            ("zz an error  occurred (X) when  calling the Y operation", true),
            ("zz an\u{a0}error\u{a0}occurred (X) when calling\u{a0}the Y operation", true),
            ("zz nothing occurred (X)", false),
            ("zz an error occurred", false),
            ("1234: FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", true),
            ("1234: out of memory", false),
        ] {
            assert_eq!(scanner.is_candidate(line.as_bytes()), candidate, "{line}");
        }
    }

    #[test]
    fn literals_are_found_also_where_the_fast_search_is_not_to_be_had() {
        // More than it takes: as on a processor that it does not know.
        let literals: Vec<String> = (0..100).map(|n| format!("word{n:03}")).collect();
        let anywhere = Anywhere::new(literals.iter().map(String::as_str)).map(Arc::new);
        assert!(anywhere.as_deref().is_some_and(|anywhere| matches!(anywhere.keys, Keys::Automaton(_))));
        let mut scanner = Scanner { openings: Arc::new(Openings::new()), anywhere, lower: Vec::new() };
        assert!(scanner.is_candidate(b"it says Word099 here"));
        assert!(!scanner.is_candidate(b"it says nothing"));
    }

    #[test]
    fn the_literals_that_may_stand_anywhere_stay_few() {
        let rules = Rules::built_in();
        let unbound: Vec<&str> = rules
            .line_patterns()
            .map(|(pattern, _)| pattern)
            .filter(|pattern| pattern_openings(pattern).is_none())
            .collect();
        assert!(unbound.len() <= 8, "{unbound:#?}");
        let anywhere = Scanner::new(&rules, &[]).anywhere.unwrap();
        assert!(matches!(&anywhere.keys, Keys::Packed(searcher) if searcher.minimum_len() > 0));
    }
}
