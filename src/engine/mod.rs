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
}
