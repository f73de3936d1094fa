//! Patterns over time: one detector a file.
//!
//! To add a detector: write `<name>.rs` beside this file with a type that implements [`Detector`] and
//! `pub(super) fn build(&Options) -> Box<dyn Detector + Send>`, and add its word to the `detectors!` list below.

pub mod hang;
pub mod loops;

use std::sync::Arc;

use crate::engine::policy::Policy;
use crate::model::{Basis, Class, Level, Timestamp};

/// Declares the detectors: their modules, and the list in which they are asked.
macro_rules! detectors {
    ($($name:ident)+) => {
        $(mod $name;)+

        /// Builds every detector for one session, in the order in which they are asked.
        pub fn build_all(options: &Options) -> Vec<Box<dyn Detector + Send>> {
            vec![$($name::build(options),)+]
        }
    };
}

detectors! { first_asserted run_failed error_burst ended_on_failure }

/// The settings of the detectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many incidents of a class make a burst.
    pub error_repeat_count: u32,
    /// Within how many seconds.
    pub error_window_sec: u64,
    /// How much evidence of which loop is worth a warning, and how much an interruption.
    pub loops: Arc<loops::limits::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Self { error_repeat_count: 3, error_window_sec: 300, loops: Arc::default() }
    }
}

/// One failure as the detectors see it. Several records may tell of one failure; they are one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// What kind of failure.
    pub class: Class,
    /// Event time: the record's own, else that of the last record that had one, else arrival.
    pub time: Timestamp,
    /// The finding's id.
    pub finding: String,
    /// Whether a structured field says so.
    pub basis: Basis,
    /// Whether the agent is already mending it by itself.
    pub self_healing: bool,
    /// Whether it ends the turn or the run.
    pub ends: bool,
    /// Whether it only says again what the finding before it said.
    pub restates: bool,
    /// Whether it is part of the report that the incident before it began: programs tell one trouble in several lines.
    pub goes_on: bool,
    /// Whether no rule knows the failure: that there was one is certain, its class is a guess.
    pub guess: bool,
    /// When the server says that it is worth another attempt.
    pub retry_at: Option<Timestamp>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation<'a> {
    /// A failure was found.
    Incident(&'a Incident),
    /// The agent says that it is retrying after the failure of this class that it reported before.
    Retrying(Class),
    /// A person answered: the agent waits for nobody any more. Says nothing of other troubles.
    Answered,
    /// The agent works: the model answered, a tool succeeded, a turn ended well.
    Progress,
    /// The source ended; this many lines came after the last incident.
    End {
        /// Lines with text that came after the last incident.
        lines_since: u64,
    },
}

/// A detector's verdict, before the policy has seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The detector.
    pub detector: &'static str,
    /// What kind of failure.
    pub class: Class,
    /// How much it is meant.
    pub level: Level,
    /// How many incidents stand behind it.
    pub count: u64,
    /// The window they were counted in, in seconds; 0 where there is none.
    pub window_sec: u64,
    /// The ids of the first and the last finding behind it.
    pub evidence: (String, String),
    /// Why, as a sentence.
    pub reason: String,
    /// How it was reached.
    pub basis: Basis,
    /// When the server says that it is worth another attempt.
    pub retry_at: Option<Timestamp>,
    /// What is repeated, where something is: the same over resumed and restarted runs.
    pub key: Option<u64>,
}

/// Sees a pattern over time in one session.
pub trait Detector {
    /// Takes note of what happened at `now` (event time) and says what it sees.
    fn observe(
        &mut self,
        now: Timestamp,
        observation: &Observation<'_>,
        policy: &Policy,
    ) -> Option<Detection>;
}

/// Returns a detection that one incident is enough for.
///
/// Of a guess there is only a warning: what to do about a failure that no rule knows is for a person to say.
fn single(detector: &'static str, incident: &Incident, level: Level, reason: String) -> Detection {
    let (level, reason) = if incident.guess {
        (Level::Warn, format!("{reason}; no rule knows this failure, so nothing is advised"))
    } else {
        (level, reason)
    };
    Detection {
        detector,
        class: incident.class,
        level,
        count: 1,
        window_sec: 0,
        evidence: (incident.finding.clone(), incident.finding.clone()),
        reason,
        basis: incident.basis,
        retry_at: incident.retry_at,
        key: None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns an incident of a class at a second.
    pub fn incident(class: Class, second: i64) -> Incident {
        Incident {
            class,
            time: Timestamp::from_seconds(second),
            finding: format!("f-{second}"),
            basis: Basis::Asserted,
            self_healing: false,
            ends: false,
            restates: false,
            goes_on: false,
            guess: false,
            retry_at: None,
        }
    }

    /// Shows an observation to a detector.
    pub fn show(detector: &mut dyn Detector, second: i64, observation: Observation<'_>) -> Option<Detection> {
        detector.observe(Timestamp::from_seconds(second), &observation, &Policy::default())
    }
}
