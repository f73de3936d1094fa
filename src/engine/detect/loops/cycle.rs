//! The same few calls round and round, with the same answers.

use super::runs::{Item, LONGEST, Runs};
use super::{Evidence, LoopDetector, Sign};

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(Cycle::default())
}

#[derive(Default)]
struct Cycle(Runs);

impl LoopDetector for Cycle {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Round(round) = sign else { return None };
        self.0.push(Item::from(*round));
        let Some(run) = self.0.longest(2..=LONGEST).filter(|run| !run.waits) else {
            return Some(Evidence::default());
        };
        Some(run.into())
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!(
            "went through the same {} steps {} times with the same results, the last of them \"{what}\"",
            evidence.period, evidence.count
        )
    }
}
