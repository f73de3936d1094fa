//! Steps that change nothing and bring nothing new.

use super::{Evidence, LoopDetector, Sign};
use crate::model::Timestamp;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(NoProgress::default())
}

#[derive(Default)]
struct NoProgress {
    count: u32,
    line: u64,
    since: Option<Timestamp>,
}

impl LoopDetector for NoProgress {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        match sign {
            Sign::Step(step) if step.progress => *self = Self::default(),
            // To wait is not to work in vain.
            Sign::Step(step) if !step.waits => {
                if self.count == 0 {
                    (self.line, self.since) = (step.line, Some(step.time));
                }
                self.count += 1;
            }
            Sign::Heard(_) => *self = Self::default(),
            _ => return None,
        }
        Some(Evidence { count: self.count, period: 0, since_line: self.line, since: self.since, key: 11 })
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!(
            "made {} steps that changed nothing and brought nothing new, the last of them \"{what}\"",
            evidence.count
        )
    }
}
