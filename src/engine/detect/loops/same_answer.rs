//! Other questions, the same answer: the agent searches where nothing is to be found.

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::engine::step::tools::Effect;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(SameAnswer::default())
}

#[derive(Default)]
struct SameAnswer {
    tool: u64,
    answer: u64,
    question: u64,
    evidence: Evidence,
    /// Whether the round that is going on asked something else: calls that are issued together count once.
    asked: bool,
}

impl LoopDetector for SameAnswer {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let step = match sign {
            Sign::Step(step) => step,
            Sign::Round(_) => {
                self.evidence.count += u32::from(std::mem::take(&mut self.asked));
                return Some(self.evidence.clone());
            }
            _ => return None,
        };
        // What failed is for the detector of errors; what runs and says nothing has done what it should.
        let counts = match step.effect {
            Effect::Read => true,
            Effect::Exec => step.lines > 0,
            _ => false,
        };
        if !counts || step.failed || step.waits {
            *self = Self::default();
        } else if (step.tool, step.answer) != (self.tool, self.answer) {
            let key = mix(step.tool, step.answer);
            let evidence =
                Evidence { count: 0, period: 1, since_line: step.line, since: Some(step.time), key };
            *self = Self { tool: step.tool, answer: step.answer, question: step.question, evidence, asked: true };
        } else if step.question != self.question {
            self.question = step.question;
            self.asked = true;
        }
        None
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("got the same answer to different calls {} times in a row, the last of them \"{what}\"", evidence.count)
    }
}
