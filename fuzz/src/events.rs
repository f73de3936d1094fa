//! What holds for the events of any stream.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use session_doctor::engine::encoding::Decoder;
use session_doctor::model::event::{Condition, Summary};
use session_doctor::model::{Event, EventBody, Health, Level};

use crate::redact::shown_is_clean;

/// How many characters a message has at most.
const MESSAGE_CHARS: usize = 200;

/// How many characters the id of a session, and that of a sub-agent behind it, have at most.
const SESSION_CHARS: usize = 128;

/// Holds the events that came of a stream to the wire format and to each other.
pub fn check(events: &[Event], stream: &[u8]) {
    let stream = &*as_counted(stream);
    let lines = line_starts(stream);
    let (mut ids, mut findings, mut alerts) = (HashSet::new(), HashSet::new(), HashMap::new());
    let mut health: HashMap<&str, Condition> = HashMap::new();
    let mut known: HashSet<&str> = HashSet::new();
    for (number, event) in events.iter().enumerate() {
        assert!(ids.insert(event.id.as_str()), "two events have one id: {event:#?}");
        session_is_short(&event.session, event.parent_session.as_deref());
        let is_last = number + 1 == events.len();
        assert_eq!(matches!(event.body, EventBody::Summary(_)), is_last, "the summary is the last event");
        if let Some(place) = &event.source
            && !is_last
        {
            let start = usize::try_from(place.line).ok().and_then(|line| lines.get(line.checked_sub(1)?));
            assert_eq!(start, Some(&place.offset), "no line begins there: {event:#?}");
        }
        let line = serde_json::to_string(event).expect("events become JSON");
        assert!(!line.contains(char::is_control));
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&line).expect("an object");
        assert_eq!(fields["v"], 1);
        match &event.body {
            EventBody::SessionStarted(_) => {
                known.insert(&event.session);
                // One that was forgotten begins anew when it comes back.
                health.remove(event.session.as_str());
            }
            EventBody::SessionUpdated(session) => {
                known.insert(&event.session);
                if let Some(before) = &session.previous_session
                    && let Some(state) = health.remove(before.as_str())
                {
                    health.insert(&event.session, state);
                }
            }
            _ => assert!(
                is_last || known.contains(event.session.as_str()),
                "nobody knows the session: {event:#?}"
            ),
        }
        match &event.body {
            EventBody::SessionStarted(session) | EventBody::SessionUpdated(session) => {
                for told in [&session.cwd, &session.model, &session.agent_session].into_iter().flatten() {
                    is_shown_well(told, MESSAGE_CHARS);
                }
            }
            EventBody::Finding(finding) => {
                findings.insert(event.id.as_str());
                is_shown_well(&finding.message, MESSAGE_CHARS);
                assert_eq!(finding.retry_at.is_some(), finding.retry_at_basis.is_some(), "{event:#?}");
                assert!(finding.status.is_none_or(|status| (400..600).contains(&status)), "{event:#?}");
            }
            EventBody::Alert(alert) => {
                alerts.insert(event.id.as_str(), alert);
                assert!((1..=2).contains(&alert.evidence.len()), "{event:#?}");
                // A finding that was told, or a place in the stream up to here.
                let is_place = |evidence: &str| {
                    let (name, line) = evidence.rsplit_once(':')?;
                    // Silence stands nowhere.
                    let place = event.source.as_ref().map(|place| (&*place.name, place.line));
                    let (here, last) = place.unwrap_or((name, lines.len() as u64));
                    Some(here == name && (1..=last).contains(&line.parse().ok()?))
                };
                let shown = |evidence: &String| {
                    findings.contains(evidence.as_str()) || is_place(evidence) == Some(true)
                };
                assert!(alert.evidence.iter().all(shown), "an alert without its evidence: {event:#?}");
                let next = events.get(number + 1..).unwrap_or_default();
                let decided = next.iter().take(2).any(|next| match &next.body {
                    EventBody::Decision(decision) => decision.alert == event.id,
                    _ => false,
                });
                assert_eq!(decided, alert.level == Level::Act, "{event:#?}");
            }
            EventBody::Decision(decision) => {
                let alert = alerts.get(decision.alert.as_str()).expect("a decision is about an alert");
                assert_eq!((alert.class, decision.acted), (decision.class, false));
                assert!(decision.attempt <= decision.max_attempts, "{event:#?}");
            }
            EventBody::Status(status) => {
                let before = health.insert(&event.session, status.to).unwrap_or(Health::Ok.into());
                assert_eq!(before, status.from, "{event:#?}");
                assert_ne!(status.from, status.to);
            }
            EventBody::Outcome(_) => panic!("nothing was carried out: {event:#?}"),
            EventBody::Usage(usage) => {
                assert_eq!(usage.usage_pct.is_some(), usage.pressure.is_some(), "{event:#?}");
                assert_eq!(usage.context_tokens.is_some(), usage.context_basis.is_some(), "{event:#?}");
                assert!(usage.usage_pct.is_none_or(|share| share >= 0.0), "{event:#?}");
            }
            EventBody::Summary(summary) => adds_up(summary, events, stream),
        }
    }
}

/// Returns a stream as its lines and bytes are counted: in UTF-8 if it says that it is in UTF-16.
fn as_counted(stream: &[u8]) -> Cow<'_, [u8]> {
    if !(stream.starts_with(b"\xff\xfe") || stream.starts_with(b"\xfe\xff")) {
        return Cow::Borrowed(stream);
    }
    let mut decoder = Decoder::default();
    let mut text = decoder.push(stream).1.into_owned();
    text.extend(decoder.finish());
    Cow::Owned(text)
}

/// Returns where each line begins: the first behind a byte order mark.
fn line_starts(stream: &[u8]) -> Vec<u64> {
    let first = if stream.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let ends = stream.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at as u64 + 1);
    std::iter::once(first).chain(ends).collect()
}

/// Asserts that a text is one short, clean line.
fn is_shown_well(text: &str, most: usize) {
    assert!(text.chars().count() <= most && !text.contains(char::is_control), "{text:?}");
    shown_is_clean(text);
}

fn session_is_short(session: &str, parent: Option<&str>) {
    assert!(!session.is_empty());
    match parent {
        None => is_shown_well(session, SESSION_CHARS),
        Some(parent) => {
            is_shown_well(parent, SESSION_CHARS);
            let name = session.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
            is_shown_well(
                name.expect("the name of a sub-agent stands behind that of its session"),
                SESSION_CHARS,
            );
        }
    }
}

/// Asserts that the summary says what was told before.
fn adds_up(summary: &Summary, events: &[Event], stream: &[u8]) {
    let ends = stream.iter().filter(|byte| **byte == b'\n').count() as u64;
    let unended = u64::from(stream.last().is_some_and(|byte| *byte != b'\n'));
    assert_eq!((summary.lines, summary.bytes), (ends + unended, stream.len() as u64));
    let (mut findings, mut alerts, mut healing) = (BTreeMap::new(), BTreeMap::new(), 0);
    for event in events {
        match &event.body {
            EventBody::Finding(finding) => {
                *findings.entry(finding.class.name()).or_insert(0) += 1;
                healing += u64::from(finding.self_healing);
            }
            EventBody::Alert(alert) => *alerts.entry(alert.class.name()).or_insert(0) += 1,
            _ => {}
        }
    }
    assert_eq!((&summary.findings, &summary.alerts, summary.self_healing), (&findings, &alerts, healing));
    assert!(summary.undecoded <= summary.lines && summary.dropped_events == 0);
}
