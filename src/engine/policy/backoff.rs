//! How long to wait before another attempt.

use crate::model::Timestamp;
use crate::model::id::IdBuilder;

/// The backoff's settings, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the first attempt; it doubles with each further one.
    pub base_sec: u64,
    /// The longest wait.
    pub max_sec: u64,
    /// What is added to a time that the server named if it is a minute away or more: clocks differ, and limits reset
    /// in minutes. A shorter wait is meant to the second.
    pub reset_margin_sec: u64,
    /// The wait for a usage limit whose reset time nobody said, before it is worth a probe.
    pub unknown_reset_sec: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base_sec: 2, max_sec: 32, reset_margin_sec: 45, unknown_reset_sec: 900 }
    }
}

impl Backoff {
    /// Returns the wait in seconds before attempt `attempt` (from 1), with equal jitter: half of the step is certain,
    /// the other half is spread. The spread comes from `seed`, so that two readings of one log agree.
    pub fn delay_sec(&self, attempt: u32, seed: &str) -> u64 {
        let doublings = attempt.saturating_sub(1).min(32);
        let step = self.base_sec.saturating_mul(1 << doublings).min(self.max_sec).max(1);
        let half = step / 2;
        let spread = IdBuilder::new("jitter").part(seed.as_bytes()).number(u64::from(attempt)).as_number();
        step - half + spread % (half + 1)
    }

    /// Returns the wait in seconds until the time that the server named, if it is still to come; with the margin if it
    /// is far enough away.
    pub fn until(&self, reset: Timestamp, now: Timestamp) -> Option<u64> {
        let micros = u64::try_from(reset.as_micros().saturating_sub(now.as_micros())).ok()?;
        match micros / 1_000_000 {
            0 if micros == 0 => None,
            0..60 => Some(micros.div_ceil(1_000_000)),
            seconds => Some(seconds.saturating_add(self.reset_margin_sec)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_up_to_the_maximum_and_jitter_takes_at_most_half() {
        let backoff = Backoff::default();
        for (attempt, step) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 32), (60, 32)] {
            for seed in ["a", "b", "c", "d"] {
                let delay = backoff.delay_sec(attempt, seed);
                assert!((step / 2..=step).contains(&delay), "attempt {attempt}: {delay}");
                assert_eq!(delay, backoff.delay_sec(attempt, seed), "the same seed, the same wait");
            }
        }
    }

    #[test]
    fn the_margin_is_for_long_waits() {
        let now = Timestamp::from_seconds(1_000_000);
        let until = |millis| Backoff::default().until(now.plus_millis(millis), now);
        assert_eq!(until(-100_000), None);
        assert_eq!(until(0), None);
        assert_eq!(until(1), Some(1));
        assert_eq!(until(8_000), Some(8));
        assert_eq!(until(100_000), Some(145));
    }
}
