//! The pre-scan for plain text: which lines can concern any rule at all.
//!
//! Rules for plain lines are anchored where a line's own words begin, so a line is decided by how it opens: the first
//! three bytes of its words are looked up in a small table made from the rules' patterns. The few patterns that have
//! no certain opening name literals instead, and those are searched in the whole block. What passes goes on to the
//! exact rules; the result is the same as asking every rule about every line, and a property test says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::packed;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use super::rules::{Rules, SPOKEN_LEVEL};
use crate::engine::format::plain;

/// How many bytes of a line's own words decide.
const OPENING: usize = 3;

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
    anywhere: Option<Arc<packed::Searcher>>,
    lower: Vec<u8>,
}

/// A set of three-byte openings, as a bit table over a hash: a stranger may slip in, nobody is left out.
struct Openings([u64; 1024]);

impl Openings {
    fn hash(opening: [u8; OPENING]) -> usize {
        let key = u32::from_le_bytes([opening[0], opening[1], opening[2], 0]);
        (key.wrapping_mul(0x9E37_79B1) >> 16) as usize
    }

    fn insert(&mut self, opening: [u8; OPENING]) {
        let hash = Self::hash(opening);
        self.0[hash / 64] |= 1 << (hash % 64);
    }

    fn contains(&self, opening: [u8; OPENING]) -> bool {
        let hash = Self::hash(opening);
        self.0[hash / 64] >> (hash % 64) & 1 == 1
    }
}

impl Scanner {
    /// Builds the scanner for these rules, and for further openings (lower-case ASCII) that the caller waits for.
    pub fn new(rules: &Rules, further_openings: &[&str]) -> Self {
        let mut openings = Openings([0; 1024]);
        let mut anywhere: Vec<&str> = Vec::new();
        let spoken =
            ["error: ", "exception: ", "fatal: ", "fatal ", "unexpected ", "unhandled ", "uncaught "];
        debug_assert!(spoken.iter().all(|word| SPOKEN_LEVEL.contains(word.trim_end_matches([' ', ':']))));
        for word in spoken.iter().chain(further_openings) {
            if let Some(opening) = first(word.as_bytes()) {
                openings.insert(opening);
            }
        }
        for (pattern, stems) in rules.line_patterns() {
            match pattern_openings(pattern) {
                Some(found) => found.into_iter().for_each(|opening| openings.insert(opening)),
                None => anywhere.extend(stems.iter().map(|stem| ascii_part(stem))),
            }
        }
        anywhere.sort_unstable();
        anywhere.dedup();
        let searcher = packed::Config::new().builder().extend(&anywhere).build();
        Self { openings: Arc::new(openings), anywhere: searcher.map(Arc::new), lower: Vec::new() }
    }

    /// Calls `each` with the position of every literal in the block, in order.
    pub fn hits(&mut self, block: &[u8], mut each: impl FnMut(usize)) {
        let Some(searcher) = &self.anywhere else { return };
        self.lower.clear();
        self.lower.extend_from_slice(block);
        self.lower.make_ascii_lowercase();
        searcher.find_iter(&self.lower).for_each(|found| each(found.start()));
    }

    /// Returns whether a line opens as one that may concern a rule.
    pub fn opens(&self, line: &[u8]) -> bool {
        let start = match line.first() {
            // Words at the very start: the common case.
            Some(b'a'..=b'z') => 0,
            _ => plain::prefix(line).end,
        };
        match &line[start..] {
            [a, b, c, ..] => {
                // What is not ASCII may be folded into something else.
                !(a.is_ascii() && b.is_ascii() && c.is_ascii())
                    || self.openings.contains([a, b, c].map(u8::to_ascii_lowercase))
            }
            _ => false,
        }
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
    openings: BTreeSet<[u8; OPENING]>,
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

fn first(bytes: &[u8]) -> Option<[u8; OPENING]> {
    bytes.first_chunk().copied().filter(|opening| opening.is_ascii())
}

/// Returns the first bytes of everything that a pattern can match, or `None` if they are not certain.
fn pattern_openings(pattern: &str) -> Option<Vec<[u8; OPENING]>> {
    let hir = ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern).ok()?;
    let literals = Extractor::new()
        .kind(ExtractKind::Prefix)
        .limit_total(OPENINGS_PER_PATTERN)
        .limit_literal_len(OPENING)
        .limit_class(40)
        .extract(&hir);
    literals.literals()?.iter().map(|literal| first(literal.as_bytes())).collect()
}

/// The longest part of a stem that typography cannot change: what `fold` would rewrite may stand in the raw line
/// in another form.
pub(super) fn ascii_part(stem: &str) -> &str {
    stem.split(|c: char| !c.is_ascii() || matches!(c, '\'' | '-'))
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
    fn the_literals_that_may_stand_anywhere_stay_few() {
        let rules = Rules::built_in();
        let unbound: Vec<&str> = rules
            .line_patterns()
            .map(|(pattern, _)| pattern)
            .filter(|pattern| pattern_openings(pattern).is_none())
            .collect();
        assert!(unbound.len() <= 8, "{unbound:#?}");
        assert!(Scanner::new(&rules, &[]).anywhere.is_some_and(|searcher| searcher.minimum_len() > 0));
    }
}
