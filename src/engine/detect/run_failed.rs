//! A record says that the turn or the run ended because of a failure.

use super::{Detection, Detector, Observation, Options, single};
use crate::engine::policy::{AlertOn, Policy};
use crate::model::{Level, Timestamp};

pub(super) fn build(_: &Options) -> Box<dyn Detector + Send> {
    Box::new(RunFailed)
}

/// Alerts on an incident that ends the run: the agent's own retries are over.
struct RunFailed;

impl Detector for RunFailed {
    fn observe(&mut self, _: Timestamp, observation: &Observation<'_>, policy: &Policy) -> Option<Detection> {
        let Observation::Incident(incident) = observation else { return None };
        if !incident.ends || incident.self_healing || policy.class(incident.class).alert == AlertOn::Never {
            return None;
        }
        Some(single("run_failed", incident, Level::Act, format!("the agent ended its turn with {}", incident.class)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{incident, show};
    use super::super::{Incident, Observation};
    use super::*;
    use crate::model::Class;

    #[test]
    fn a_failure_that_ends_the_run_needs_no_repetition() {
        let mut detector = build(&Options::default());
        let ends = Incident { ends: true, restates: true, ..incident(Class::Overloaded, 1) };
        assert!(show(detector.as_mut(), 1, Observation::Incident(&ends)).is_some());
        assert!(show(detector.as_mut(), 2, Observation::Incident(&incident(Class::Overloaded, 2))).is_none());
    }
}
