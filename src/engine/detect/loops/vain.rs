//! What is used between one step that gets on and the next. Shared by the detectors of burning.

use super::Sign;
use crate::model::Timestamp;

/// How many steps in vain there must be before what they used means anything: one dear request does not.
pub(super) const STEPS: u32 = 8;

/// What was used since the last progress.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vain {
    /// Steps that changed nothing and brought nothing new.
    pub(super) steps: u32,
    /// US dollars.
    pub(super) usd: f64,
    /// Tokens, those read from a cache left out: they are the same ones again and again.
    pub(super) tokens: u64,
    /// Seconds, waits left out.
    pub(super) seconds: i64,
    /// The line of the first step.
    pub(super) line: u64,
    /// Its time.
    pub(super) since: Option<Timestamp>,
    latest: Option<Timestamp>,
}

impl Vain {
    /// Takes note of a sign; returns whether it says anything.
    pub(super) fn see(&mut self, sign: &Sign<'_>) -> bool {
        match sign {
            Sign::Step(step) if step.progress => *self = Self { latest: Some(step.time), ..Self::default() },
            Sign::Heard(heard) => *self = Self { latest: Some(heard.time), ..Self::default() },
            // To wait is not to work in vain.
            Sign::Step(step) if step.waits => self.latest = Some(step.time),
            Sign::Step(step) => {
                if self.steps == 0 {
                    (self.line, self.since) = (step.line, Some(step.time));
                }
                self.steps += 1;
                self.seconds += self.latest.map_or(0, |latest| step.time.seconds_since(latest).max(0));
                self.latest = Some(step.time);
            }
            Sign::Spent { usd, tokens } => {
                self.usd += usd.max(0.0);
                self.tokens = self.tokens.saturating_add(*tokens);
            }
            _ => return false,
        }
        true
    }

    /// Returns the evidence of so much.
    pub(super) fn evidence(&self, amount: f64, key: u64) -> super::Evidence {
        let count = if self.steps < STEPS { 0 } else { amount.clamp(0.0, f64::from(u32::MAX)) as u32 };
        super::Evidence { count, period: 0, since_line: self.line, since: self.since, key }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, NAMES, build_all};
    use super::*;
    use crate::engine::step::Step;
    use crate::engine::step::tools::Effect;

    fn step(minute: i64, progress: bool, waits: bool) -> Step {
        Step {
            number: 1,
            line: 1,
            time: Timestamp::from_seconds(1_795_150_800 + 60 * minute),
            effect: Effect::Read,
            waits,
            tool: 0,
            question: 0,
            answer: 0,
            lines: 1,
            failed: false,
            refused: false,
            error: None,
            epoch: 0,
            symbol: 0,
            path: None,
            range: None,
            moved: Default::default(),
            news: 0.0,
            progress,
            credit: 0.0,
            task: None,
            intended: false,
            label: String::new(),
        }
    }

    /// What the detector of this name counts after each of these steps, which costs a dollar and 200,000 tokens.
    fn counts(name: &str, steps: &[Step]) -> Vec<u32> {
        let at = NAMES.iter().position(|known| *known == name).unwrap();
        let mut detector = build_all().remove(at).detector;
        let count = |step: &Step| {
            detector.see(&Sign::Spent { usd: 1.0, tokens: 200_000 });
            detector.see(&Sign::Step(step)).unwrap().count
        };
        steps.iter().map(count).collect()
    }

    #[test]
    fn what_is_used_counts_from_the_last_progress_on_and_a_few_steps_are_none() {
        let mut steps: Vec<Step> = (0..9).map(|minute| step(minute, minute == 0, false)).collect();
        assert_eq!(counts("burn_usd", &steps)[6..], [0, 0, 800], "eight steps");
        assert_eq!(counts("burn_tokens", &steps)[8], 1600);
        assert_eq!(counts("burn_time", &steps)[8], 8);
        steps.push(step(9, true, false));
        steps.push(step(10, false, false));
        assert_eq!(counts("burn_usd", &steps)[9..], [0, 0], "it got on");
        let at = NAMES.iter().position(|known| *known == "burn_usd").unwrap();
        let limits = Limits::default();
        let limit = limits.at(at);
        assert!(limit.warns(800, 0) && limit.strength(800, 0) == 0.0, "a warning and no more");
    }

    #[test]
    fn to_wait_is_not_to_burn_time() {
        let steps: Vec<Step> = (0..20).map(|minute| step(10 * minute, false, minute % 2 == 0)).collect();
        assert_eq!(counts("burn_time", &steps)[19], 100, "half of it was waited");
    }
}
