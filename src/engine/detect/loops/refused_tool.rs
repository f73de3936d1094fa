//! A tool that is refused, or that does not exist, and is called all the same.

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::model::Timestamp;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(RefusedTool::default())
}

#[derive(Default)]
struct RefusedTool {
    tool: u64,
    count: u32,
    line: u64,
    since: Option<Timestamp>,
}

impl LoopDetector for RefusedTool {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Step(step) = sign else { return None };
        if step.refused {
            if step.tool != self.tool {
                *self = Self { tool: step.tool, count: 0, line: step.line, since: Some(step.time) };
            }
            self.count += 1;
        } else if step.tool == self.tool {
            *self = Self::default();
        } else {
            return None;
        }
        Some(Evidence {
            count: self.count,
            period: 0,
            since_line: self.line,
            since: self.since,
            key: mix(self.tool, 14),
        })
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("called a tool {} times that is refused or does not exist, the last time \"{what}\"", evidence.count)
    }
}
