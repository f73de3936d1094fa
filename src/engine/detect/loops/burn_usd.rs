//! Money that was spent without progress, in cents.

use super::vain::Vain;
use super::{Evidence, LoopDetector, Sign};

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(BurnUsd::default())
}

/// Counts US cents.
#[derive(Default)]
struct BurnUsd(Vain);

impl LoopDetector for BurnUsd {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        self.0.see(sign).then(|| self.0.evidence(self.0.usd * 100.0, 12))
    }

    fn reason(&self, _: &Evidence, what: &str) -> String {
        format!("spent ${:.2} in {} steps that changed nothing and brought nothing new, the last of them \"{what}\"", self.0.usd, self.0.steps)
    }
}
