//! The pure core: bytes and a time in, events out. No I/O, clock, thread, async, environment or randomness.
//!
//! [`Doctor`] is the whole of it seen from outside: `feed` it bytes, `tick` it when nothing comes, `finish` it at the
//! end. The same bytes and times give the same events, however the bytes were cut.

pub mod ansi;
pub mod classify;
pub mod detect;
pub mod document;
pub mod format;
pub mod framing;
pub mod policy;
pub mod redact;
pub mod session;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::model::event::{Finding, SourcePlace, Summary};
use crate::model::id::IdBuilder;
use crate::model::record::{Failure, Lifecycle, Role, TextLine, Usage, UsageScope};
use crate::model::{Basis, Body, Class, Event, EventBody, Record, Timestamp};

use classify::rules::Rules;
use classify::scan::Scanner;
use classify::{Look, Verdict};
use document::{Documents, Element, Step};
use format::{Decode, Decoded, Format, Frame};
use framing::{Block, Framer};
use policy::Policy;
use session::{Moment, Track};

/// How many characters of a message an event quotes.
pub const MESSAGE_CHARS: usize = 200;

/// How many lines after an incident a bare "Retrying in …" still speaks of it.
const RETRY_REACH: u64 = 8;

/// How many lines a code fence may hold before it is taken to be a stray mark.
const FENCE_LINES: u64 = 400;

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

struct Active {
    format: &'static dyn Format,
    decoder: Box<dyn Decode + Send>,
    /// Whether it wants every plain line, not only those that a rule may concern.
    reads_text: bool,
}

impl Active {
    fn new(format: &'static dyn Format, reads_text: bool) -> Self {
        Self { format, decoder: format.decoder(), reads_text }
    }
}

/// A candidate line that may go on in the next one.
struct Wrapped {
    text: String,
    line: u64,
    offset: u64,
    /// Whether a line was already joined to it.
    joined: bool,
}

struct Core {
    options: Arc<Options>,
    name: String,
    scanner: Scanner,
    active: Option<Active>,
    /// The last resort for JSON; taken out while it works.
    generic: Option<Box<dyn Decode + Send>>,
    /// The name of the active format.
    agent: &'static str,
    documents: Documents,
    /// Whether a decoder knew an element of the large document that is open.
    document_understood: bool,
    wrapped: Option<Wrapped>,
    wrapped_deadline: Option<Timestamp>,
    fence: Option<u64>,
    /// Most recently heard of last.
    tracks: Vec<Track>,
    /// The id of the session that the stream is in now.
    session: String,
    /// Whether the agent has named it.
    named: bool,
    /// Whether lines came that were JSON lately: decides how plain lines are pre-scanned, never the result.
    json_stream: bool,
    first_time: Option<Timestamp>,
    last_time: Option<Timestamp>,
    summary: Summary,
    hits: Vec<usize>,
    explanations: Option<Vec<Explanation>>,
}

impl Core {
    fn new(options: Arc<Options>, name: &str, seed: &str) -> Self {
        let generic = format::by_name("generic").expect("a format of this name is in the list").decoder();
        Self {
            scanner: options.scanner.clone(),
            active: options.agent.map(|format| Active::new(format, format.reads_text())),
            generic: Some(generic),
            agent: options.agent.map_or("unknown", |format| format.name()),
            documents: Documents::new(options.line_limit),
            document_understood: false,
            wrapped: None,
            wrapped_deadline: None,
            fence: None,
            tracks: Vec::new(),
            session: IdBuilder::new("session").part(seed.as_bytes()).finish("s-"),
            named: false,
            json_stream: false,
            first_time: None,
            last_time: None,
            summary: Summary { sources: 1, ..Summary::default() },
            hits: Vec::new(),
            explanations: None,
            name: name.to_owned(),
            options,
        }
    }

    fn moment(&self, now: Timestamp, time: Option<Timestamp>, place: Option<(u64, u64)>) -> Moment {
        let place = place.map(|(line, offset)| SourcePlace { name: self.name.clone(), line, offset });
        Moment { now, time, place, agent: self.agent }
    }

    // ------------------------------------------------------------------------------------ blocks and lines

