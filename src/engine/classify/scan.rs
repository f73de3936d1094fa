//! The block pre-scan for plain text: which lines of a block can concern any rule at all.
//!
//! One pass of one automaton over a lower-cased block finds the literals of which every rule needs one; only the
//! few lines that hold one go on to the exact rules. The result is the same as asking every rule about every line,
//! and a property test says so.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::rules::Rules;

/// Finds the lines of plain text that may concern a rule. Clones share the automaton.
#[derive(Clone)]
pub struct Scanner {
    automaton: AhoCorasick,
    lower: Vec<u8>,
}

impl Scanner {
    /// Builds the scanner for these rules and for further literals (lower-case) that the caller waits for.
    pub fn new(rules: &Rules, further: &[&str]) -> Self {
        let stems = rules.line_stems();
        let ascii = stems.iter().copied().chain(further.iter().copied()).map(ascii_part);
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .build(ascii)
            .expect("a few hundred short literals fit a DFA");
        Self { automaton, lower: Vec::new() }
    }

    /// Calls `each` with the byte position of every hit in the block, in order.
    pub fn hits(&mut self, block: &[u8], mut each: impl FnMut(usize)) {
        self.lower.clear();
        self.lower.extend_from_slice(block);
        self.lower.make_ascii_lowercase();
        for found in self.automaton.find_iter(&self.lower) {
            each(found.start());
        }
    }

    /// Returns whether a line holds any of the literals.
    pub fn is_candidate(&mut self, line: &[u8]) -> bool {
        self.lower.clear();
        self.lower.extend_from_slice(line);
        self.lower.make_ascii_lowercase();
        self.automaton.is_match(&self.lower)
    }
}

/// The longest part of a stem that typography cannot change: what `fold` would rewrite may stand in the raw line
/// in another form.
fn ascii_part(stem: &str) -> &str {
    stem.split(|c: char| !c.is_ascii() || matches!(c, '\'' | '-'))
        .flat_map(|part| part.split("..."))
        .max_by_key(|part| part.len())
        .unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typography_does_not_hide_a_candidate() {
        let mut scanner = Scanner::new(&Rules::built_in(), &[]);
        for line in ["You’ve hit your limit ∙ resets 3pm", "API Error: 529", "LITELLM.RateLimitError: x"]
        {
            assert!(scanner.is_candidate(line.as_bytes()), "{line}");
        }
        assert!(!scanner.is_candidate(b"compiling session-doctor v0.1.0"));
    }

    #[test]
    fn the_kept_part_of_a_stem_is_ascii() {
        assert_eq!(ascii_part("team's pooled"), "s pooled");
        assert_eq!(ascii_part("logged in"), "logged in");
    }
}
