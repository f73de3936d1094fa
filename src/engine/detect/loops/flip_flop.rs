//! Changes that are taken back and made again.

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::tools::Effect;
use crate::model::Timestamp;

/// How many changes that lead to something new refute it. One may be a change that is taken back next, such as a print
/// for debugging; with another in between, the agent has moved on.
const NEW: u32 = 2;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(FlipFlop::default())
}

#[derive(Default)]
struct FlipFlop {
    count: u32,
    new: u32,
    line: u64,
    since: Option<Timestamp>,
}

impl LoopDetector for FlipFlop {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Step(step) = sign else { return None };
        if step.effect != Effect::Mutate || step.failed {
            return None;
        }
        if step.moved.back {
            if self.count == 0 {
                (self.line, self.since) = (step.line, Some(step.time));
            }
            self.count += 1;
            self.new = 0;
        } else if step.moved.new {
            self.new += 1;
            if self.new == NEW {
                *self = Self::default();
            }
        }
        Some(Evidence {
            count: self.count,
            period: 2,
            since_line: self.line,
            since: self.since,
            key: step.path.unwrap_or(step.tool),
        })
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("took changes back and made them again {} times, the last with \"{what}\"", evidence.count)
    }
}
