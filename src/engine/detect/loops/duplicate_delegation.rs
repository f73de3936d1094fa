//! The same task handed to a sub-agent again and again, with nothing new coming of it.

use std::collections::VecDeque;

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::engine::step::tools::Effect;
use crate::model::Timestamp;

/// How many tasks are kept in mind.
const TASKS: usize = 16;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(DuplicateDelegation::default())
}

#[derive(Default)]
struct DuplicateDelegation {
    tasks: VecDeque<Task>,
    epoch: u32,
}

struct Task {
    task: u64,
    answer: u64,
    count: u32,
    line: u64,
    since: Timestamp,
}

impl LoopDetector for DuplicateDelegation {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Step(step) = sign else { return None };
        if step.epoch != self.epoch {
            self.epoch = step.epoch;
            self.tasks.clear();
        }
        let task = step.task.filter(|_| step.effect == Effect::Delegate)?;
        let found = self.tasks.iter().position(|known| known.task == task);
        let known = found.and_then(|at| self.tasks.remove(at));
        // Sub-agents word the same thing differently: only an answer with news in it is another.
        let again = known.filter(|known| known.answer == step.answer || step.news <= 0.5);
        let task = match again {
            Some(known) => Task { answer: step.answer, count: known.count + 1, ..known },
            None => Task { task, answer: step.answer, count: 1, line: step.line, since: step.time },
        };
        let evidence = Evidence {
            count: task.count,
            period: 0,
            since_line: task.line,
            since: Some(task.since),
            key: mix(task.task, 15),
        };
        if self.tasks.len() == TASKS {
            self.tasks.pop_front();
        }
        self.tasks.push_back(task);
        Some(evidence)
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("handed the same task to a sub-agent {} times and learnt nothing new: \"{what}\"", evidence.count)
    }
}
