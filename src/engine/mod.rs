//! The pure core: bytes and a time in, events out. No I/O, clock, thread, async, environment or randomness.
//!
//! [`Doctor`] is the whole of it seen from outside: `feed` it bytes, `tick` it when nothing comes, `finish` it at the
//! end. The same bytes and times give the same events, however the bytes were cut.

pub mod ansi;
pub mod encoding;
pub mod framing;
pub mod json;

pub mod document;
pub mod format;
mod stream;
mod sweep;

pub mod classify;
mod judge;
pub mod redact;
pub mod session;

pub mod detect;
pub mod policy;
pub mod step;

pub mod usage;

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::model::{Class, Event, Health, Timestamp};

use classify::Look;
use classify::rules::Rules;
use classify::scan::Scanner;
use encoding::Decoder;
use format::Format;
use framing::Framer;
use policy::Policy;
use stream::Core;
pub use stream::Listener;
use usage::spending::{Elsewhere, Spent};

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
    /// What is asked of the meter: prices, budgets.
    pub spending: Arc<usage::spending::Options>,
    /// The forced format; `None`: told from the first records.
    pub agent: Option<&'static dyn Format>,
    /// Where a clock without a zone is taken to be.
    pub zone: TimeZone,
    /// How many bytes of a line, or of a document that spans lines, are kept.
    pub line_limit: usize,
    /// How many sessions and sub-agents of one source are kept in mind; the one unheard of for longest goes first.
    pub max_sessions: usize,
    /// Whether records are only decoded and told to who listens, and nothing is judged.
    pub only_decode: bool,
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
            spending: Arc::default(),
            agent: None,
            zone: TimeZone::UTC,
            line_limit: 4 << 20,
            max_sessions: 64,
            only_decode: false,
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
    decoder: Decoder,
    framer: Framer,
    core: Core,
    /// The other stream of the same session.
    second: Option<Box<(Framer, Core)>>,
}

impl Doctor {
    /// Returns a doctor for a source of this name (a path, or `-`). `seed` tells apart sources of one name: the id of
    /// a session that never says its own comes from it.
    pub fn new(options: Arc<Options>, name: &str, seed: &str) -> Self {
        Self {
            decoder: Decoder::default(),
            framer: Framer::new(options.line_limit),
            core: Core::new(options, name, seed),
            second: None,
        }
    }

    /// Adds a second stream of the same session, of this name: standard error beside standard output. Each is decoded
    /// for itself; what they tell of is one session's.
    #[must_use]
    pub fn with_second(mut self, name: &str) -> Self {
        let options = Arc::clone(&self.core.options);
        let framer = Framer::new(options.line_limit);
        self.second = Some(Box::new((framer, Core::new(options, name, ""))));
        self.core.summary.sources = 2;
        self
    }

    /// Takes the next bytes of the second stream, which arrived at `now`. Without a second stream they are the
    /// first's.
    pub fn feed_second(&mut self, now: Timestamp, chunk: &[u8], out: &mut dyn FnMut(Event)) {
        if self.second.is_none() {
            return self.feed(now, chunk, out);
        }
        self.on_second(|framer, core| framer.push(chunk, |block| core.block(now, block, out)));
    }

    /// Works on the second stream, which has the session as long as that takes.
    fn on_second(&mut self, work: impl FnOnce(&mut Framer, &mut Core)) {
        let Some(mut second) = self.second.take() else { return };
        let (framer, core) = &mut *second;
        core.lines_elsewhere = self.framer.position().0;
        core.exchange_session(&mut self.core);
        work(framer, core);
        self.core.exchange_session(core);
        self.core.lines_elsewhere = framer.position().0;
        self.second = Some(second);
    }

    /// Returns the id of the session that the stream is in now.
    pub fn session(&self) -> &str {
        &self.core.session
    }

