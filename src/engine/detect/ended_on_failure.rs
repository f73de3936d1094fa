//! The source ends, and a failure is the last it said: silence afterwards is the second witness.

use super::{Detection, Detector, Incident, Observation, Options, single};
use crate::engine::policy::{AlertOn, Policy};
use crate::model::{Basis, Class, Level, Timestamp};

pub(super) fn build(_: &Options) -> Box<dyn Detector + Send> {
    Box::new(EndedOnFailure { last: None })
}

/// How many lines may follow a failure that only text tells of, for it still to be the last word: a hint, a path
/// of a report, a token count.
const LAST_WORDS: u64 = 5;

/// Alerts at the end when nothing came after a failure.
struct EndedOnFailure {
    /// The gravest incident of the latest report: what came of a trouble may be told after the trouble itself.
    last: Option<Incident>,
}

impl Detector for EndedOnFailure {
    fn observe(&mut self, _: Timestamp, observation: &Observation<'_>, policy: &Policy) -> Option<Detection> {
        match observation {
            Observation::Incident(incident) => {
                let row = policy.class(incident.class);
                // What the agent itself names as the end, or a field asserts, is not outweighed by what came before.
                let outweighed = self.last.as_ref().is_some_and(|last| {
                    incident.goes_on
                        && !(incident.ends || incident.self_healing || last.self_healing)
                        && (last.basis == incident.basis || last.basis == Basis::Asserted)
                        && policy.class(last.class).severity > row.severity
                });
                if row.alert != AlertOn::Never && !outweighed {
                    self.last = Some((*incident).clone());
                }
                None
            }
            Observation::Answered => {
                self.last.take_if(|last| last.class == Class::WaitingInput);
                None
            }
            Observation::Progress | Observation::Retrying(_) => {
                self.last = None;
                None
            }
            Observation::End { lines_since } => {
                let last = self.last.take()?;
                let silent = last.basis == Basis::Asserted || *lines_since <= LAST_WORDS;
                (silent && !last.self_healing).then(|| {
                    let reason = format!("nothing came after {}", last.class);
                    single("ended_on_failure", &last, Level::Act, reason)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{incident, show};
    use super::*;

    fn story(basis: Basis, healing: bool, progress: bool, lines_since: u64) -> bool {
        let mut detector = build(&Options::default());
        let last = Incident { basis, self_healing: healing, ..incident(Class::Network, 1) };
        show(detector.as_mut(), 1, Observation::Incident(&last));
        if progress {
            show(detector.as_mut(), 2, Observation::Progress);
        }
        show(detector.as_mut(), 3, Observation::End { lines_since }).is_some()
    }

    #[test]
    fn the_gravest_of_the_last_report_is_what_it_ended_on() {
        for (goes_on, ends, self_healing, want) in [
            (true, false, false, Some(Class::AuthError)),
            (false, false, false, Some(Class::Network)),
            (true, true, false, Some(Class::Network)),
            (true, false, true, None),
        ] {
            let mut detector = build(&Options::default());
            show(detector.as_mut(), 1, Observation::Incident(&incident(Class::AuthError, 1)));
            let last = Incident { goes_on, ends, self_healing, ..incident(Class::Network, 2) };
            show(detector.as_mut(), 2, Observation::Incident(&last));
            let found = show(detector.as_mut(), 3, Observation::End { lines_since: 0 });
            assert_eq!(found.map(|found| found.class), want);
        }
    }

    #[test]
    fn a_failure_that_no_rule_knows_is_a_warning() {
        let mut detector = build(&Options::default());
        let retry_at = Some(Timestamp::from_seconds(9));
        let guess = Incident { guess: true, retry_at, ..incident(Class::Crash, 1) };
        show(detector.as_mut(), 1, Observation::Incident(&guess));
        let found = show(detector.as_mut(), 2, Observation::End { lines_since: 0 }).unwrap();
        assert_eq!((found.level, found.retry_at), (Level::Warn, retry_at));
        assert!(found.reason.contains("no rule knows"), "{}", found.reason);
    }

    #[test]
    fn only_an_unanswered_last_failure_counts() {
        assert!(story(Basis::Inferred, false, false, 2));
        assert!(story(Basis::Asserted, false, false, 400));
        assert!(!story(Basis::Inferred, false, false, 400), "the program went on");
        assert!(!story(Basis::Asserted, false, true, 0), "the agent worked again");
        assert!(!story(Basis::Asserted, true, false, 0), "it was retrying by itself");
    }
}
