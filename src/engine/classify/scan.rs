//! The pre-scan for plain text: which lines can concern any rule at all.
//!
//! Rules for plain lines are anchored where a line's own words begin, so a line is decided by how it opens: the first
//! six bytes of its words are looked up in small tables made from the rules' patterns. The few patterns that have
//! no certain opening name literals instead, and those are searched in the whole block. What passes goes on to the
//! exact rules; the result is the same as asking every rule about every line, and a property test says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, packed};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use super::rules::{Rules, SPOKEN_LEVEL};
use crate::engine::format::plain;

/// How many bytes of a line's own words are looked at first.
const HEAD: usize = 3;

/// How many are looked at where the head is one that a rule waits for.
const OPENING: usize = 6;

/// How many literals may be searched anywhere in a line: above that, the search leaves the processor's fast path.
pub const ANYWHERE_LIMIT: usize = 64;

/// How many openings all patterns together may have: above that, the table lets too many strangers through.
pub const OPENINGS_LIMIT: usize = 2000;

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

/// Finds literals in a block.
enum Anywhere {
    /// With the processor's vectors.
    Packed(packed::Searcher),
    /// Where the processor has none, or the literals are too many for them.
    Automaton(AhoCorasick),
}

impl Anywhere {
    fn new(literals: &[&str]) -> Option<Self> {
        if literals.is_empty() {
            return None;
        }
        let packed = packed::Config::new().builder().extend(literals).build().map(Self::Packed);
        packed.or_else(|| AhoCorasick::new(literals).ok().map(Self::Automaton))
    }
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

struct Table([u64; 256]);

impl Table {
    fn hash(bytes: &[u8]) -> usize {
        let key = bytes.iter().fold(0u64, |key, byte| key << 8 | u64::from(*byte));
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as usize
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
        Self { heads: Table([0; 256]), short: Table([0; 256]), long: Table([0; 256]) }
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
        let mut anywhere: Vec<&str> = Vec::new();
        let spoken =
            ["error: ", "exception: ", "fatal: ", "fatal ", "unexpected ", "unhandled ", "uncaught "];
        debug_assert!(spoken.iter().all(|word| SPOKEN_LEVEL.contains(word.trim_end_matches([' ', ':']))));
        for word in spoken.iter().chain(further_openings) {
            openings.insert(word.as_bytes());
        }
        for (pattern, stems) in rules.line_patterns() {
            match pattern_openings(pattern) {
                Some(found) => found.iter().for_each(|opening| openings.insert(opening)),
                None => anywhere.extend(stems.iter().map(|stem| ascii_part(stem))),
            }
        }
        anywhere.sort_unstable();
        anywhere.dedup();
        let searcher = Anywhere::new(&anywhere);
        Self { openings: Arc::new(openings), anywhere: searcher.map(Arc::new), lower: Vec::new() }
    }

    /// Calls `each` with the position of every literal in the block, in order.
    pub fn hits(&mut self, block: &[u8], mut each: impl FnMut(usize)) {
        let Some(searcher) = &self.anywhere else { return };
        self.lower.clear();
        self.lower.extend_from_slice(block);
        self.lower.make_ascii_lowercase();
        match searcher.as_ref() {
            Anywhere::Packed(searcher) => {
                searcher.find_iter(&self.lower).for_each(|found| each(found.start()))
            }
            Anywhere::Automaton(searcher) => {
                searcher.find_iter(&self.lower).for_each(|found| each(found.start()));
            }
        }
    }

    /// Returns whether a line opens as one that may concern a rule.
    pub fn opens(&self, line: &[u8]) -> bool {
        let start = match line.first() {
            // Words at the very start: the common case.
            Some(b'a'..=b'z') => 0,
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

/// What the pre-scan has to keep for the patterns of some rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    openings: BTreeSet<Vec<u8>>,
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
            None => self.anywhere.extend(stems.iter().map(|stem| ascii_part(stem).to_owned())),
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

/// Returns how everything begins that a pattern can match ([`OPENING`] bytes where so many are certain), or `None` if
/// that is not certain.
fn pattern_openings(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern).ok()?;
    let literals = Extractor::new()
        .kind(ExtractKind::Prefix)
        .limit_total(OPENINGS_PER_PATTERN)
        .limit_literal_len(OPENING)
        .limit_class(40)
        .extract(&hir);
    let openings = literals.literals()?.iter().map(|literal| literal.as_bytes().to_vec());
    openings.map(|opening| (opening.len() >= HEAD && opening[..HEAD].is_ascii()).then_some(opening)).collect()
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
    fn literals_are_found_also_where_the_fast_search_is_not_to_be_had() {
        // More than it takes: as on a processor that it does not know.
        let literals: Vec<String> = (0..100).map(|n| format!("word{n:03}")).collect();
        let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
        let searcher = Anywhere::new(&literals).map(Arc::new);
        assert!(searcher.as_deref().is_some_and(|searcher| matches!(searcher, Anywhere::Automaton(_))));
        let mut scanner =
            Scanner { openings: Arc::new(Openings::new()), anywhere: searcher, lower: Vec::new() };
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
        let searcher = Scanner::new(&rules, &[]).anywhere.unwrap();
        assert!(matches!(&*searcher, Anywhere::Packed(searcher) if searcher.minimum_len() > 0));
    }
}
