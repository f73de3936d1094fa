//! Tokens that were used without progress, in thousands; those read from a cache do not count.

use super::vain::Vain;
use super::{Evidence, LoopDetector, Sign};

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(BurnTokens::default())
}

/// Counts thousands of tokens.
#[derive(Default)]
struct BurnTokens(Vain);

impl LoopDetector for BurnTokens {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        self.0.see(sign).then(|| self.0.evidence(self.0.tokens as f64 / 1000.0, 13))
    }

    fn reason(&self, _: &Evidence, what: &str) -> String {
        format!("used {} thousand tokens in {} steps that changed nothing and brought nothing new, the last of them \"{what}\"", self.0.tokens / 1000, self.0.steps)
    }
}
