//! The pure core: bytes and a time in, events out. No I/O, clock, thread, async, environment or randomness.
//!
//! [`Doctor`] is the whole of it seen from outside: `feed` it bytes, `tick` it when nothing comes, `finish` it at the
//! end. The same bytes and times give the same events, however the bytes were cut.

pub mod ansi;
pub mod framing;

pub mod document;
pub mod format;
mod stream;

pub mod classify;
mod judge;
pub mod redact;
pub mod session;

pub mod detect;
pub mod policy;

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::model::{Class, Event, Timestamp};

use classify::Look;
use classify::rules::Rules;
use classify::scan::Scanner;
use format::Format;
use framing::Framer;
use policy::Policy;
use stream::Core;

/// What the fuzz targets need beyond the interface.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use super::format::plain::read_line;
}

/// How many characters of a message an event quotes.
pub const MESSAGE_CHARS: usize = 200;

/// What a [`Doctor`] is made of; shared by all doctors of a run.
#[derive(Clone)]
pub struct Options {
    /// The rules.
    pub rules: Arc<Rules>,
    /// The policy.
    pub policy: Policy,
    /// The detectors' settings.
    pub detect: detect::Options,
    /// The forced format; `None`: told from the first records.
    pub agent: Option<&'static dyn Format>,
    /// Where a clock without a zone is taken to be.
    pub zone: TimeZone,
    /// How many bytes of a line, or of a document that spans lines, are kept.
    pub line_limit: usize,
    /// How many sessions and sub-agents of one source are kept in mind; the one unheard of for longest goes first.
    pub max_sessions: usize,
    scanner: Scanner,
}

impl Options {
    /// Returns options with the built-in rules and defaults.
    pub fn new() -> Self {
        Self::with_rules(Rules::built_in())
    }

