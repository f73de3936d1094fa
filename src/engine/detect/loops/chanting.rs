//! The same phrase over and over in what the model says.

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;

/// The longest period, in words.
const LONGEST: usize = 64;

/// How many words a chant must have: "no, no, no" is none.
const WORDS: u32 = 48;

/// How many bytes of a text are looked at, from its end: a chant goes on.
const LOOK_AT: usize = 16 << 10;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(Chanting)
}

struct Chanting;

impl LoopDetector for Chanting {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Said(said) = sign else { return None };
        // Most of what is said is too short for it.
        if said.text.len() < WORDS as usize * 2 {
            return Some(Evidence::default());
        }
        let mut start = said.text.len().saturating_sub(LOOK_AT);
        while !said.text.is_char_boundary(start) {
            start += 1;
        }
        let text = &said.text[start..];
        let (rounds, period, key) = if may_chant(text) { chant(text) } else { (0, 0, 0) };
        Some(Evidence { count: rounds, period, since_line: said.line, since: Some(said.time), key })
    }

    fn reason(&self, evidence: &Evidence, _: &str) -> String {
        format!("said the same {} words {} times over", evidence.period, evidence.count)
    }
}

/// Whether a text may hold a chant: as many words in a row as it takes that were all said a little before.
fn may_chant(text: &str) -> bool {
    const PLACES: usize = 256;
    let mut last = [0u32; PLACES];
    let (mut count, mut row) = (LONGEST as u32, 0u32);
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        count += 1;
        // A stranger may stand in a word's place: that lets a text through, and keeps none out.
        let place = word.bytes().fold(0usize, |place, byte| place.wrapping_mul(31).wrapping_add(byte.into())) % PLACES;
        row = if count - std::mem::replace(&mut last[place], count) <= LONGEST as u32 { row + 1 } else { 0 };
        // The first round of it is new.
        if row + LONGEST as u32 >= WORDS && row >= WORDS / 2 {
            return true;
        }
    }
    false
}

/// Returns how often a text repeats the same words at most, how many these are, and which.
fn chant(text: &str) -> (u32, u32, u64) {
    let mut ring = [0u64; LONGEST];
    let mut runs = [0u32; LONGEST];
    let (mut count, mut best) = (0usize, (0, 0, 0));
    let mut fenced = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.starts_with("```") {
            fenced = !fenced;
        }
        // Code, tables, rules and rows of dots repeat themselves by nature; so does what is no words.
        let is_table = bare.starts_with('|') || bare.split_whitespace().any(|word| word.len() > 80);
        if fenced || is_table || !bare.chars().any(char::is_alphabetic) {
            (count, runs) = (0, [0; LONGEST]);
            continue;
        }
        for word in bare.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let word = crate::engine::step::mask::hash(word);
            for (at, run) in runs.iter_mut().enumerate().take(count.min(LONGEST)) {
                let before = ring[(count + LONGEST - 1 - at) % LONGEST];
                *run = if before == word { *run + 1 } else { 0 };
                let period = at as u32 + 1;
                let rounds = *run / period + 1;
                if *run + period >= WORDS && rounds >= 4 && rounds > best.0 {
                    let words = (0..period as usize).map(|back| ring[(count + LONGEST - 1 - back) % LONGEST]);
                    best = (rounds, period, words.fold(0, u64::wrapping_add));
                }
            }
            ring[count % LONGEST] = word;
            count += 1;
        }
    }
    (best.0, best.1, mix(best.2, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(text: &str) -> u32 {
        if may_chant(text) { chant(text).0 } else { 0 }
    }

    #[test]
    fn a_phrase_without_end_is_a_chant() {
        assert!(rounds(&"I will now fix the bug. ".repeat(20)) >= 19);
        assert!(rounds(&"SELECT 12345 ".repeat(40)) >= 24);
        let long: String = (0..60).map(|n| format!("w{n} ")).collect();
        assert!(rounds(&long.repeat(8)) >= 7);
    }

    #[test]
    fn code_tables_and_ordinary_prose_are_none() {
        assert_eq!(rounds(&format!("```\n{}\n```", "x = 1\n".repeat(200))), 0);
        assert_eq!(rounds(&"| a | b |\n".repeat(100)), 0);
        assert_eq!(rounds(&"----------\n".repeat(100)), 0);
        assert_eq!(rounds("no, no, no, no, no!"), 0);
        let list: String = (0..60).map(|n| format!("- step {n}: read file {n} and note what it says of {}\n", n * 7)).collect();
        assert_eq!(rounds(&list), 0);
    }
}