    fn block(&mut self, now: Timestamp, block: Block<'_>, out: &mut dyn FnMut(Event)) {
        if block.omitted > 0 {
            self.summary.truncated += 1;
        }
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        // In a stream of plain text one pass over the block beats a pass per line; in a stream of JSON most of the
        // block is no plain text at all.
        let scanned = !self.json_stream && block.bytes.len() > 512;
        if scanned {
            self.scanner.hits(block.bytes, |at| hits.push(at));
        }
        let escapes = ansi::is_terminal_text(block.bytes);
        let mut next_hit = hits.iter().copied().peekable();
        let (mut start, mut line) = (0, block.line);
        while start < block.bytes.len() {
            let end =
                memchr::memchr(b'\n', &block.bytes[start..]).map_or(block.bytes.len(), |end| start + end);
            let bytes = &block.bytes[start..end];
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            let hit = if scanned {
                while next_hit.next_if(|at| *at < start).is_some() {}
                next_hit.peek().is_some_and(|at| *at < end)
            } else {
                false
            };
            let frame =
                Frame { bytes, line, offset: block.offset + start as u64, truncated: block.omitted > 0 };
            self.line(now, frame, scanned.then_some(hit), escapes, out);
            start = end + 1;
            line += 1;
        }
        self.hits = hits;
    }

    /// Takes one line. `hit`: whether the pre-scan of its block found a literal in it, if there was one.
    fn line(
        &mut self,
        now: Timestamp,
        frame: Frame<'_>,
        hit: Option<bool>,
        escapes: bool,
        out: &mut dyn FnMut(Event),
    ) {
        if self.documents.is_open() {
            match self.document_line(now, frame, out) {
                Step::Held | Step::Parted => return,
                Step::PartedEnd => {
                    self.after_line(now, frame, out);
                    return;
                }
                Step::Whole => {
                    let (bytes, line, offset) = self.documents.take();
                    let document = Frame { bytes: &bytes, line, offset, truncated: false };
                    if self.json(now, document, out) == Decoded::No {
                        self.summary.undecoded += 1;
                        self.ignored(document, "json", "no format knows this document");
                    }
                    self.after_line(now, frame, out);
                    return;
                }
                Step::Broken => self.release_document(now, out),
            }
        }
        let first = frame.bytes.iter().position(|byte| !byte.is_ascii_whitespace());
        let Some(first) = first else {
            if self.wrapped.is_some() {
                self.settle_wrapped(now, out);
            }
            return;
        };
        if matches!(frame.bytes[first], b'{' | b'[') {
            self.json_stream = true;
            if self.json_line(now, frame, first, out) {
                if !self.documents.is_open() {
                    self.after_line(now, frame, out);
                }
                return;
            }
        } else if self.active.as_ref().is_none_or(|active| active.format.name() == "plain") {
            self.json_stream = false;
        }
        self.text(now, frame, hit, escapes, out);
        self.after_line(now, frame, out);
    }

