//! The same class of failure again and again within a window.

use std::collections::{BTreeMap, VecDeque};

use super::{Detection, Detector, Incident, Observation, Options};
use crate::engine::policy::{AlertOn, Policy};
use crate::model::{Basis, Class, Level, Timestamp};

pub(super) fn build(options: &Options) -> Box<dyn Detector + Send> {
    Box::new(ErrorBurst { options: options.clone(), seen: BTreeMap::new() })
}

/// Alerts when a class was met `error_repeat_count` times within `error_window_sec`, on event time.
struct ErrorBurst {
    options: Options,
    /// The latest incidents per class: at most `error_repeat_count` each, oldest first.
    seen: BTreeMap<Class, VecDeque<Seen>>,
}

/// What is kept of an incident.
struct Seen {
    time: Timestamp,
    finding: String,
    basis: Basis,
    guess: bool,
}

impl Detector for ErrorBurst {
    fn observe(&mut self, _: Timestamp, observation: &Observation<'_>, policy: &Policy) -> Option<Detection> {
        let incident = match observation {
            Observation::Incident(incident) => incident,
            Observation::Retrying(class) => {
                // The agent took the last one back: it is mending it by itself.
                self.seen.get_mut(class).and_then(VecDeque::pop_back);
                return None;
            }
            Observation::Answered => {
                self.seen.remove(&Class::WaitingInput);
                return None;
            }
            Observation::Progress => {
                self.seen.clear();
                return None;
            }
            Observation::End { .. } => return None,
        };
        if incident.self_healing || incident.restates || policy.class(incident.class).alert == AlertOn::Never {
            return None;
        }
        let needed = self.options.error_repeat_count.max(1) as usize;
        let seen = self.seen.entry(incident.class).or_default();
        let Incident { time, basis, guess, .. } = **incident;
        seen.push_back(Seen { time, finding: incident.finding.clone(), basis, guess });
        if seen.len() > needed {
            seen.pop_front();
        }
        let first = seen.front()?;
        let span = time.seconds_since(first.time).unsigned_abs();
        if seen.len() < needed || span > self.options.error_window_sec {
            return None;
        }
        let basis = if seen.iter().all(|seen| seen.basis == Basis::Asserted) {
            Basis::Asserted
        } else {
            Basis::Inferred
        };
        let found = Detection {
            detector: "error_burst",
            class: incident.class,
            level: if seen.iter().all(|seen| seen.guess) { Level::Warn } else { Level::Act },
            count: needed as u64,
            window_sec: self.options.error_window_sec,
            evidence: (first.finding.clone(), incident.finding.clone()),
            reason: format!("{} was met {needed} times within {span} s", incident.class),
            basis,
            retry_at: incident.retry_at,
            key: None,
        };
        // The next burst takes as many again.
        seen.clear();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{incident, show};
    use super::*;

    fn feed(detector: &mut dyn Detector, class: Class, second: i64) -> Option<Detection> {
        show(detector, second, Observation::Incident(&incident(class, second)))
    }

    #[test]
    fn three_within_the_window_are_a_burst() {
        let mut detector = build(&Options::default());
        assert!(feed(detector.as_mut(), Class::RateLimit, 0).is_none());
        assert!(feed(detector.as_mut(), Class::Network, 1).is_none());
        assert!(feed(detector.as_mut(), Class::RateLimit, 150).is_none());
        let found = feed(detector.as_mut(), Class::RateLimit, 300).unwrap();
        assert_eq!((found.count, found.window_sec), (3, 300));
        assert_eq!(found.evidence, ("f-0".to_owned(), "f-300".to_owned()));
        assert!(feed(detector.as_mut(), Class::RateLimit, 301).is_none(), "counting starts again");
    }

    #[test]
    fn spread_out_failures_are_none() {
        let mut detector = build(&Options::default());
        for second in [0, 200, 400, 600, 800] {
            assert!(feed(detector.as_mut(), Class::RateLimit, second).is_none(), "{second}");
        }
    }

    #[test]
    fn progress_retries_and_restatements_do_not_count() {
        let mut detector = build(&Options::default());
        feed(detector.as_mut(), Class::Network, 1);
        feed(detector.as_mut(), Class::Network, 2);
        show(detector.as_mut(), 3, Observation::Progress);
        assert!(feed(detector.as_mut(), Class::Network, 4).is_none());
        show(detector.as_mut(), 5, Observation::Retrying(Class::Network));
        feed(detector.as_mut(), Class::Network, 6);
        for unlike in [
            Incident { self_healing: true, ..incident(Class::Network, 7) },
            Incident { restates: true, ..incident(Class::Network, 8) },
        ] {
            assert!(show(detector.as_mut(), 8, Observation::Incident(&unlike)).is_none());
        }
        assert!(feed(detector.as_mut(), Class::Network, 9).is_none());
        assert!(feed(detector.as_mut(), Class::Network, 10).is_some());
    }
}
