//! A poll whose answer never changes: judged by count and by the clock, for patience is what polls are made of.

use super::runs::{Item, LONGEST, Runs};
use super::{Evidence, LoopDetector, Sign};

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(FrozenPoll::default())
}

#[derive(Default)]
struct FrozenPoll(Runs);

impl LoopDetector for FrozenPoll {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Round(round) = sign else { return None };
        self.0.push(Item::from(*round));
        let Some(run) = self.0.longest(1..=LONGEST).filter(|run| run.waits) else {
            return Some(Evidence::default());
        };
        Some(run.into())
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("asked {} times for something that does not change, the last time \"{what}\"", evidence.count)
    }
}
