//! A poll whose answer never changes: judged by count and by the clock, for patience is what polls are made of.

use std::collections::VecDeque;

use super::runs::{Item, LONGEST, Runs};
use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;

/// How many polls are kept in mind; the one that was asked longest ago goes.
const POLLS: usize = 8;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(FrozenPoll::default())
}

#[derive(Default)]
struct FrozenPoll {
    /// Polls with nothing in between but waits.
    runs: Runs,
    /// What was asked after a wait, by symbol, whatever lies between.
    polls: VecDeque<(u64, Evidence)>,
    waited: bool,
    /// What the latest step says.
    latest: Option<Evidence>,
}

impl LoopDetector for FrozenPoll {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        match sign {
            Sign::Step(step) => {
                let polls = std::mem::replace(&mut self.waited, step.waits);
                let found = self.polls.iter().position(|(symbol, _)| *symbol == step.symbol);
                let known = found.and_then(|at| self.polls.remove(at));
                self.latest = None;
                if known.is_some() || (polls && !step.waits) {
                    let mut evidence = known.map_or_else(
                        || Evidence {
                            count: 0,
                            period: 0,
                            since_line: step.line,
                            since: Some(step.time),
                            key: mix(step.question, step.answer),
                        },
                        |(_, evidence)| evidence,
                    );
                    evidence.count += 1;
                    if self.polls.len() == POLLS {
                        self.polls.pop_front();
                    }
                    self.polls.push_back((step.symbol, evidence.clone()));
                    self.latest = Some(evidence);
                }
                None
            }
            Sign::Round(round) => {
                self.runs.push(Item::from(*round));
                let run = self.runs.longest(1..=LONGEST).filter(|run| run.waits).map(Evidence::from);
                let longest = run.into_iter().chain(self.latest.take()).max_by_key(|evidence| evidence.count);
                Some(longest.unwrap_or_default())
            }
            _ => None,
        }
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("asked {} times for something that does not change, the last time \"{what}\"", evidence.count)
    }
}
