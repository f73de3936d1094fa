//! Episodes: from the first alert of a class to the proof that the agent works again.

use crate::model::{Level, Timestamp};

/// One trouble of one class in one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Episode {
    /// Recoveries that were decided and did not help.
    failed: u32,
    /// When the latest decided recovery may begin; an alert after that says that it did not help.
    not_before: Option<Timestamp>,
    /// Whether the trouble was met anew since that recovery may have begun.
    again: bool,
    /// The strongest level that was told.
    told: Option<Level>,
    /// Whether the last word was to halt, or that nothing can be done but watch.
    closed: bool,
    /// When the trouble was last met.
    last: Timestamp,
}

impl Episode {
    /// Returns whether an alert of this level at `now` says anything new.
    pub fn is_news(&self, level: Level, now: Timestamp) -> bool {
        if self.closed {
            return false;
        }
        match (self.told, self.not_before) {
            (None, _) => true,
            (Some(told), None) => level > told,
            // A recovery is decided: what comes before its time, or says again what led to it, is the same trouble.
            (Some(_), Some(not_before)) => level == Level::Act && self.again && now >= not_before,
        }
    }

    /// Takes note that the trouble was met at `now`; `anew`: by something else than the words that were judged before.
    pub fn met(&mut self, now: Timestamp, anew: bool) {
        self.last = self.last.max(now);
        self.again |= anew && self.not_before.is_some_and(|not_before| now >= not_before);
    }

    /// Takes note that an alert was told; returns how many recoveries have failed before it.
    pub fn tell(&mut self, level: Level) -> u32 {
        self.told = Some(level);
        if self.not_before.is_some() {
            self.failed += 1;
        }
        self.failed
    }

    /// Takes note of a decision: its recovery may begin at `not_before`; `closed` says that no other will follow.
    pub fn decided(&mut self, not_before: Timestamp, closed: bool) {
        self.not_before = Some(not_before);
        self.again = false;
        self.closed = closed;
    }

    /// Returns whether the trouble was not met for `quiet_sec` seconds before `now`, beyond any wait decided.
    pub fn is_over(&self, now: Timestamp, quiet_sec: u64) -> bool {
        let since = self.not_before.map_or(self.last, |not_before| self.last.max(not_before));
        now.seconds_since(since) > i64::try_from(quiet_sec).unwrap_or(i64::MAX)
    }

    /// Returns when [`Self::is_over`] becomes true if nothing more is met.
    pub fn over_at(&self, quiet_sec: u64) -> Timestamp {
        let since = self.not_before.map_or(self.last, |not_before| self.last.max(not_before));
        since.plus_seconds(i64::try_from(quiet_sec.saturating_add(1)).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    #[test]
    fn a_warning_may_grow_into_an_alert_to_act_on_once() {
        let mut episode = Episode::default();
        assert!(episode.is_news(Level::Warn, at(0)));
        episode.tell(Level::Warn);
        assert!(!episode.is_news(Level::Warn, at(1)));
        assert!(episode.is_news(Level::Act, at(1)));
    }

    #[test]
    fn trouble_after_the_recovery_counts_as_its_failure() {
        let mut episode = Episode::default();
        assert_eq!(episode.tell(Level::Act), 0);
        episode.decided(at(10), false);
        episode.met(at(9), true);
        assert!(!episode.is_news(Level::Act, at(9)), "the wait is not over");
        assert!(!episode.is_news(Level::Act, at(10)), "it was met before the recovery could begin");
        episode.met(at(10), false);
        assert!(!episode.is_news(Level::Act, at(10)), "it was only told again");
        episode.met(at(10), true);
        assert!(episode.is_news(Level::Act, at(10)));
        assert_eq!(episode.tell(Level::Act), 1);
        episode.decided(at(20), true);
        assert!(!episode.is_news(Level::Act, at(99)), "after the halt there is nothing more to say");
    }

    #[test]
    fn quiet_ends_it() {
        let mut episode = Episode::default();
        episode.met(at(100), true);
        assert!(!episode.is_over(at(400), 300));
        assert!(episode.is_over(at(401), 300));
        episode.decided(at(1000), false);
        assert!(!episode.is_over(at(1300), 300), "a decided wait is no quiet");
        assert_eq!(episode.over_at(300), at(1301));
    }
}
