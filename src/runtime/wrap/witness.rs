//! What recovery must know of an attempt, collected where its output is looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::input::Stream;
use crate::engine::step::tools::{self, Call, Effect};
use crate::engine::{Doctor, Listener, ansi, redact};
use crate::model::record::Body;
use crate::model::{Class, Event, EventBody, Level, Timestamp};
use crate::recovery::{Facts, Notes, Source};

/// The longest line of output that is kept for recovery, in bytes; what is longer is no message.
const LINE: usize = 4096;

/// How many characters of a tool call are kept.
const CALL: usize = 90;

/// What was seen so far; shared between those who see and the one who decides.
#[derive(Clone, Debug)]
pub struct Witness(Arc<Mutex<Seen>>);

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// Of the attempt.
    pub facts: Facts,
    /// Of the session.
    pub notes: Notes,
    /// The latest alert to act on, by class: its id.
    pub alerts: BTreeMap<Class, String>,
    /// What was seen elsewhere than in the output and was not told: the latest finding and the latest alert to act on,
    /// by class.
    untold: BTreeMap<Class, [Option<Event>; 2]>,
    /// The unfinished lines of the streams.
    rests: [Vec<u8>; 3],
}

impl Witness {
    /// Returns a witness that has seen nothing of an attempt that begins now.
    pub fn new(now: Timestamp, notes: Notes) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            facts: Facts::new(now),
            notes,
            alerts: BTreeMap::new(),
            untold: BTreeMap::new(),
            rests: Default::default(),
        })))
    }

    /// Returns what was seen.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new attempt begins: what was seen of the one before is over, what is known of the session is not.
    pub fn begin_attempt(&self, now: Timestamp) {
        let mut seen = self.seen();
        seen.facts = Facts::new(now);
        seen.alerts.clear();
        seen.untold.clear();
        seen.rests = Default::default();
    }

    /// Makes a doctor tell it of every record that comes from here. What is older than `copied_before` is no deed of
    /// this attempt, but part of the session all the same.
    pub fn hear(&self, doctor: &mut Doctor, from: Source, copied_before: Option<Timestamp>) {
        doctor.listen(|| {
            let witness = self.clone();
            let listener: Listener = Box::new(move |now, record| {
                let mut seen = witness.seen();
                let is_older = |time| copied_before.is_some_and(|before| time < before);
                if let (Body::ToolCall(call), None) = (&record.body, &record.subagent) {
                    let Call { effect, label, .. } = tools::read(&call.name, &call.input.read());
                    let waits = matches!(effect, Effect::Wait | Effect::Delegate);
                    if !record.time.is_some_and(is_older) {
                        seen.facts.called(now, &call.id, &redact::excerpt(&label, CALL), waits);
                    }
                }
                match from {
                    _ if record.time.is_some_and(is_older) => {}
                    Source::Transcript => seen.facts.record_written(now, record),
                    _ => seen.facts.record(now, record),
                }
                seen.notes.record(record);
            });
            listener
        });
    }

    /// Takes note of an event.
    pub fn event(&self, source: Source, event: &Event) {
        let mut seen = self.seen();
        seen.facts.event(source, event);
        if let EventBody::Alert(alert) = &event.body
            && alert.level == Level::Act
        {
            seen.alerts.insert(alert.class, event.id.clone());
        }
    }

    /// Keeps an event that is not told, for it may be what a decision rests on.
    pub fn keep(&self, event: Event) {
        let (class, at) = match &event.body {
            EventBody::Finding(finding) => (finding.class, 0),
            EventBody::Alert(alert) if alert.level == Level::Act => (alert.class, 1),
            _ => return,
        };
        self.seen().untold.entry(class).or_default()[at] = Some(event);
    }

    /// Returns the alert that a decision about this class rests on, and what is to be told before it.
    pub fn ground(&self, class: Class) -> (String, Vec<Event>) {
        let mut seen = self.seen();
        let alert = seen.alerts.get(&class).cloned().unwrap_or_default();
        let is_it = |event: &Event| event.id == alert;
        let is_kept = seen.untold.get(&class).is_some_and(|[_, kept]| kept.as_ref().is_some_and(is_it));
        let untold = if is_kept { seen.untold.remove(&class).unwrap_or_default() } else { [None, None] };
        (alert, untold.into_iter().flatten().collect())
    }

    /// Takes note of output as it stands there: what rejects a resume is often in no format.
    pub fn output(&self, stream: Stream, bytes: &[u8]) {
        let mut seen = self.seen();
        let seen = &mut *seen;
        let rest = &mut seen.rests[stream as usize];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(rest.len());
            rest.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = ansi::strip(rest);
                if !line.trim().is_empty() {
                    seen.facts.line(line.trim_end());
                }
                rest.clear();
            }
        }
    }

    /// The attempt is over: lines that were not ended are lines all the same.
    pub fn output_ended(&self) {
        let mut seen = self.seen();
        let seen = &mut *seen;
        for rest in &mut seen.rests {
            let line = ansi::strip(rest);
            if !line.trim().is_empty() {
                seen.facts.line(line.trim_end());
            }
            rest.clear();
        }
    }
}