    /// Returns options with these rules and defaults.
    pub fn with_rules(rules: Arc<Rules>) -> Self {
        let openings: Vec<&str> =
            format::FORMATS.iter().flat_map(|format| format.banners()).copied().chain(["```"]).collect();
        Self {
            scanner: Scanner::new(&rules, &openings),
            rules,
            policy: Policy::default(),
            detect: detect::Options::default(),
            agent: None,
            zone: TimeZone::UTC,
            line_limit: 4 << 20,
            max_sessions: 64,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Watches one source.
pub struct Doctor {
    framer: Framer,
    core: Core,
}

impl Doctor {
    /// Returns a doctor for a source of this name (a path, or `-`). `seed` tells apart sources of one name: the id of
    /// a session that never says its own comes from it.
    pub fn new(options: Arc<Options>, name: &str, seed: &str) -> Self {
        Self { framer: Framer::new(options.line_limit), core: Core::new(options, name, seed) }
    }

    /// Says when the source was last written. What a record without a time tells of happened then, or before: an old
    /// log must not be read as if it were of today.
    pub fn written_at(&mut self, written: Timestamp) {
        self.core.written = Some(written);
    }

    /// Says, before anything is fed, that so many whole lines and bytes of the source were passed over: places count
    /// them, the summary does not.
    pub fn begin_at(&mut self, lines: u64, bytes: u64) {
        self.framer.begin_at(lines, bytes);
        self.core.skipped = (lines, bytes);
    }

    /// Takes the next bytes, which arrived at `now`.
    pub fn feed(&mut self, now: Timestamp, chunk: &[u8], out: &mut dyn FnMut(Event)) {
        let core = &mut self.core;
        self.framer.push(chunk, |block| core.block(now, block, out));
    }

    /// Says that it is `now`, and nothing came.
    pub fn tick(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        if self.core.wrapped_deadline.is_some_and(|deadline| now >= deadline) {
            self.core.settle_wrapped(now, out);
        }
        let moment = self.core.moment(now, None, None);
        for track in &mut self.core.tracks {
            track.tick(&moment, &self.core.options.policy, out);
        }
    }

    /// Returns when [`Self::tick`] has something to do, if nothing comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let policy = &self.core.options.policy;
        let quiet = self.core.tracks.iter().filter_map(|track| track.next_deadline(policy)).min();
        [quiet, self.core.wrapped_deadline].into_iter().flatten().min()
    }

    /// Says that the source ended at `now`: a last line without line end is read, and the summary is told.
    pub fn finish(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        let core = &mut self.core;
        self.framer.finish(|block| core.block(now, block, out));
        let (lines, bytes) = self.framer.position();
        core.finish(now, lines, bytes, out);
    }

    /// Counts events that were told but that nobody took.
    pub fn note_dropped(&mut self, events: u64) {
        self.core.summary.dropped_events += events;
    }

    /// From now on, keeps what each rule said of each record. For `explain`.
    pub fn start_explaining(&mut self) {
        self.core.explanations = Some(Vec::new());
    }

    /// Returns the explanations since the last call.
    pub fn take_explanations(&mut self) -> Vec<Explanation> {
        self.core.explanations.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// How a record was read and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The line, counted from 1.
    pub line: u64,
    /// The format that decoded it, or `unknown`.
    pub format: &'static str,
    /// What it was decoded into (`message`, `tool_result`, `failure`, `text` …).
    pub record: &'static str,
    /// Who can have produced its words.
    pub origin: &'static str,
    /// The words that were looked at, redacted and shortened.
    pub text: String,
    /// The verdict: a class, or why there is none.
    pub verdict: Result<Class, &'static str>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What each rule that looked said.
    pub looks: Vec<Look>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventBody;
    use crate::model::event::Summary;

    fn events(limit: usize, input: &str) -> Vec<Event> {
        let options = Arc::new(Options { line_limit: limit, ..Options::new() });
        let mut doctor = Doctor::new(options, "t", "t");
        let mut events = Vec::new();
        let now = Timestamp::from_micros(0);
        doctor.feed(now, input.as_bytes(), &mut |event| events.push(event));
        doctor.finish(now, &mut |event| events.push(event));
        events
    }

    fn summary(events: &[Event]) -> &Summary {
        match &events.last().expect("a summary is always told").body {
            EventBody::Summary(summary) => summary,
            other => panic!("the last event is no summary but {other:?}"),
        }
    }

    #[test]
    fn a_large_document_that_nobody_knows_is_counted_once_and_its_large_elements_as_truncated() {
        let input = "{\n\"a\": [\n1,\n2\n],\n\"b\": \"xxxxxxxxxxxxxxxxxxxxxxxx\",\n\"c\": {\n\"d\": 1111111111,\n\"e\": 2222222222,\n\"f\": 3\n}\n}\n";
        let counts = |limit| {
            let events = events(limit, input);
            let summary = summary(&events);
            (summary.undecoded, summary.truncated)
        };
        assert_eq!(counts(1000), (1, 0));
        assert_eq!(counts(40), (1, 1));
    }

    /// The findings, as line, class and words, in the order of their lines.
    fn findings(events: &[Event]) -> Vec<(u64, Class, String)> {
        let mut findings: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.body {
                EventBody::Finding(finding) => {
                    let line = event.source.as_ref().map_or(0, |place| place.line);
                    Some((line, finding.class, finding.message.clone()))
                }
                _ => None,
            })
            .collect();
        findings.sort_by_key(|finding| finding.0);
        findings
    }

    #[test]
    fn silence_in_the_replay_of_an_old_log_is_measured_by_arrival() {
        let input = include_str!("../../fixtures/transcripts/codex/rollout_limit/input.jsonl");
        let mut doctor = Doctor::new(Arc::new(Options::new()), "t", "t");
        let mut events = Vec::new();
        let years_later = Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
        doctor.feed(years_later, input.as_bytes(), &mut |event| events.push(event));
        let told = events.len();
        assert!(doctor.next_deadline().unwrap() > years_later.plus_seconds(600), "nothing is due yet");
        doctor.tick(years_later.plus_seconds(1), &mut |event| events.push(event));
        assert_eq!(events.len(), told);
        doctor.finish(years_later.plus_seconds(2), &mut |event| events.push(event));
        assert_eq!(events.len(), told + 1, "the summary alone: the alert was told");
    }

    #[test]
    fn the_session_that_gets_its_name_is_the_one_announced() {
        let mut core = Core::new(Arc::new(Options::new()), "t", "t");
        let moment = core.moment(Timestamp::from_micros(0), None, Some((1, 0)));
        let mut events = Vec::new();
        core.track(&moment, None, &mut |event| events.push(event));
        core.track(&moment, Some("sub"), &mut |event| events.push(event));
        events.clear();
        core.adopt(&moment, "named", &mut |event| events.push(event));
        assert_eq!(events.iter().map(|event| event.session.as_str()).collect::<Vec<_>>(), ["named"]);
    }

    #[test]
    fn a_failure_after_a_line_that_may_go_on_is_one_of_its_own() {
        let input =
            format!("litellm.Timeout: {}\nlitellm.AuthenticationError: invalid api key\n", "x ".repeat(30));
        let found: Vec<_> =
            findings(&events(1 << 20, &input)).into_iter().map(|(line, class, _)| (line, class)).collect();
        assert_eq!(found, [(1, Class::Timeout), (2, Class::AuthError)]);
    }

    #[test]
    fn spaces_that_fill_a_line_hide_nothing() {
        for line in ["API  Error:   529   Overloaded\n", "Credit  balance  is  too   low\n"] {
            assert_eq!(findings(&events(1 << 20, line)).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_trajectory_says_the_same_whole_and_in_parts_and_however_it_is_cut() {
        for (input, limit, count) in [
            (include_str!("../../fixtures/transcripts/mini/provider_timeout/input.json"), 800, 4),
            (include_str!("../../fixtures/transcripts/swe_agent/command_timeout/input.traj"), 400, 3),
            (include_str!("../../fixtures/transcripts/openhands/earlier_trajectory/input.json"), 300, 2),
            (include_str!("../../fixtures/transcripts/harness/planner_errors/input.json"), 300, 2),
        ] {
            assert!(input.len() > limit, "it has to be too large to be held");
            let whole = events(1 << 20, input);
            assert_eq!(findings(&whole).len(), count, "{input}");
            let parts = events(limit, input);
            assert_eq!(findings(&parts), findings(&whole));
            let counts = |events: &[Event]| (summary(events).undecoded, summary(events).truncated);
            assert_eq!(counts(&parts), (0, 0));
            let now = Timestamp::from_micros(0);
            for size in [1, 7, 100] {
                let options = Arc::new(Options { line_limit: limit, ..Options::new() });
                let (mut doctor, mut cut) = (Doctor::new(options, "t", "t"), Vec::new());
                for chunk in input.as_bytes().chunks(size) {
                    doctor.feed(now, chunk, &mut |event| cut.push(event));
                }
                doctor.finish(now, &mut |event| cut.push(event));
                assert_eq!(cut, parts);
            }
        }
    }

    /// The places of the events but the last, the summary.
    fn places(events: &[Event]) -> Vec<(u64, u64)> {
        let told = &events[..events.len() - 1];
        told.iter()
            .filter_map(|event| event.source.as_ref())
            .map(|place| (place.line, place.offset))
            .collect()
    }

    #[test]
    fn what_a_document_tells_is_placed_where_its_line_begins() {
        let input = include_str!("../../fixtures/transcripts/mini/provider_timeout/input.json");
        for (input, end) in [(input.to_owned(), "\n"), (input.replace('\n', "\r\n"), "\r\n")] {
            let mut starts = vec![0];
            starts.extend(input.match_indices(end).map(|(at, end)| (at + end.len()) as u64));
            for limit in [1 << 20, 800] {
                let places = places(&events(limit, &input));
                assert!(places.iter().any(|(line, _)| *line > 1), "{places:?}");
                for (line, offset) in places {
                    assert_eq!(
                        offset,
                        starts[line as usize - 1],
                        "line {line}, at most {limit} bytes are held"
                    );
                }
            }
        }
    }

    #[test]
    fn a_session_that_was_forgotten_and_comes_back_tells_of_other_events() {
        let line = |session: &str| {
            format!(
                r#"{{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key · Please run /login","session_id":"{session}"}}"#
            )
        };
        let input = [line("one"), line("two"), line("one")].join("\n");
        let options = Arc::new(Options { max_sessions: 1, ..Options::new() });
        let mut doctor = Doctor::new(options, "t", "t");
        let (mut ids, mut changes) = (std::collections::HashSet::new(), 0);
        let now = Timestamp::from_micros(0);
        doctor.feed(now, input.as_bytes(), &mut |event| {
            changes += u64::from(matches!(event.body, EventBody::Status(_)));
            assert!(ids.insert(event.id.clone()), "{event:#?}");
        });
        doctor.finish(now, &mut |event| {
            changes += u64::from(matches!(event.body, EventBody::Status(_)));
            assert!(ids.insert(event.id.clone()), "{event:#?}");
        });
        assert_eq!(changes, 3);
    }

    #[test]
    fn the_name_of_a_sub_agent_is_short_and_keeps_no_secret() {
        let name = format!("token=hunter2hunter2 {}", "x".repeat(3000));
        let line = format!(
            r#"{{"type":"assistant","message":{{"id":"m1","role":"assistant","model":"m","content":[{{"type":"text","text":"hi"}}]}},"parent_tool_use_id":"{name}","uuid":"u1","session_id":"11111111-1111-4111-8111-111111111111"}}"#,
        );
        let events = events(1 << 20, &format!("{line}\n{line}\n"));
        let names: Vec<&str> = events
            .iter()
            .filter(|event| event.parent_session.is_some())
            .map(|event| event.session.split_once('/').unwrap().1)
            .collect();
        assert_eq!(names.len(), 1, "it is one sub-agent");
        assert!(names[0].starts_with("token=[redacted] xxx"), "{names:?}");
        assert_eq!(names[0].chars().count(), 128);
    }

    #[test]
    fn an_old_log_without_times_is_read_as_of_the_day_it_was_written() {
        let text = "You've hit your session limit · resets 3pm (UTC)\n";
        let written = Timestamp::parse_rfc3339("2026-11-20T10:00:00Z").unwrap();
        let mut doctor = Doctor::new(Arc::new(Options::new()), "t", "t");
        let mut resets = Vec::new();
        doctor.written_at(written);
        doctor.feed(written.plus_seconds(86_400 * 9), text.as_bytes(), &mut |event| {
            if let EventBody::Finding(finding) = event.body {
                resets.push(finding.retry_at.unwrap().to_string());
            }
        });
        doctor.finish(written.plus_seconds(86_400 * 9), &mut |_| {});
        assert_eq!(resets, ["2026-11-20T15:00:00.000Z"]);
    }

    #[test]
    fn a_sub_agent_that_spoke_first_goes_with_its_session() {
        let lines = [
            r#"{"type":"assistant","message":{"id":"m1","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}]},"parent_tool_use_id":"toolu_1","uuid":"u1","session_id":""}"#,
            r#"{"type":"system","subtype":"init","cwd":"/srv","session_id":"11111111-1111-4111-8111-111111111111","model":"m","uuid":"u2"}"#,
            r#"{"type":"assistant","message":{"id":"m2","role":"assistant","model":"m","content":[{"type":"text","text":"ho"}]},"parent_tool_use_id":"toolu_1","uuid":"u3","session_id":"11111111-1111-4111-8111-111111111111"}"#,
        ];
        let events = events(1 << 20, &lines.join("\n"));
        let started = events.iter().filter(|event| matches!(event.body, EventBody::SessionStarted(_)));
        let subagents = started.filter(|event| event.parent_session.is_some()).count();
        assert_eq!(subagents, 1, "{events:#?}");
    }
}
