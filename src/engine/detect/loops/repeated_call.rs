//! The same call with the same answer, in the same world, one after the other.

use super::runs::{Item, Runs};
use super::{Evidence, LoopDetector, Sign};

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(RepeatedCall::default())
}

#[derive(Default)]
struct RepeatedCall(Runs);

impl LoopDetector for RepeatedCall {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Round(round) = sign else { return None };
        self.0.push(Item::from(*round));
        let Some(run) = self.0.of(1).filter(|run| !run.waits) else { return Some(Evidence::default()) };
        Some(run.into())
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!("ran \"{what}\" {} times in a row with the same result", evidence.count)
    }
}
