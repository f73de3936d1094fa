//! From an alert to what should be done: a strategy, an attempt, a time. Decides; never acts.

pub mod backoff;
pub mod episode;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::model::{Class, Severity, Strategy, Timestamp};

use backoff::Backoff;

/// When a class raises an alert.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AlertOn {
    /// The first finding that a structured field asserts.
    First,
    /// Several incidents within a window, or one that ends the run.
    Repeat,
    /// Never by itself.
    Never,
}

impl AlertOn {
    /// Returns the value with this name (`first`, `repeat`, `never`).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "first" => Some(Self::First),
            "repeat" => Some(Self::Repeat),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// What a class means.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClassPolicy {
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it.
    pub strategy: Strategy,
    /// When to raise an alert.
    pub alert: AlertOn,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
}

/// The whole policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    classes: BTreeMap<Class, ClassPolicy>,
    /// How long to wait.
    pub backoff: Backoff,
    /// How many recoveries of one episode may fail before only a person can help.
    pub max_auto_retries: u32,
    /// How many seconds without a failure of its class end an episode, where nothing proves that the agent works.
    pub quiet_sec: u64,
}

impl Default for Policy {
    fn default() -> Self {
        static TABLE: OnceLock<BTreeMap<Class, ClassPolicy>> = OnceLock::new();
        let table = TABLE
            .get_or_init(|| toml::from_str(include_str!("table.toml")).expect("a file that the tests load"));
        Self { classes: table.clone(), backoff: Backoff::default(), max_auto_retries: 2, quiet_sec: 600 }
    }
}

/// What should be done, before it becomes an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub strategy: Strategy,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// How many there are.
    pub max_attempts: u32,
    /// How long to wait first, in seconds.
    pub delay_sec: u64,
    /// Why, as a sentence.
    pub reason: String,
}

impl Policy {
    /// Returns what a class means.
    pub fn class(&self, class: Class) -> ClassPolicy {
        *self.classes.get(&class).expect("the table has a row for every class; a test says so")
    }

    /// Changes what a class means; `None` leaves a part as it is.
    pub fn set(
        &mut self,
        class: Class,
        severity: Option<Severity>,
        strategy: Option<Strategy>,
        alert: Option<AlertOn>,
    ) {
        let row = self.classes.get_mut(&class).expect("the table has a row for every class; a test says so");
        row.severity = severity.unwrap_or(row.severity);
        row.strategy = strategy.unwrap_or(row.strategy);
        row.alert = alert.unwrap_or(row.alert);
    }

    /// Decides about trouble of a class that has already seen `failed` recoveries.
    ///
    /// `now` is the time of the alert, `reset` the time that the server named, `seed` what the jitter comes from.
    pub fn decide(
        &self,
        class: Class,
        failed: u32,
        now: Timestamp,
        reset: Option<Timestamp>,
        seed: &str,
    ) -> Verdict {
        let row = self.class(class);
        let max_attempts = self.max_auto_retries.max(1);
        let attempt = failed + 1;
        if attempt > max_attempts && !matches!(row.strategy, Strategy::Halt | Strategy::Monitor) {
            return Verdict {
                strategy: Strategy::Halt,
                attempt,
                max_attempts,
                delay_sec: 0,
                reason: format!("{failed} recoveries from {class} did not help"),
            };
        }
        let named = reset.and_then(|reset| Some((reset, self.backoff.until(reset, now)?)));
        let (delay_sec, wait) = match (row.strategy, class, named) {
            (Strategy::Backoff | Strategy::Resume | Strategy::Restart, _, Some((reset, wait))) => {
                (wait, format!("the limit resets at {reset}"))
            }
            // The window has just been reset, if both clocks are right.
            (Strategy::Backoff, Class::UsageLimit, None) if reset.is_some() => {
                (self.backoff.reset_margin_sec, "the time at which the limit resets has passed".to_owned())
            }
            (Strategy::Backoff, Class::UsageLimit, None) => {
                (self.backoff.unknown_reset_sec, "nobody said when the limit resets".to_owned())
            }
            (Strategy::Backoff | Strategy::Restart, _, None) => {
                let delay = self.backoff.delay_sec(attempt, seed);
                (delay, format!("step {attempt} of the backoff"))
            }
            (Strategy::Halt, ..) => (0, "no retry can help".to_owned()),
            (Strategy::Monitor, ..) => (0, "nothing to do but watch".to_owned()),
            (Strategy::Resume, ..) => (0, "it can go on where it stopped".to_owned()),
            (Strategy::BreakLoop, ..) => (0, "it must be turned to another approach".to_owned()),
            _ => (0, "the request must change first".to_owned()),
        };
        Verdict {
            strategy: row.strategy,
            attempt,
            max_attempts,
            delay_sec,
            reason: format!("{class}: {wait}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    #[test]
    fn every_class_has_a_row() {
        let policy = Policy::default();
        for class in Class::ALL {
            policy.class(*class);
        }
    }

    #[test]
    fn after_the_allowed_recoveries_comes_the_halt() {
        let policy = Policy::default();
        let steps: Vec<_> =
            (0..4).map(|failed| policy.decide(Class::Overloaded, failed, NOW, None, "s")).collect();
        assert_eq!(
            steps.iter().map(|step| step.strategy).collect::<Vec<_>>(),
            [Strategy::Backoff, Strategy::Backoff, Strategy::Halt, Strategy::Halt]
        );
        assert_eq!((steps[1].attempt, steps[1].max_attempts), (2, 2));
    }

    #[test]
    fn the_servers_own_time_wins_over_the_backoff() {
        let reset = NOW.plus_seconds(3_600);
        let verdict = Policy::default().decide(Class::RateLimit, 0, NOW, Some(reset), "s");
        assert_eq!(verdict.delay_sec, 3_645);
        let verdict = Policy::default().decide(Class::RateLimit, 0, NOW, Some(NOW.plus_seconds(8)), "s");
        assert_eq!(verdict.delay_sec, 8, "a short wait is meant to the second");
        let verdict = Policy::default().decide(Class::RateLimit, 0, NOW, Some(NOW.plus_seconds(-8)), "s");
        assert!((1..=2).contains(&verdict.delay_sec), "{}", verdict.delay_sec);
        let verdict = Policy::default().decide(Class::UsageLimit, 0, NOW, Some(NOW.plus_seconds(-8)), "s");
        assert_eq!(verdict.delay_sec, 45);
        let verdict = Policy::default().decide(Class::UsageLimit, 0, NOW, None, "s");
        assert_eq!(verdict.delay_sec, 900);
    }

    #[test]
    fn a_fatal_class_halts_at_once() {
        let verdict = Policy::default().decide(Class::AuthError, 0, NOW, None, "s");
        assert_eq!((verdict.strategy, verdict.delay_sec), (Strategy::Halt, 0));
    }
}