/// Returns what recovery calls a stream.
pub fn source(stream: Stream) -> Source {
    match stream {
        Stream::Stdout => Source::Stdout,
        Stream::Stderr => Source::Stderr,
        Stream::Terminal => Source::Terminal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Alert, Finding};
    use crate::model::{Basis, Origin, Severity};

    fn event(id: &str, body: EventBody) -> Event {
        Event {
            id: id.to_owned(),
            session: "s".to_owned(),
            parent_session: None,
            agent: "qwen".to_owned(),
            time: None,
            observed_time: Timestamp::from_seconds(0),
            source: None,
            body,
        }
    }

    fn finding(id: &str, class: Class) -> Event {
        let finding = Finding {
            class,
            severity: Severity::Low,
            origin: Origin::Provider,
            basis: Basis::Asserted,
            rule: "r".to_owned(),
            status: Some(429),
            retryable: true,
            self_healing: false,
            retry_at: None,
            retry_at_basis: None,
            message: "Quota".to_owned(),
        };
        event(id, EventBody::Finding(finding))
    }

    fn alert(id: &str, class: Class, level: Level) -> Event {
        let alert = Alert {
            detector: "d".to_owned(),
            class,
            level,
            severity: Severity::Low,
            count: 1,
            window_sec: 0,
            evidence: Vec::new(),
            fingerprint: "t".to_owned(),
            reason: "why".to_owned(),
            basis: Basis::Asserted,
        };
        event(id, EventBody::Alert(alert))
    }

    #[test]
    fn what_only_the_transcript_said_is_told_once_before_the_decision_that_rests_on_it() {
        let witness = Witness::new(Timestamp::from_seconds(0), Notes::default());
        let told = |class| {
            let (alert, before) = witness.ground(class);
            (alert, before.into_iter().map(|event| event.id).collect::<Vec<_>>())
        };
        let written = |event: Event| {
            witness.event(Source::Transcript, &event);
            witness.keep(event);
        };
        assert_eq!(told(Class::UsageLimit), (String::new(), vec![]), "nothing was seen");
        written(finding("f1", Class::UsageLimit));
        written(alert("a1", Class::UsageLimit, Level::Warn));
        written(finding("f2", Class::UsageLimit));
        written(alert("a2", Class::UsageLimit, Level::Act));
        written(finding("f3", Class::Network));
        assert_eq!(told(Class::UsageLimit), ("a2".to_owned(), vec!["f2".to_owned(), "a2".to_owned()]));
        assert_eq!(told(Class::UsageLimit), ("a2".to_owned(), vec![]), "once");
        assert_eq!(told(Class::Network), (String::new(), vec![]), "no alert, no ground");

        written(alert("a3", Class::UsageLimit, Level::Act));
        witness.event(Source::Stdout, &alert("a4", Class::UsageLimit, Level::Act));
        assert_eq!(told(Class::UsageLimit), ("a4".to_owned(), vec![]), "the output has said it");

        written(alert("a5", Class::UsageLimit, Level::Act));
        witness.begin_attempt(Timestamp::from_seconds(9));
        assert_eq!(told(Class::UsageLimit), (String::new(), vec![]), "another attempt");
    }
}
