//! Limits from runs in which nothing was wrong: how close each came, and how far the limits must be from them.
//!
//! Every strength is a count (or a time) over its limit, and what the judge does with strengths (fade, the greatest, two
//! together) keeps its measure: with all limits doubled, all strengths are half. So how close a run came to an interruption
//! is one number, its score: it is interrupted where the limits are multiplied by its score or less, and by nothing more.
//! A bound on that number holds for all detectors at once, and for two that add up.

use super::NAMES;
use super::limits::{Limit, Limits, MOST, MOST_SEC};

/// The rate of false stops that is meant where none is named.
pub const DEFAULT_RATE: f64 = 0.01;

/// How much more than a score the limits are, for what is lost where numbers are rounded.
const MARGIN: f64 = 1.000_01;

/// The closest that a detector came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    /// Its count.
    pub count: u32,
    /// How long that had lasted, in seconds.
    pub sec: i64,
    /// How close that is to the limit, where 1 is there; 0 where there is none.
    pub strength: f32,
}

/// How close a run came to an interruption.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauge {
    /// How many steps it has.
    pub steps: u64,
    /// Where 1 is an interruption: by one detector, or by two together.
    pub score: f32,
    /// The line at which that was so.
    pub line: u64,
    /// The detector that was closest there.
    pub detector: &'static str,
    /// The closest that each detector came, in the order of [`NAMES`].
    pub peaks: [Peak; NAMES.len()],
}

impl Gauge {
    /// Takes note of what a detector counts.
    pub(super) fn saw(&mut self, place: usize, count: u32, sec: i64, strength: f32) {
        let peak = &mut self.peaks[place];
        if (strength, count) > (peak.strength, peak.count) {
            *peak = Peak { count, sec, strength };
        }
    }

    /// Takes note of what all detectors together come to.
    pub(super) fn judged(&mut self, score: f32, line: u64, detector: &'static str) {
        if score > self.score {
            (self.score, self.line, self.detector) = (score, line, detector);
        }
    }

    /// Adds what another part of the same run came to; returns whether that was closer.
    pub fn add(&mut self, other: &Self) -> bool {
        self.steps += other.steps;
        for (peak, other) in self.peaks.iter_mut().zip(&other.peaks) {
            if (other.strength, other.count) > (peak.strength, peak.count) {
                *peak = *other;
            }
        }
        let closer = other.score > self.score || self.detector.is_empty();
        if closer {
            (self.score, self.line, self.detector) = (other.score, other.line, other.detector);
        }
        closer
    }
}

/// Returns how many runs it takes to state this rate of false stops.
pub fn runs_needed(rate: f64) -> usize {
    (1.0 / rate - 1e-9).ceil() as usize - 1
}

/// Returns the least rate that so many runs can state.
pub fn least_rate(runs: usize) -> f64 {
    1.0 / (runs as f64 + 1.0)
}

/// Returns which of `runs` scores, counted from 1 in their order, bounds a further one but for this rate; `None` where there
/// are too few to say.
///
/// A further run that is like these is as likely to take any of the `runs + 1` places among them. So it stands above the
/// k-th with a chance of at most `1 - k / (runs + 1)`, whatever scores are like.
pub fn rank(runs: usize, rate: f64) -> Option<usize> {
    // That may be greater: a small part of a run is lost where numbers are rounded.
    let above = ((runs as f64 + 1.0) * rate + 1e-9).floor() as usize;
    (above >= 1).then(|| (runs + 1 - above).max(1))
}

/// Returns the score that a further run exceeds with a chance of at most `rate`; `None` where there are too few to say.
pub fn bound(scores: &[f32], rate: f64) -> Option<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted.get(rank(scores.len(), rate)? - 1).copied()
}

