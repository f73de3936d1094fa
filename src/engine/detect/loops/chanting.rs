//! The same phrase over and over in what the model says.

use wide::{u8x16, u32x4};

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;

/// The longest period, in words.
const LONGEST: usize = 64;

/// How many words a chant must have: "no, no, no" is none.
const WORDS: u32 = 48;

/// How many rounds a chant must have.
const ROUNDS: u32 = 4;

/// How many bytes of a text are looked at, from its end: a chant goes on.
const LOOK_AT: usize = 16 << 10;

/// How many bytes of the end are looked for, and how far back: further than the longest period of long words.
const END: usize = 20;
const LOOK_BACK: usize = 4 << 10;

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
        let (rounds, period, key) = if goes_round(text) { chant(text) } else { (0, 0, 0) };
        Some(Evidence { count: rounds, period, since_line: said.line, since: Some(said.time), key })
    }

    fn reason(&self, evidence: &Evidence, _: &str) -> String {
        format!("said the same {} words {} times over", evidence.period, evidence.count)
    }
}

/// Whether the end of a text stands in it three times more, each not long before the other: what a chant of [`ROUNDS`]
/// rounds that is not over must have. (Its words are so many that three rounds less are longer than [`END`].)
fn goes_round(text: &str) -> bool {
    let text = text.trim_end().as_bytes();
    let Some(end) = text.last_chunk::<END>() else { return false };
    let mut at = text.len() - END;
    (1..ROUNDS).all(|_| {
        // It may stand in itself: "no, no, no".
        let before = stands_in(&text[..at + END - 1], end);
        at = before.unwrap_or(at);
        before.is_some()
    })
}

/// Returns where these bytes stand last in the end of a text.
fn stands_in(text: &[u8], wanted: &[u8; END]) -> Option<usize> {
    let skipped = text.len().saturating_sub(LOOK_BACK);
    let text = &text[skipped..];
    let (first, last) = (u8x16::splat(wanted[0]), u8x16::splat(wanted[END - 1]));
    let part = |at: usize| text[at..].first_chunk::<16>().map_or(u8x16::splat(0), |part| u8x16::new(*part));
    // Where they stand last of sixteen places, of which these many count.
    let last_of = |start: usize, places: usize| {
        let both = (part(start).simd_eq(first) & part(start + END - 1).simd_eq(last)).to_bitmask();
        let mut both = both & (u32::MAX >> (32 - places));
        while both != 0 {
            let at = start + both.ilog2() as usize;
            if text[at..].starts_with(wanted) {
                return Some(skipped + at);
            }
            both ^= 1 << both.ilog2();
        }
        None
    };
    let mut end = text.len();
    while let Some(start) = end.checked_sub(END + 15) {
        if let Some(at) = last_of(start, 16) {
            return Some(at);
        }
        end -= 16;
    }
    match end.checked_sub(END - 1) {
        None | Some(0) => None,
        Some(places) if text.len() >= END + 15 => last_of(0, places),
        Some(_) => text[..end].windows(END).rposition(|window| window == wanted).map(|at| skipped + at),
    }
}

/// Returns how often a text repeats the same words at most, how many these are, and which.
fn chant(text: &str) -> (u32, u32, u64) {
    let mut chant = Chant::default();
    let mut fenced = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.starts_with("```") {
            fenced = !fenced;
        }
        // Code, tables, rules and rows of dots repeat themselves by nature; so does what is no words.
        let is_table = bare.starts_with('|') || bare.split_ascii_whitespace().any(|word| word.len() > 80);
        if fenced || is_table || !bare.bytes().any(is_letter) {
            chant.stop();
            continue;
        }
        for word in bare.as_bytes().split(|byte| !is_letter(*byte) && !byte.is_ascii_digit()) {
            if !word.is_empty() {
                let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
                chant.push(word.iter().fold(0x811c_9dc5, fold) | 1);
            }
        }
    }
    chant.stop();
    let (rounds, period, key) = chant.best;
    (rounds, period, mix(key, 8))
}

/// Letters, and all that is not ASCII.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || !byte.is_ascii()
}

/// Words as they come, and for every period how long they have repeated themselves with it.
#[derive(Default)]
struct Chant {
    /// The last [`LONGEST`] words, the latest at `latest`, those before it behind.
    words: Words,
    latest: usize,
    count: u32,
    /// The periods that are repeated, a bit each, the lowest for 1; and the count at which that began.
    alive: u64,
    since: Since,
    /// Rounds, period, and which words.
    best: (u32, u32, u64),
}

struct Words([u32; LONGEST]);

impl Default for Words {
    fn default() -> Self {
        Self([0; LONGEST])
    }
}

struct Since([u32; LONGEST]);

impl Default for Since {
    fn default() -> Self {
        Self([0; LONGEST])
    }
}

impl Chant {
    fn push(&mut self, word: u32) {
        let wanted = u32x4::splat(word);
        let mut same = 0u64;
        for (number, part) in self.words.0.as_chunks::<4>().0.iter().enumerate() {
            same |= u64::from(u32x4::new(*part).simd_eq(wanted).to_bitmask()) << (number * 4);
        }
        let alive = same.rotate_right(self.latest as u32);
        self.end(self.alive & !alive);
        let mut begun = alive & !self.alive;
        while begun != 0 {
            self.since.0[begun.trailing_zeros() as usize] = self.count;
            begun &= begun - 1;
        }
        self.alive = alive;
        self.latest = (self.latest + LONGEST - 1) % LONGEST;
        self.words.0[self.latest] = word;
        self.count += 1;
    }

    /// What is no words ends every repetition.
    fn stop(&mut self) {
        self.end(self.alive);
        self.alive = 0;
        self.words = Words::default();
    }

    /// Takes note that repetitions with these periods have ended.
    fn end(&mut self, mut ended: u64) {
        while ended != 0 {
            let at = ended.trailing_zeros() as usize;
            ended &= ended - 1;
            let (run, period) = (self.count - self.since.0[at], at as u32 + 1);
            let rounds = run / period + 1;
            if run + period >= WORDS && rounds >= ROUNDS && rounds > self.best.0 {
                let words = (0..=at).map(|back| u64::from(self.words.0[(self.latest + back) % LONGEST]));
                self.best = (rounds, period, words.fold(0, u64::wrapping_add));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(text: &str) -> u32 {
        if goes_round(text) { chant(text).0 } else { 0 }
    }

    #[test]
    fn a_phrase_without_end_is_a_chant() {
        assert!(rounds(&"I will now fix the bug. ".repeat(20)) >= 19);
        assert!(rounds(&"SELECT 12345 ".repeat(40)) >= 24);
        let long: String = (0..60).map(|n| format!("w{n} ")).collect();
        assert!(rounds(&long.repeat(8)) >= 7);
    }

    #[test]
    fn what_goes_round_stands_in_front_of_its_end_three_times() {
        let with = |between: &str| format!("first {between}The very same words.{between}and {between}The very same words.");
        for length in [0, 1, 30, 31, 32, 33, 100, 4000] {
            let between = "- ".repeat(length);
            let thrice = format!("{}{between}The very same words.", with(&between));
            let four_times = format!("{thrice}{between}The very same words.\n");
            assert!(!goes_round(&thrice), "{length}");
            assert_eq!(goes_round(&four_times), length < 1000, "{length}");
        }
        assert!(!goes_round("short"));
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
