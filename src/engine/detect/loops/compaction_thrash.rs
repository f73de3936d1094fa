//! The context is compacted again and again, with hardly a step in between.

use super::{Evidence, LoopDetector, Sign};
use crate::model::Timestamp;

/// How many steps between two compactions are work.
const WORK: u32 = 5;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(CompactionThrash::default())
}

#[derive(Default)]
struct CompactionThrash {
    steps: u32,
    count: u32,
    line: u64,
    since: Option<Timestamp>,
}

impl LoopDetector for CompactionThrash {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        match sign {
            Sign::Step(_) => {
                self.steps += 1;
                if self.steps == WORK {
                    self.count = 0;
                }
                None
            }
            Sign::Compacted { line, time } => {
                if self.count == 0 {
                    (self.line, self.since) = (*line, Some(*time));
                }
                self.count += 1;
                self.steps = 0;
                Some(Evidence {
                    count: self.count,
                    period: 1,
                    since_line: self.line,
                    since: self.since,
                    key: 13,
                })
            }
            _ => None,
        }
    }

    fn reason(&self, evidence: &Evidence, _: &str) -> String {
        format!("filled the context {} times with next to no work in between", evidence.count)
    }
}
