//! The first failure of a class that leaves no room for doubt: an account, money, a limit with a reset time.

use super::{Detection, Detector, Incident, Observation, Options, single};
use crate::engine::policy::{AlertOn, Policy};
use crate::model::{Basis, Level, Timestamp};

pub(super) fn build(_: &Options) -> Box<dyn Detector + Send> {
    Box::new(FirstAsserted)
}

/// Alerts on the first incident of a class whose policy says `first`: to act where a structured field asserts it,
/// to look where only text says so.
struct FirstAsserted;

impl Detector for FirstAsserted {
    fn observe(&mut self, _: Timestamp, observation: &Observation<'_>, policy: &Policy) -> Option<Detection> {
        let Observation::Incident(incident @ Incident { self_healing: false, .. }) = observation else {
            return None;
        };
        if policy.class(incident.class).alert != AlertOn::First {
            return None;
        }
        let (level, reason) = match incident.basis {
            Basis::Asserted => (Level::Act, format!("one asserted {} is enough", incident.class)),
            Basis::Inferred => {
                (Level::Warn, format!("one line of text says {}; nothing else confirms it yet", incident.class))
            }
        };
        Some(single("first_asserted", incident, level, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{incident, show};
    use super::*;
    use crate::model::Class;

    #[test]
    fn the_first_asserted_auth_error_is_to_act_on() {
        let mut detector = build(&Options::default());
        let found = show(detector.as_mut(), 1, Observation::Incident(&incident(Class::AuthError, 1)));
        assert_eq!(found.map(|found| found.level), Some(Level::Act));
    }

    #[test]
    fn text_alone_is_a_warning_and_a_retry_is_nothing() {
        let mut detector = build(&Options::default());
        let inferred = Incident { basis: Basis::Inferred, ..incident(Class::UsageLimit, 1) };
        let found = show(detector.as_mut(), 1, Observation::Incident(&inferred));
        assert_eq!(found.map(|found| found.level), Some(Level::Warn));
        let retried = Incident { self_healing: true, ..incident(Class::AuthError, 2) };
        assert_eq!(show(detector.as_mut(), 2, Observation::Incident(&retried)), None);
        assert_eq!(show(detector.as_mut(), 3, Observation::Incident(&incident(Class::Overloaded, 3))), None);
    }
}
