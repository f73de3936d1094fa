//! The same call with the same answer again and again, in one world, whatever lies between.

use std::collections::VecDeque;

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::engine::step::tools::Effect;
use crate::model::Timestamp;

/// How many steps are kept in mind; the one that came longest ago goes.
const KNOWN: usize = 32;

/// How many questions that were polls are kept in mind.
const POLLS: usize = 8;

/// After how many other steps a repetition counts half.
const LONG_AGO: u64 = 30;

/// How much progress refutes it.
const PROGRESS: f32 = 1.0;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(InterleavedRepeat::default())
}

#[derive(Default)]
struct InterleavedRepeat {
    known: VecDeque<Known>,
    /// Whether the step before waited: what follows it is the poll.
    waited: bool,
    /// Questions that were polls once.
    polls: VecDeque<u64>,
}

#[derive(Clone, Copy)]
struct Known {
    symbol: u64,
    count: u32,
    last: u64,
    line: u64,
    since: Timestamp,
}

impl LoopDetector for InterleavedRepeat {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Step(step) = sign else { return None };
        let polls = std::mem::replace(&mut self.waited, step.waits);
        if polls && !step.waits && !self.polls.contains(&step.question) {
            if self.polls.len() == POLLS {
                self.polls.pop_front();
            }
            self.polls.push_back(step.question);
        }
        if step.waits || step.effect == Effect::Talk || self.polls.contains(&step.question) {
            return Some(Evidence::default());
        }
        // Also what changes something counts once a world: to add and commit after each change is no repetition.
        let symbol = mix(step.symbol, u64::from(step.epoch));
        let found = self.known.iter().position(|known| known.symbol == symbol);
        let mut known = found.and_then(|at| self.known.remove(at)).unwrap_or(Known {
            symbol,
            count: 0,
            last: step.number,
            line: step.line,
            since: step.time,
        });
        if step.number - known.last > LONG_AGO {
            known.count /= 2;
        }
        known.last = step.number;
        if step.credit < PROGRESS || known.count == 0 {
            known.count += 1;
        }
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(known);
        let key = mix(step.question, step.answer);
        Some(Evidence { count: known.count, period: 0, since_line: known.line, since: Some(known.since), key })
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("ran \"{what}\" {} times with the same result, with nothing changed in between", evidence.count)
    }
}