impl Limits {
    /// Returns the least limits that do not interrupt a run of this score, and that warn as before. They are never lower
    /// than these, unless `may_lower`; and never so low that an interruption would come before its warning.
    #[must_use]
    pub fn beyond(mut self, score: f32, may_lower: bool) -> Self {
        let beyond = |limit: f64| (limit * f64::from(score) * MARGIN).floor() + 1.0;
        let built_in = Self::default();
        for ((_, limit), (_, built_in)) in
            self.iter_mut().zip(built_in.iter()).filter(|((_, limit), _)| limit.act > 0)
        {
            let Limit { warn, act, warn_sec, act_sec } = *limit;
            // Where nothing is warned of, what would be by default is the floor.
            let warned = if warn > 0 { warn } else { built_in.warn };
            let least = if may_lower { (warned + 1).min(act) } else { act };
            limit.act = (beyond(f64::from(act)) as u32).clamp(least, MOST.max(least));
            if act_sec > 0 {
                let least = if may_lower { warn_sec } else { act_sec };
                limit.act_sec = (beyond(act_sec as f64) as i64).clamp(least, MOST_SEC.max(least));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_takes_as_many_runs_as_it_says() {
        for (rate, runs) in [(0.01, 99), (0.05, 19), (0.1, 9), (0.2, 4), (0.5, 1), (0.03, 33)] {
            assert_eq!(runs_needed(rate), runs, "{rate}");
            assert_eq!(rank(runs, rate), Some(runs), "{rate}: the greatest of them");
            assert_eq!(rank(runs - 1, rate), None, "{rate}");
            assert!(least_rate(runs) <= rate && least_rate(runs - 1) > rate, "{rate}");
        }
        assert_eq!(rank(199, 0.01), Some(198));
        assert_eq!(rank(198, 0.01), Some(198));
        assert_eq!(rank(1000, 0.05), Some(951));
        assert_eq!(bound(&[0.1; 98], 0.01), None);
    }

    #[test]
    fn no_limit_is_beyond_what_can_be_set_nor_below_what_would_be_warned_of() {
        let mut base = Limits::default();
        for (_, limit) in base.iter_mut() {
            (limit.act, limit.act_sec) = (MOST - 1, MOST_SEC - 1);
        }
        assert!(
            base.beyond(9.0, false).iter().all(|(_, limit)| limit.act == MOST && limit.act_sec == MOST_SEC)
        );
        base.iter_mut().for_each(|(_, limit)| *limit = Limit { act: 12, ..Limit::default() });
        let lower = base.beyond(0.0, true);
        for ((name, lower), (_, built_in)) in lower.iter().zip(Limits::default().iter()) {
            assert_eq!(lower.act, (built_in.warn + 1).min(12), "{name}");
        }
    }

    #[test]
    fn limits_are_just_beyond_a_score() {
        let acts = |limits: Limits| limits.iter().map(|(_, limit)| limit.act).collect::<Vec<_>>();
        let base = Limits::default();
        assert_eq!(base.beyond(0.9, false), base);
        // 7 of 6 is 1.1666…, which no number holds exactly.
        let repeated = acts(base.beyond(7.0 / 6.0, false));
        assert_eq!(repeated[0], 8);
        let frozen = base.beyond(1.0, false);
        let (_, frozen) = frozen.iter().nth(2).unwrap();
        assert_eq!((frozen.act, frozen.act_sec, frozen.warn, frozen.warn_sec), (21, 1801, 10, 600));
        let lower = base.beyond(0.0, true);
        for ((name, lower), (_, base)) in lower.iter().zip(base.iter()) {
            assert_eq!((lower.warn, lower.warn_sec), (base.warn, base.warn_sec), "{name}");
            assert!(if base.act == 0 { lower.act == 0 } else { lower.act == base.warn + 1 }, "{name}");
            assert!(lower.act_sec >= lower.warn_sec || base.act == 0, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_count_that_was_seen_is_below_the_limit_that_comes_of_it(
            place in 0..NAMES.len(), count in 0..500u32, sec in 0..100_000i64, may_lower: bool
        ) {
            let base = Limits::default();
            let score = base.at(place).strength(count, sec);
            let limits = base.beyond(score, may_lower);
            prop_assert!(limits.at(place).strength(count, sec) < 1.0);
            prop_assert!(may_lower || limits.at(place).act >= base.at(place).act);
        }

        /// Of all further runs that could have been any of those seen, no more are above the bound than the rate says: each
        /// in turn is left out, and held against the bound of the others.
        #[test]
        fn whatever_scores_are_like_the_rate_holds(
            scores in prop::collection::vec(prop_oneof![Just(0.5f32), 0.0..2.0f32], 2..300), rate in 0.005..0.5f64
        ) {
            let mut above = 0;
            for at in 0..scores.len() {
                let mut others = scores.clone();
                let left_out = others.swap_remove(at);
                let Some(bound) = bound(&others, rate) else { return Ok(()) };
                above += u32::from(left_out > bound);
            }
            prop_assert!(f64::from(above) <= rate * scores.len() as f64 + 1e-6, "{above} of {}", scores.len());
        }
    }
}