    /// Returns the name of the format, or `unknown`.
    pub fn agent(&self) -> &'static str {
        self.core.agent
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
        if bytes > 0 {
            self.decoder.begin_inside();
        }
        self.core.skipped = (lines, bytes);
    }

    /// Says what was used elsewhere and counts for the budgets of this source too: in earlier attempts of the run, by others
    /// on the same day and in the same project. What is said later takes its place.
    pub fn spent_elsewhere(&mut self, elsewhere: Elsewhere) {
        self.core.spent_elsewhere = elsewhere;
        if let Some(spending) = &mut self.core.spending {
            spending.spent_elsewhere(elsewhere);
        }
    }

    /// Says, before anything is fed, that what records before this time tell of is used already: the session is a copy.
    pub fn counts_from(&mut self, time: Timestamp) {
        self.core.counts_from = Some(time);
    }

    /// Returns what the source used so far.
    pub fn spent(&self) -> Spent {
        self.core.spending.as_ref().map(|spending| spending.spent()).unwrap_or_default()
    }

    /// Takes the next bytes, which arrived at `now`.
    pub fn feed(&mut self, now: Timestamp, chunk: &[u8], out: &mut dyn FnMut(Event)) {
        let core = &mut self.core;
        let (mark, text) = self.decoder.push(chunk);
        if mark > 0 {
            self.framer.begin_at(0, mark as u64);
        }
        self.framer.push(&text, |block| core.block(now, block, out));
    }

    /// Says that it is `now`, and nothing came.
    pub fn tick(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        if self.core.wrapped_deadline.is_some_and(|deadline| now >= deadline) {
            self.core.settle_wrapped(now, out);
        }
        let second = self.second.as_ref().and_then(|second| second.1.wrapped_deadline);
        if second.is_some_and(|deadline| now >= deadline) {
            self.on_second(|_, core| core.settle_wrapped(now, out));
        }
        self.core.tell_spending(out);
        self.core.tick(now, out);
    }

    /// Returns when [`Self::tick`] has something to do, if nothing comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let policy = &self.core.options.policy;
        let quiet = self.core.tracks.iter().filter_map(|track| track.next_deadline(policy)).min();
        let second = self.second.as_ref().and_then(|second| second.1.wrapped_deadline);
        [quiet, self.core.wrapped_deadline, second].into_iter().flatten().min()
    }

    /// Says that the source ended at `now`: a last line without line end is read, and the summary is told.
    pub fn finish(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        self.on_second(|framer, core| {
            framer.finish(|block| core.block(now, block, out));
            core.let_go(now, out);
            let (lines, bytes) = framer.position();
            core.summary.lines = lines;
            core.summary.bytes = bytes;
        });
        let core = &mut self.core;
        let rest = self.decoder.finish();
        self.framer.push(&rest, |block| core.block(now, block, out));
        self.framer.finish(|block| core.block(now, block, out));
        let (lines, bytes) = self.framer.position();
        core.finish(now, lines, bytes, out);
    }

    /// Counts events that were told but that nobody took.
    pub fn note_dropped(&mut self, events: u64) {
        self.core.summary.dropped_events += events;
    }

    /// From now on, tells of every decoded record before it is judged, plain lines left out. `listener` makes one for
    /// each stream. For who must know of work as well as of trouble.
    pub fn listen(&mut self, mut listener: impl FnMut() -> Listener) {
        self.core.listener = Some(listener());
        if let Some(second) = &mut self.second {
            second.1.listener = Some(listener());
        }
    }

    /// Says how many bytes of the source were not fed at all.
    pub fn note_unseen(&mut self, bytes: u64) {
        self.core.summary.unseen_bytes = Some(bytes);
    }

    /// From now on, keeps what each rule said of each record. For `explain`.
    pub fn start_explaining(&mut self) {
        self.core.explanations = Some(Vec::new());
    }

    /// From now on, keeps every step as the detectors of loops saw it. For `explain --loops`.
    pub fn start_explaining_loops(&mut self) {
        self.core.explains_loops = true;
    }

    /// Returns the steps since the last call, each with the id of its session.
    pub fn take_steps(&mut self) -> Vec<(String, detect::loops::Row)> {
        let of = |track: &mut session::Track| {
            let id = track.id.clone();
            track.take_rows().into_iter().map(move |row| (id.clone(), row))
        };
        self.core.tracks.iter_mut().flat_map(of).collect()
    }

    /// From now on, tells of no loops, and measures how close each session comes to one. For `calibrate`.
    pub fn start_measuring_loops(&mut self) {
        self.core.measures_loops = true;
    }

    /// Returns how close the sessions that are kept in mind came to a loop, and how they are.
    pub fn measures(&self) -> Vec<Measure> {
        let measure = |track: &session::Track| {
            Some(Measure {
                session: track.parent.as_ref().unwrap_or(&track.id).clone(),
                is_main: track.parent.is_none(),
                is_good: track.health == Health::Ok && track.last_incident().is_none(),
                agent: self.core.agent,
                gauge: track.gauge().cloned()?,
            })
        };
        self.core.tracks.iter().filter_map(measure).collect()
    }

    /// Returns the explanations since the last call.
    pub fn take_explanations(&mut self) -> Vec<Explanation> {
        self.core.explanations.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// How close a session, or a sub-agent of it, came to a loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The id of the session: that of a sub-agent is the one that it belongs to.
    pub session: String,
    /// Whether it is the session itself.
    pub is_main: bool,
    /// Whether nothing is wrong with it, as things stand: no failure and no interruption since it last worked.
    pub is_good: bool,
    /// The format's name.
    pub agent: &'static str,
    /// How close it came.
    pub gauge: detect::loops::calibrate::Gauge,
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

    #[test]
    fn a_note_of_the_agent_to_itself_is_waited_for_by_nobody_and_a_task_is() {
        let now = Timestamp::from_seconds(1_795_150_800);
        let is_due = |said: &str| {
            let line = format!(
                r#"{{"parentUuid":null,"isSidechain":false,"userType":"external","cwd":"/w","sessionId":"5e551011-0000-4000-8000-000000000001","version":"2.1.0","type":"user","message":{{"role":"user","content":"{said}"}},"uuid":"u1","timestamp":"2026-11-20T05:00:00.000Z"}}"#
            ) + "\n";
            let mut doctor = Doctor::new(Arc::new(Options::new()), "t", "t");
            doctor.feed(now, line.as_bytes(), &mut |_| {});
            doctor.next_deadline().is_some()
        };
        assert!(is_due("Fix the tests."));
        assert!(is_due("<task>Fix the tests.</task>"));
        assert!(!is_due("<command-name>/clear</command-name>"));
    }

    #[test]
    fn what_windows_writes_is_read_and_what_is_no_text_is_counted() {
        let now = Timestamp::from_micros(0);
        let read = |bytes: &[u8]| {
            let mut doctor = Doctor::new(Arc::new(Options::new()), "t", "t");
            let mut events = Vec::new();
            doctor.feed(now, bytes, &mut |event| events.push(event));
            doctor.finish(now, &mut |event| events.push(event));
            let places: Vec<u64> =
                events.iter().filter_map(|event| Some(event.source.as_ref()?.offset)).collect();
            let found =
                findings(&events).into_iter().map(|(line, class, _)| (line, class)).collect::<Vec<_>>();
            let summary = summary(&events);
            (found, (summary.lines, summary.bytes, summary.undecoded), places)
        };
        let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        let text = format!("{body}\r\nInvalid API key · Please run /login\r\n");
        let plain = read(text.as_bytes());
        assert_eq!(plain.0, [(1, Class::Overloaded), (2, Class::AuthError)]);
        let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&utf16), plain);
        let marked = read(format!("\u{feff}{text}").as_bytes());
        assert_eq!((marked.0, marked.1.1, marked.1.2), (plain.0, plain.1.1 + 3, 0));
        assert!(
            marked.2.iter().zip(&plain.2).all(|(marked, plain)| *marked == plain + 3),
            "offsets are true"
        );
        let unmarked: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&unmarked).1.2, 3, "its lines are counted: two, and half a line end");
        assert_eq!(read(b"\x7fELF\x02\0\0\n\0\0\nfine\n").1, (3, 16, 2));
        assert_eq!(read(b"[{\"a\":\0\n").1, (1, 8, 1), "what opened as a document is one line too");
        assert_eq!(read(b"[\0\n{\0\n]\n").1.2, 2, "and so is one that ended as one");
        let (found, (.., undecoded), _) =
            read(b"\0\0\0\0API Error: 529 Overloaded\nAPI Error: 529 Overloaded\n");
        assert_eq!((found, undecoded), (vec![(2, Class::Overloaded)], 1));
    }

    /// Feeds a doctor of two streams; the events that are told.
    fn two_streams(chunks: &[(bool, &str)]) -> Vec<Event> {
        let mut doctor = Doctor::new(Arc::new(Options::new()), "stdout", "t").with_second("stderr");
        let mut events = Vec::new();
        let now = Timestamp::from_micros(0);
        for (second, chunk) in chunks {
            let out = &mut |event| events.push(event);
            if *second {
                doctor.feed_second(now, chunk.as_bytes(), out);
            } else {
                doctor.feed(now, chunk.as_bytes(), out);
            }
        }
        doctor.finish(now, &mut |event| events.push(event));
        events
    }

    const INIT: &str = concat!(
        r#"{"type":"system","subtype":"init","cwd":"/srv","session_id":"11111111-1111-4111-8111-111111111111","model":"m","uuid":"u2"}"#,
        "\n"
    );
    const WORKS: &str = concat!(
        r#"{"type":"assistant","message":{"id":"m2","role":"assistant","model":"m","content":[{"type":"text","text":"ho"}]},"parent_tool_use_id":null,"uuid":"u3","session_id":"11111111-1111-4111-8111-111111111111"}"#,
        "\n"
    );

    #[test]
    fn what_one_stream_tells_of_belongs_to_the_session_that_the_other_named() {
        let events =
            two_streams(&[(false, INIT), (true, "API Error: 529 Overl"), (false, "\n"), (true, "oaded\n")]);
        let finding = events.iter().find(|event| matches!(event.body, EventBody::Finding(_))).unwrap();
        assert_eq!(finding.session, "11111111-1111-4111-8111-111111111111");
        let place = finding.source.as_ref().unwrap();
        assert_eq!((&*place.name, place.line, place.offset), ("stderr", 1, 0));
        let summary = summary(&events);
        assert_eq!((summary.sources, summary.lines), (2, 3));
        let started = events.iter().filter(|event| matches!(event.body, EventBody::SessionStarted(_)));
        assert_eq!(started.count(), 1);
    }

    #[test]
    fn what_was_not_fed_is_told_at_the_end() {
        let mut doctor = Doctor::new(Arc::new(Options::new()), "t", "t");
        doctor.note_unseen(7);
        let mut events = Vec::new();
        doctor.finish(Timestamp::from_micros(0), &mut |event| events.push(event));
        assert_eq!(summary(&events).unseen_bytes, Some(7));
    }

    #[test]
    fn an_agent_that_goes_on_in_one_stream_has_not_ended_on_what_the_other_said() {
        let alerts = |events: &[Event]| {
            events.iter().filter(|event| matches!(event.body, EventBody::Alert(_))).count()
        };
        let failure = (true, "API Error: Connection error.\n");
        assert_eq!(alerts(&two_streams(&[(false, INIT), failure])), 1);
        assert_eq!(alerts(&two_streams(&[(false, INIT), failure, (false, WORKS)])), 0);
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
