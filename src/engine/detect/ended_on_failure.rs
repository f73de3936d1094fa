//! The source ends, and a failure is the last it said: silence afterwards is the second witness.

use super::{Detection, Detector, Incident, Observation, Options, single};
use crate::engine::policy::{AlertOn, Policy};
use crate::model::{Basis, Level, Timestamp};

pub(super) fn build(_: &Options) -> Box<dyn Detector + Send> {
    Box::new(EndedOnFailure { last: None })
}

/// How many lines may follow a failure that only text tells of, for it still to be the last word: a hint, a path
/// of a report, a token count.
const LAST_WORDS: u64 = 5;

/// Alerts at the end when nothing came after a failure.
struct EndedOnFailure {
    last: Option<Incident>,
}

impl Detector for EndedOnFailure {
    fn observe(&mut self, _: Timestamp, observation: &Observation<'_>, policy: &Policy) -> Option<Detection> {
        match observation {
            Observation::Incident(incident) => {
                if policy.class(incident.class).alert != AlertOn::Never {
                    self.last = Some((*incident).clone());
                }
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
    use crate::model::Class;

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
    fn only_an_unanswered_last_failure_counts() {
        assert!(story(Basis::Inferred, false, false, 2));
        assert!(story(Basis::Asserted, false, false, 400));
        assert!(!story(Basis::Inferred, false, false, 400), "the program went on");
        assert!(!story(Basis::Asserted, false, true, 0), "the agent worked again");
        assert!(!story(Basis::Asserted, true, false, 0), "it was retrying by itself");
    }
}
