//! Time that went by without progress, in minutes; waits do not count.

use super::vain::Vain;
use super::{Evidence, LoopDetector, Sign};

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(BurnTime::default())
}

/// Counts minutes.
#[derive(Default)]
struct BurnTime(Vain);

impl LoopDetector for BurnTime {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        self.0.see(sign).then(|| self.0.evidence(self.0.seconds as f64 / 60.0, 14))
    }

    fn reason(&self, _: &Evidence, what: &str) -> String {
        format!("took {} minutes in {} steps that changed nothing and brought nothing new, the last of them \"{what}\"", self.0.seconds / 60, self.0.steps)
    }
}
