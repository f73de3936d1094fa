//! The model says the same again and does nothing.

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::model::Timestamp;

/// What is shorter says too little to be the same: pieces of an answer that comes in pieces.
const SHORTEST: usize = 20;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(Monologue::default())
}

#[derive(Default)]
struct Monologue {
    last: u64,
    count: u32,
    line: u64,
    since: Option<Timestamp>,
}

impl LoopDetector for Monologue {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        match sign {
            Sign::Said(said) if said.text.len() >= SHORTEST => {
                if said.print != self.last {
                    *self = Self { last: said.print, count: 0, line: said.line, since: Some(said.time) };
                }
                self.count += 1;
            }
            Sign::Step(_) => *self = Self::default(),
            _ => return None,
        }
        let key = mix(self.last, 9);
        Some(Evidence { count: self.count, period: 1, since_line: self.line, since: self.since, key })
    }

    fn reason(&self, evidence: &Evidence, _: &str) -> String {
        format!("said the same {} times and did nothing", evidence.count)
    }
}