    /// Takes a line that may be JSON; returns whether it was.
    fn json_line(
        &mut self,
        now: Timestamp,
        frame: Frame<'_>,
        first: usize,
        out: &mut dyn FnMut(Event),
    ) -> bool {
        let bytes = frame.bytes[first..].trim_ascii_end();
        let closed =
            matches!((bytes.first(), bytes.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
        if closed && !frame.truncated {
            if self.json(now, Frame { bytes, ..frame }, out) == Decoded::Yes {
                return true;
            }
            if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
                if self.wrapped.is_some() {
                    self.settle_wrapped(now, out);
                }
                self.summary.undecoded += 1;
                self.ignored(frame, "json", "no format knows this record");
                return true;
            }
        } else if first == 0 && !frame.truncated && Documents::opens(frame.bytes) {
            if self.wrapped.is_some() {
                self.settle_wrapped(now, out);
            }
            self.document_understood = false;
            self.document_line(now, frame, out);
            return true;
        }
        if bytes.starts_with(b"{\"") {
            // Half a record, or one that was cut: it says nothing that could be trusted.
            self.summary.undecoded += 1;
        }
        false
    }

    /// Lets the decoders try a JSON frame.
    fn json(&mut self, now: Timestamp, frame: Frame<'_>, out: &mut dyn FnMut(Event)) -> Decoded {
        if self.wrapped.is_some() {
            self.settle_wrapped(now, out);
        }
        if let Some(mut active) = self.active.take() {
            let decoded = active.decoder.json(frame, &mut |record| self.record(now, frame, record, out));
            self.active = Some(active);
            if decoded == Decoded::Yes {
                return Decoded::Yes;
            }
        }
        if self.options.agent.is_none()
            && let Some(format) = format::FORMATS.iter().copied().find(|format| format.recognise(frame))
        {
            let mut active = Active::new(format, false);
            let before = std::mem::replace(&mut self.agent, format.name());
            if active.decoder.json(frame, &mut |record| self.record(now, frame, record, out)) == Decoded::Yes
            {
                self.active = Some(active);
                return Decoded::Yes;
            }
            self.agent = before;
        }
        let Some(mut generic) = self.generic.take() else { return Decoded::No };
        let decoded = generic.json(frame, &mut |record| self.record(now, frame, record, out));
        self.generic = Some(generic);
        decoded
    }

    /// Takes a line of a document that spans lines. The elements of one that is too large to be held are decoded here.
    fn document_line(&mut self, now: Timestamp, frame: Frame<'_>, out: &mut dyn FnMut(Event)) -> Step {
        let mut documents = std::mem::replace(&mut self.documents, Documents::new(0));
        let step = documents.push(frame.bytes, frame.line, frame.offset, &mut |element| {
            self.element(now, &element, out);
        });
        self.documents = documents;
        if step == Step::PartedEnd && !self.document_understood {
            self.summary.undecoded += 1;
            self.ignored(frame, "json", "no format knows the elements of the document that ends here");
        }
        step
    }

    /// Lets the decoders try an element of a document that is too large to be held.
    fn element(&mut self, now: Timestamp, element: &Element<'_>, out: &mut dyn FnMut(Event)) {
        if element.truncated {
            self.summary.truncated += 1;
            return;
        }
        let frame =
            Frame { bytes: element.bytes, line: element.line, offset: element.offset, truncated: false };
        if let Some(mut active) = self.active.take() {
            let decoded = active.decoder.element(element, &mut |record| self.record(now, frame, record, out));
            self.active = Some(active);
            if decoded == Decoded::Yes {
                self.document_understood = true;
                return;
            }
        }
        if self.options.agent.is_some() || self.document_understood {
            return;
        }
        let Some(format) = format::FORMATS.iter().copied().find(|format| format.recognise_element(element))
        else {
            return;
        };
        let mut active = Active::new(format, false);
        let before = std::mem::replace(&mut self.agent, format.name());
        if active.decoder.element(element, &mut |record| self.record(now, frame, record, out)) == Decoded::Yes
        {
            self.active = Some(active);
            self.document_understood = true;
        } else {
            self.agent = before;
        }
    }

    /// What was held as a document is none: its lines are text.
    fn release_document(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        let (bytes, mut line, mut offset) = self.documents.take();
        self.summary.undecoded += 1;
        if bytes.is_empty() {
            return; // its elements were told
        }
        for text in bytes.split(|byte| *byte == b'\n') {
            let frame = Frame { bytes: text, line, offset, truncated: false };
            self.text(now, frame, None, true, out);
            self.after_line(now, frame, out);
            line += 1;
            offset += text.len() as u64 + 1;
        }
    }

    /// The first line with text, once it was read, brings the session into view.
    fn after_line(&mut self, now: Timestamp, frame: Frame<'_>, out: &mut dyn FnMut(Event)) {
        if self.tracks.is_empty() {
            let moment = self.moment(now, None, Some((frame.line, frame.offset)));
            self.track(&moment, None, out);
        }
    }

    // ----------------------------------------------------------------------------------------- plain text

    fn text(
        &mut self,
        now: Timestamp,
        frame: Frame<'_>,
        hit: Option<bool>,
        escapes: bool,
        out: &mut dyn FnMut(Event),
    ) {
        self.summary.records += 1;
        if frame.bytes.len() > classify::facts::LOOK_AT * 8 {
            // No program says what ails it in a line of 64 KiB.
            self.ignored(frame, "text", "the line is too long to be a message");
            return;
        }
        let reads_text = self.active.as_ref().is_some_and(|active| active.reads_text);
        let terminal = escapes && ansi::is_terminal_text(frame.bytes);
        if !terminal && !reads_text && self.wrapped.is_none() && self.explanations.is_none() {
            let candidate = match hit {
                Some(hit) => hit || self.scanner.opens(frame.bytes),
                None => self.scanner.is_candidate(frame.bytes),
            };
            if !candidate {
                return;
            }
        }
        if !terminal {
            self.shown(now, frame, String::from_utf8_lossy(frame.bytes), out);
            return;
        }
        let parts: Vec<&[u8]> = ansi::redraws(frame.bytes).collect();
        for part in parts {
            self.shown(now, frame, ansi::strip(part), out);
        }
    }

    /// Takes a text as a person saw it.
    fn shown(&mut self, now: Timestamp, frame: Frame<'_>, text: Cow<'_, str>, out: &mut dyn FnMut(Event)) {
        if let Some(mut wrapped) = self.wrapped.take() {
            let joined = (frame.line > wrapped.line)
                .then(|| format::plain::join(&wrapped.text, &text, &self.options.zone))
                .flatten();
            if let Some(joined) = joined {
                let goes_on = format::plain::may_continue(&text);
                (wrapped.text, wrapped.joined) = (joined, true);
                self.wrapped = Some(wrapped);
                if !goes_on {
                    self.settle_wrapped(now, out);
                }
                return;
            }
            self.wrapped = Some(wrapped);
            self.settle_wrapped(now, out);
        }
        let lower_hit = self.scanner.is_candidate(text.as_bytes());
        if lower_hit {
            self.banner(frame, &text);
        }
        let reads_text = self.active.as_ref().is_some_and(|active| active.reads_text);
        if reads_text && let Some(mut active) = self.active.take() {
            let before = self.summary.records;
            let decoded = active.decoder.text(&text, &mut |record| self.record(now, frame, record, out));
            self.active = Some(active);
            if self.summary.records > before {
                // The line was counted when it came.
                self.summary.records -= 1;
            }
            if decoded == Decoded::Yes {
                return;
            }
        }
        if let Some(info) = text.strip_prefix("```") {
            // Only a bare mark closes a fence; code in it may open others.
            match self.fence {
                None => self.fence = Some(frame.line),
                Some(_) if info.trim().is_empty() => self.fence = None,
                Some(_) => {}
            }
        }
        if !lower_hit && self.explanations.is_none() {
            return;
        }
        if format::plain::may_continue(&text) && self.concerns(&text) {
            self.wrapped = Some(Wrapped {
                text: text.into_owned(),
                line: frame.line,
                offset: frame.offset,
                joined: false,
            });
            self.wrapped_deadline = Some(now.plus_millis(WRAP_WAIT_MS));
            return;
        }
        self.plain_line(now, frame.line, frame.offset, text, out);
    }

    /// Whether a line says something about a failure already, so that what it goes on with matters.
    fn concerns(&self, text: &str) -> bool {
        let (_, read) = format::plain::read_line(Cow::Borrowed(text), &self.options.zone);
        classify::concerns(&self.options.rules, self.agent, &read)
    }

    /// Switches to the format whose banner this is, if it is one.
    fn banner(&mut self, frame: Frame<'_>, text: &str) {
        if self.options.agent.is_some() {
            return;
        }
        let shown = Frame { bytes: text.as_bytes(), ..frame };
        let Some(format) = format::FORMATS
            .iter()
            .copied()
            .find(|format| !format.banners().is_empty() && format.recognise(shown))
        else {
            return;
        };
        match &mut self.active {
            Some(active) if active.format.name() == format.name() => active.reads_text = true,
            _ => {
                self.agent = format.name();
                self.active = Some(Active::new(format, true));
            }
        }
    }

    /// Judges the wrapped line that was held back, with what was joined to it.
    fn settle_wrapped(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        self.wrapped_deadline = None;
        if let Some(Wrapped { text, line, offset, .. }) = self.wrapped.take() {
            self.plain_line(now, line, offset, Cow::Owned(text), out);
        }
    }

    fn plain_line(
        &mut self,
        now: Timestamp,
        line: u64,
        offset: u64,
        text: Cow<'_, str>,
        out: &mut dyn FnMut(Event),
    ) {
        let (time, mut read) = format::plain::read_line(text, &self.options.zone);
        // A row mark in front is the program's own: it does not print rows into a fence.
        if read.body == 0 && self.fence.is_some_and(|start| line - start <= FENCE_LINES) {
            read.content = true;
        }
        let frame = Frame { bytes: b"", line, offset, truncated: false };
        self.record(now, frame, Record { time, ..Record::new(Body::Text(read)) }, out);
    }

    // -------------------------------------------------------------------------------------------- records

    fn record(&mut self, now: Timestamp, frame: Frame<'_>, record: Record<'_>, out: &mut dyn FnMut(Event)) {
        if !matches!(record.body, Body::Text(_)) {
            self.summary.records += 1;
        }
        if let Some(time) = record.time {
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
        let line = frame.line + framing::count_lines(&frame.bytes[..record.at.min(frame.bytes.len())]);
        let moment = self.moment(now, record.time, Some((line, frame.offset)));
        if let Some(session) = &record.session {
            self.adopt(&moment, session, out);
        }
        if let Body::Lifecycle(Lifecycle::Started { cwd, model }) = &record.body {
            self.learn(&moment, cwd.as_deref(), model.as_deref(), out);
        }
        let index = self.track(&moment, record.subagent.as_deref(), out);
        if let Some(time) = record.time {
            let track = &mut self.tracks[index];
            track.last_time = Some(track.last_time.map_or(time, |last| last.max(time)));
        }
        match record.body {
            Body::Message(message) => {
                self.explain(
                    line,
                    "message",
                    if message.role == Role::User { "user" } else { "content" },
                    &message.text,
                    Err("prose is content"),
                    None,
                    Vec::new(),
                );
                if message.role == Role::Assistant {
                    self.tracks[index].progress(&moment, &self.options.policy, out);
                }
            }
            Body::ToolCall(call) => {
                self.explain(
                    line,
                    "tool_call",
                    "content",
                    &call.input,
                    Err("a tool's input is content"),
                    None,
                    Vec::new(),
                );
                self.tracks[index].progress(&moment, &self.options.policy, out);
            }
            Body::ToolResult(result) if result.failed => {
                let mut looks = Vec::new();
                let trace = self.explanations.is_some().then_some(&mut looks);
                let verdict = classify::tool_result(&self.options.rules, moment.agent, &result, trace);
                self.explain(
                    line,
                    "tool_result",
                    "tool",
                    &result.text,
                    Ok(verdict.class),
                    Some(&verdict.rule),
                    looks,
                );
                self.finding(
                    &moment,
                    index,
                    &verdict,
                    &result.text,
                    None,
                    Basis::Asserted,
                    false,
                    record.at,
                    out,
                );
            }
            Body::ToolResult(result) => {
                self.explain(
                    line,
                    "tool_result",
                    "content",
                    &result.text,
                    Err("the output of a tool that did not fail is content"),
                    None,
                    Vec::new(),
                );
                self.tracks[index].progress(&moment, &self.options.policy, out);
            }
            Body::Failure(failure) => self.failure(&moment, index, line, &failure, record.at, out),
            Body::Usage(usage) => self.usage(&usage),
            Body::Lifecycle(lifecycle) => {
                self.explain(line, "lifecycle", "agent", "", Err("it reports no failure"), None, Vec::new());
                if lifecycle == Lifecycle::TurnEnded {
                    self.tracks[index].progress(&moment, &self.options.policy, out);
                }
            }
            Body::Text(text) => self.text_record(&moment, index, line, &text, out),
        }
    }

    fn text_record(
        &mut self,
        moment: &Moment,
        index: usize,
        line: u64,
        text: &TextLine<'_>,
        out: &mut dyn FnMut(Event),
    ) {
        let mut looks = Vec::new();
        let trace = self.explanations.is_some().then_some(&mut looks);
        let verdict = classify::line(&self.options.rules, moment.agent, text, trace);
        let words = &text.text[text.body..];
        let outcome = verdict.as_ref().map(|verdict| verdict.class).ok_or("no rule for plain lines matches");
        self.explain(
            line,
            "text",
            if text.content { "content" } else { "agent" },
            words,
            outcome,
            verdict.as_ref().map(|verdict| verdict.rule.as_str()),
            looks,
        );
        if let Some(verdict) = verdict {
            self.finding(moment, index, &verdict, words, None, Basis::Inferred, false, 0, out);
        } else if let Some(retry) = classify::line_retry(text) {
            self.bare_retry(moment, index, line, retry, words, Basis::Inferred, out);
        }
    }

    fn failure(
        &mut self,
        moment: &Moment,
        index: usize,
        line: u64,
        failure: &Failure<'_>,
        at: usize,
        out: &mut dyn FnMut(Event),
    ) {
        let mut looks = Vec::new();
        let trace = self.explanations.is_some().then_some(&mut looks);
        let verdict = classify::failure(&self.options.rules, moment.agent, failure, trace);
        let outcome =
            verdict.as_ref().map(|verdict| verdict.class).ok_or("a retry notice that does not say of what");
        self.explain(
            line,
            "failure",
            failure.origin.name(),
            &failure.text,
            outcome,
            verdict.as_ref().map(|verdict| verdict.rule.as_str()),
            looks,
        );
        let basis = if failure.structured { Basis::Asserted } else { Basis::Inferred };
        match verdict {
            Some(verdict) => {
                self.finding(
                    moment,
                    index,
                    &verdict,
                    &failure.text,
                    failure.retry_at,
                    basis,
                    failure.ends,
                    at,
                    out,
                );
            }
            None => {
                let retry = failure.retry.unwrap_or_default();
                self.bare_retry(moment, index, line, retry, &failure.text, basis, out);
            }
        }
    }

    /// A retry notice that does not say of what: it speaks of the failure just before it.
    #[expect(clippy::too_many_arguments, reason = "one record's facts, passed on once")]
    fn bare_retry(
        &mut self,
        moment: &Moment,
        index: usize,
        line: u64,
        retry: crate::model::record::Retry,
        text: &str,
        basis: Basis,
        out: &mut dyn FnMut(Event),
    ) {
        let Some((class, at)) = self.tracks[index].last_incident() else { return };
        if line.saturating_sub(at) > RETRY_REACH {
            return;
        }
        self.tracks[index].retrying(moment, &self.options.policy, out);
        let verdict = Verdict {
            class,
            rule: "retry_notice".to_owned(),
            status: None,
            retry: Some(retry),
            origin: crate::model::Origin::Agent,
            retryable: None,
        };
        self.finding(moment, index, &verdict, text, None, basis, false, 0, out);
    }

    #[expect(clippy::too_many_arguments, reason = "one record's facts, passed on once")]
    fn finding(
        &mut self,
        moment: &Moment,
        index: usize,
        verdict: &Verdict,
        text: &str,
        retry_at: Option<Timestamp>,
        basis: Basis,
        ends: bool,
        at: usize,
        out: &mut dyn FnMut(Event),
    ) {
        let policy = &self.options.policy;
        let row = policy.class(verdict.class);
        let track = &mut self.tracks[index];
        let time = track.event_time(moment);
        let tool = verdict.origin == crate::model::Origin::Tool;
        let delay = verdict.retry.and_then(|retry| retry.delay_ms);
        let (retry_at, retry_at_basis) = if let Some(at) = retry_at {
            (Some(at), Some(Basis::Asserted))
        } else if tool {
            (None, None)
        } else if let Some(delay) = delay {
            (Some(time.plus_millis(i64::try_from(delay).unwrap_or(i64::MAX))), Some(Basis::Asserted))
        } else {
            let folded = classify::fold::fold(classify::facts::head(text, classify::facts::LOOK_AT));
            let reset = classify::reset_time::find(&folded, time, &self.options.zone);
            (reset.as_ref().map(|reset| reset.at), reset.as_ref().map(|reset| reset.basis))
        };
        let finding = Finding {
            class: verdict.class,
            severity: row.severity,
            origin: verdict.origin,
            basis,
            rule: verdict.rule.clone(),
            status: verdict.status,
            retryable: verdict.retryable.unwrap_or(row.retryable),
            self_healing: verdict.retry.is_some(),
            retry_at,
            retry_at_basis,
            message: redact::excerpt(&with_attempt(text, verdict.retry), MESSAGE_CHARS),
        };
        let (line, offset) = moment.place.as_ref().map_or((0, 0), |place| (place.line, place.offset));
        let id = IdBuilder::new("finding")
            .part(track.id.as_bytes())
            .number(line)
            .number(offset)
            .number(at as u64)
            .part(finding.rule.as_bytes())
            .part(finding.message.as_bytes())
            .finish("f-");
        *self.summary.findings.entry(finding.class.name()).or_default() += 1;
        self.summary.self_healing += u64::from(finding.self_healing);
        let alerts = &mut self.summary.alerts;
        track.incident(moment, finding, id, ends, policy, &mut |event| {
            if let EventBody::Alert(alert) = &event.body {
                *alerts.entry(alert.class.name()).or_default() += 1;
            }
            out(event);
        });
    }

    fn usage(&mut self, usage: &Usage) {
        let add = |total: &mut Option<u64>, figure: Option<u64>, replace: bool| {
            if let Some(figure) = figure {
                *total = Some(if replace { figure } else { total.unwrap_or(0).saturating_add(figure) });
            }
        };
        // Figures of single requests are repeated over several records; only the agent's own totals are taken.
        let replace = match usage.scope {
            UsageScope::Request => return,
            UsageScope::Turn => false,
            UsageScope::Run => true,
        };
        add(&mut self.summary.input_tokens, usage.input_tokens, replace);
        add(&mut self.summary.output_tokens, usage.output_tokens, replace);
        if usage.cost_usd.is_some() {
            self.summary.cost_usd = usage.cost_usd;
        }
    }

    // ------------------------------------------------------------------------------------------- sessions

    /// Takes the agent's own session id for the stream from here on.
    fn adopt(&mut self, moment: &Moment, id: &str, out: &mut dyn FnMut(Event)) {
        let id = redact::excerpt(id, 128);
        if (self.named && self.session == id) || id.is_empty() {
            return;
        }
        let previous = std::mem::replace(&mut self.session, id.clone());
        if !std::mem::replace(&mut self.named, true)
            && let Some(track) = self.tracks.iter_mut().find(|track| track.id == previous)
        {
            track.id.clone_from(&id);
            track.known.agent_session = Some(id);
            track.known.previous_session = Some(previous);
            let track = self.tracks.len() - 1;
            self.announce(moment, track, out);
        }
    }

    /// Takes what a session says of itself.
    fn learn(&mut self, moment: &Moment, cwd: Option<&str>, model: Option<&str>, out: &mut dyn FnMut(Event)) {
        let index = self.track_silent(None);
        let track = &mut self.tracks[index];
        let mut changed = !track.announced;
        for (known, told) in [(&mut track.known.cwd, cwd), (&mut track.known.model, model)] {
            if let Some(told) = told {
                let told = redact::excerpt(told, MESSAGE_CHARS);
                if !told.is_empty() && known.as_ref() != Some(&told) {
                    *known = Some(told);
                    changed = true;
                }
            }
        }
        if changed {
            self.announce(moment, index, out);
        }
    }

    /// Returns the index of the track that a record belongs to; tells of it when it is new.
    fn track(&mut self, moment: &Moment, subagent: Option<&str>, out: &mut dyn FnMut(Event)) -> usize {
        let index = self.track_silent(subagent);
        if !self.tracks[index].announced {
            self.announce(moment, index, out);
        }
        index
    }

    fn track_silent(&mut self, subagent: Option<&str>) -> usize {
        let matches = |track: &Track| match subagent {
            None => track.parent.is_none() && track.id == self.session,
            Some(subagent) => {
                track.parent.as_deref() == Some(&self.session)
                    && track.id.strip_prefix(self.session.as_str()).and_then(|rest| rest.strip_prefix('/'))
                        == Some(subagent)
            }
        };
        if let Some(index) = self.tracks.iter().rposition(matches) {
            let last = self.tracks.len() - 1;
            if index != last {
                let track = self.tracks.remove(index);
                self.tracks.push(track);
            }
            return last;
        }
        if self.tracks.len() >= self.options.max_sessions.max(1) {
            self.tracks.remove(0);
        }
        let (id, parent) = match subagent {
            None => (self.session.clone(), None),
            Some(subagent) => (format!("{}/{subagent}", self.session), Some(self.session.clone())),
        };
        let mut track = Track::new(id, parent, &self.name, &self.options.detect);
        if subagent.is_none() && self.named {
            track.known.agent_session = Some(self.session.clone());
        }
        self.tracks.push(track);
        self.tracks.len() - 1
    }

    fn announce(&mut self, moment: &Moment, index: usize, out: &mut dyn FnMut(Event)) {
        let track = &mut self.tracks[index];
        let again = std::mem::replace(&mut track.announced, true);
        let known = track.known.clone();
        let id = IdBuilder::new(if again { "updated" } else { "started" })
            .part(track.id.as_bytes())
            .number(moment.place.as_ref().map_or(0, |place| place.offset))
            .part(known.model.as_deref().unwrap_or("").as_bytes())
            .part(known.cwd.as_deref().unwrap_or("").as_bytes())
            .finish("s-");
        let body = if again { EventBody::SessionUpdated(known) } else { EventBody::SessionStarted(known) };
        let event = self.tracks[index].event(moment, id, body);
        out(event);
    }

    // ------------------------------------------------------------------------------------------ the end

    fn finish(&mut self, now: Timestamp, lines: u64, bytes: u64, out: &mut dyn FnMut(Event)) {
        if self.documents.is_open() {
            self.release_document(now, out);
        }
        self.settle_wrapped(now, out);
        let moment = self.moment(now, None, None);
        let policy = &self.options.policy;
        let alerts = &mut self.summary.alerts;
        // A sub-agent whose failure the one who sent it off has heard of, and gone on after, left no trouble behind.
        let heard: Vec<String> = self.tracks.iter().map(|track| track.id.clone()).collect();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if track.parent.as_ref().is_some_and(|parent| heard[index..].contains(parent)) {
                continue;
            }
            track.end(&moment, lines, policy, &mut |event| {
                if let EventBody::Alert(alert) = &event.body {
                    *alerts.entry(alert.class.name()).or_default() += 1;
                }
                out(event);
            });
        }
        self.summary.lines = lines;
        self.summary.bytes = bytes;
        self.summary.verdict = self.tracks.iter().map(|track| track.health).max();
        self.summary.duration_sec = self
            .first_time
            .zip(self.last_time)
            .map(|(first, last)| (last.as_micros() - first.as_micros()) as f64 / 1e6);
        let id = IdBuilder::new("summary").part(self.session.as_bytes()).number(bytes).finish("e-");
        out(Event {
            id,
            session: self.session.clone(),
            parent_session: None,
            agent: moment.agent.to_owned(),
            time: self.last_time,
            observed_time: now,
            source: Some(SourcePlace { name: self.name.clone(), line: lines, offset: bytes }),
            body: EventBody::Summary(self.summary.clone()),
        });
    }

    // ------------------------------------------------------------------------------------------ explaining

    #[expect(clippy::too_many_arguments, reason = "one record's facts, passed on once")]
    fn explain(
        &mut self,
        line: u64,
        record: &'static str,
        origin: &'static str,
        text: &str,
        verdict: Result<Class, &'static str>,
        rule: Option<&str>,
        looks: Vec<Look>,
    ) {
        let format = self.agent;
        if let Some(explanations) = &mut self.explanations {
            explanations.push(Explanation {
                line,
                format,
                record,
                origin,
                text: redact::excerpt(text, MESSAGE_CHARS),
                verdict,
                rule: rule.map(str::to_owned),
                looks,
            });
        }
    }

    fn ignored(&mut self, frame: Frame<'_>, record: &'static str, why: &'static str) {
        if self.explanations.is_some() {
            let text = String::from_utf8_lossy(&frame.bytes[..frame.bytes.len().min(1024)]).into_owned();
            self.explain(frame.line, record, "content", &text, Err(why), None, Vec::new());
        }
    }
}

/// How long a line that may be wrapped is held back for its continuation, in milliseconds: terminals and programs
/// write both in one go.
const WRAP_WAIT_MS: i64 = 1;

/// Returns the words of a retry notice with the attempt, where a field told it and the words do not.
fn with_attempt(text: &str, retry: Option<crate::model::record::Retry>) -> Cow<'_, str> {
    let told = || text.contains("ttempt") || text.contains("econnecting") || text.contains('/');
    match retry {
        Some(crate::model::record::Retry { attempt: Some(attempt), max_attempts, .. }) if !told() => {
            let of = max_attempts.map_or_else(String::new, |most| format!(" of {most}"));
            Cow::Owned(format!("{text} (attempt {attempt}{of})"))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
