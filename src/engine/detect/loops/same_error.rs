//! The same error, whatever the agent does about it: other commands, or edits in between.

use std::collections::VecDeque;

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::model::Timestamp;

/// How many errors are kept in mind; the one that came longest ago goes.
const KNOWN: usize = 16;

/// How many of the questions that led to an error are kept in mind.
const QUESTIONS: usize = 4;

/// What an error weighs that comes right after itself, in tenths.
const IN_A_ROW: u32 = 15;

/// What an error weighs that comes with other news, in a world that is the same.
const TRYING_OUT: u32 = 5;

/// How much of an answer has to be new for that.
const NEWS: f32 = 0.2;

/// How much progress refutes it.
const PROGRESS: f32 = 1.0;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(SameError::default())
}

#[derive(Default)]
struct SameError {
    known: VecDeque<Known>,
    /// The error of the step before.
    last: Option<u64>,
}

#[derive(Clone)]
struct Known {
    error: u64,
    /// In tenths.
    weight: u32,
    questions: VecDeque<u64>,
    epoch: u32,
    line: u64,
    since: Timestamp,
}

impl LoopDetector for SameError {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Step(step) = sign else { return None };
        if step.waits || step.refused {
            return None;
        }
        // What led to another error before, or to none now, has got somewhere.
        self.known.retain(|known| Some(known.error) == step.error || !known.questions.contains(&step.question));
        let last = std::mem::replace(&mut self.last, step.error);
        let Some(error) = step.error else { return Some(Evidence::default()) };
        let found = self.known.iter().position(|known| known.error == error);
        let mut known = found.and_then(|at| self.known.remove(at)).unwrap_or(Known {
            error,
            weight: 0,
            questions: VecDeque::new(),
            epoch: step.epoch,
            line: step.line,
            since: step.time,
        });
        let asked = known.questions.back() == Some(&step.question);
        // To ask the same again in the same world is a repeated call, and counted as that.
        let again = !asked || step.epoch != known.epoch;
        if known.weight == 0 || (again && step.credit < PROGRESS) {
            known.weight += if step.epoch == known.epoch && step.news > NEWS {
                // It tries things out, and learns.
                TRYING_OUT
            } else if last == Some(error) {
                IN_A_ROW
            } else {
                10
            };
        }
        known.epoch = step.epoch;
        if !known.questions.contains(&step.question) {
            if known.questions.len() == QUESTIONS {
                known.questions.pop_front();
            }
            known.questions.push_back(step.question);
        }
        let evidence = Evidence {
            count: known.weight / 10,
            period: 0,
            since_line: known.line,
            since: Some(known.since),
            key: mix(error, 5),
        };
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(known);
        Some(evidence)
    }

    fn reason(&self, _: &Evidence, what: &str) -> String {
        format!("got the same error from everything that was tried, the last time from \"{what}\"")
    }
}
