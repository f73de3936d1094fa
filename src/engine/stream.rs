//! One source, from blocks of lines to records: which format a line is of, JSON over many lines, terminal text, wrapped
//! lines, code fences. What a record means is decided in [`super::judge`].

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::event::{SourcePlace, Summary};
use crate::model::id::IdBuilder;
use crate::model::{Body, Event, Record, Timestamp};

use super::classify::scan::Scanner;
use super::document::{Documents, Element, Step};
use super::format::{self, Decode, Decoded, Format, Frame};
use super::framing::Block;
use super::judge::Names;
use super::session::{Moment, Track};
use super::sweep::{self, Kinds};
use super::usage::spending::{Elsewhere, News, Spending};
use super::{Explanation, Options, ansi, classify, encoding, json};

/// How many lines a code fence may hold before it is taken to be a stray mark.
const FENCE_LINES: u64 = 400;

/// How long a line that may be wrapped is held back for its continuation, in milliseconds: terminals and programs
/// write both in one go.
const WRAP_WAIT_MS: i64 = 1;

/// The format that the stream is of, and its decoder.
pub(super) struct Active {
    format: &'static dyn Format,
    decoder: Box<dyn Decode + Send>,
    /// Whether it wants every plain line, not only those that a rule may concern.
    reads_text: bool,
}

impl Active {
    pub(super) fn new(format: &'static dyn Format, reads_text: bool) -> Self {
        Self { format, decoder: format.decoder(), reads_text }
    }
}

/// Who hears of records.
pub type Listener = Box<dyn FnMut(Timestamp, &Record<'_>) + Send>;

/// A candidate line that may go on in the next one.
pub(super) struct Wrapped {
    text: String,
    line: u64,
    offset: u64,
    /// Whether a line was already joined to it.
    joined: bool,
}

/// One source as the engine sees it.
pub(super) struct Core {
    pub(super) options: Arc<Options>,
    pub(super) name: Arc<str>,
    /// When the source was last written, where it is a file.
    pub(super) written: Option<Timestamp>,
    pub(super) scanner: Scanner,
    pub(super) active: Option<Active>,
    /// The last resort for JSON; taken out while it works.
    pub(super) generic: Option<Box<dyn Decode + Send>>,
    /// The name of the active format.
    pub(super) agent: &'static str,
    /// The format that was last looked up by that name.
    looked_up: (&'static str, Option<&'static dyn Format>),
    pub(super) documents: Documents,
    /// Whether a decoder knew an element of the large document that is open.
    pub(super) document_understood: bool,
    /// Whether a line of the document that is open was counted for a zero byte in it.
    pub(super) document_counted: bool,
    pub(super) wrapped: Option<Wrapped>,
    pub(super) wrapped_deadline: Option<Timestamp>,
    pub(super) fence: Option<u64>,
    /// Most recently heard of last.
    pub(super) tracks: Vec<Track>,
    /// The id of the session that the stream is in now.
    pub(super) session: String,
    /// Whether the agent has named it.
    pub(super) named: bool,
    /// The name as the agent last wrote it.
    pub(super) named_as: String,
    /// Names that were said lately, as they are shown.
    pub(super) names: Names,
    /// Whether lines came that were JSON lately: decides how plain lines are pre-scanned, never the result.
    pub(super) json_stream: bool,
    pub(super) first_time: Option<Timestamp>,
    pub(super) last_time: Option<Timestamp>,
    pub(super) summary: Summary,
    /// What was used; there from the first record of a conversation on.
    pub(super) spending: Option<Box<Spending>>,
    /// What records before this time tell of was used elsewhere.
    pub(super) counts_from: Option<Timestamp>,
    /// What of it is worth telling, and was not told yet.
    pub(super) untold_spending: Option<(Moment, News)>,
    /// What was used elsewhere.
    pub(super) spent_elsewhere: Elsewhere,
    /// The lines and bytes in front of what was read, which the summary does not count.
    pub(super) skipped: (u64, u64),
    /// How many lines the other streams of the session have had.
    pub(super) lines_elsewhere: u64,
    pub(super) hits: Vec<usize>,
    pub(super) explanations: Option<Vec<Explanation>>,
    /// Whether the steps of every session are kept, as the detectors of loops saw them.
    pub(super) explains_loops: bool,
    /// Whether loops are only measured.
    pub(super) measures_loops: bool,
    /// Hears every decoded record, before it is judged.
    pub(super) listener: Option<Listener>,
}

impl Core {
    pub(super) fn new(options: Arc<Options>, name: &str, seed: &str) -> Self {
        let generic = format::by_name("generic").expect("a format of this name is in the list").decoder();
        Self {
            scanner: options.scanner.clone(),
            active: options.agent.map(|format| Active::new(format, format.reads_text())),
            generic: Some(generic),
            agent: options.agent.map_or("unknown", |format| format.name()),
            looked_up: ("", None),
            documents: Documents::new(options.line_limit),
            document_understood: false,
            document_counted: false,
            wrapped: None,
            wrapped_deadline: None,
            fence: None,
            tracks: Vec::new(),
            session: IdBuilder::new("session").part(seed.as_bytes()).finish("s-"),
            named: false,
            named_as: String::new(),
            names: Names::default(),
            json_stream: false,
            first_time: None,
            last_time: None,
            summary: Summary { sources: 1, ..Summary::default() },
            spending: None,
            untold_spending: None,
            counts_from: None,
            spent_elsewhere: Elsewhere::default(),
            skipped: (0, 0),
            lines_elsewhere: 0,
            hits: Vec::new(),
            explanations: None,
            explains_loops: false,
            measures_loops: false,
            listener: None,
            name: name.into(),
            written: None,
            options,
        }
    }

    /// Exchanges what belongs to the session, and not to one of its streams, with the core of another stream.
    pub(super) fn exchange_session(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.tracks, &mut other.tracks);
        std::mem::swap(&mut self.session, &mut other.session);
        std::mem::swap(&mut self.named, &mut other.named);
        std::mem::swap(&mut self.named_as, &mut other.named_as);
        std::mem::swap(&mut self.first_time, &mut other.first_time);
        std::mem::swap(&mut self.last_time, &mut other.last_time);
        std::mem::swap(&mut self.summary, &mut other.summary);
        std::mem::swap(&mut self.spending, &mut other.spending);
        self.spent_elsewhere = other.spent_elsewhere;
        // Whose words they are is known as soon as one stream says it.
        if self.active.is_none() && self.agent == "unknown" {
            self.agent = other.agent;
        }
    }

    /// Returns the format that goes by the agent's name.
    pub(super) fn format(&mut self) -> Option<&'static dyn Format> {
        if !std::ptr::eq(self.looked_up.0, self.agent) {
            self.looked_up = (self.agent, format::by_name(self.agent));
        }
        self.looked_up.1
    }

    pub(super) fn moment(
        &self,
        now: Timestamp,
        time: Option<Timestamp>,
        place: Option<(u64, u64)>,
    ) -> Moment {
        let place = place.map(|(line, offset)| SourcePlace { name: Arc::clone(&self.name), line, offset });
        let latest = self.written.map_or(now, |written| written.min(now));
        Moment { now, latest, time, place, agent: self.agent, lines_elsewhere: self.lines_elsewhere }
    }

    /// Takes a block; returns how many line ends it has.
    pub(super) fn block(&mut self, now: Timestamp, block: Block<'_>, out: &mut dyn FnMut(Event)) -> u64 {
        if block.omitted > 0 {
            self.summary.truncated += 1;
        }
        if self.json_stream { self.records(now, block, out) } else { self.lines(now, block, out) }
    }

    /// Takes a block of a stream of JSON: long lines, each of which is decoded.
    fn records(&mut self, now: Timestamp, block: Block<'_>, out: &mut dyn FnMut(Event)) -> u64 {
        // Asked of the block where it begins with text; of the line where it does not.
        let escapes = matches!(block.bytes.first(), Some(b'{' | b'[')) || ansi::is_terminal_text(block.bytes);
        let (mut start, mut line) = (0, block.line);
        while start < block.bytes.len() {
            let end =
                memchr::memchr(b'\n', &block.bytes[start..]).map_or(block.bytes.len(), |end| start + end);
            let bytes = &block.bytes[start..end];
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if !bytes.starts_with(b"{\"") {
                self.summary.undecoded += encoding::zero_lines(bytes);
            }
            let offset = block.offset + start as u64;
            self.line(now, Frame { bytes, line, offset, truncated: block.omitted > 0 }, None, escapes, out);
            self.tell_spending(out);
            start = end + 1;
            line += u64::from(end < block.bytes.len());
        }
        line - block.line
    }

    /// Takes a block of a stream of text, most lines of which concern nobody.
    fn lines(&mut self, now: Timestamp, block: Block<'_>, out: &mut dyn FnMut(Event)) -> u64 {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.scanner.hits(block.bytes, |at| hits.push(at));
        let mut next_hit = hits.iter().copied().peekable();
        let mut calm = self.is_calm() && block.omitted == 0;
        let mut line = block.line;
        sweep::lines(block.bytes, |sweep::Line { start, end, odd }| {
            let bytes = &block.bytes[start..end];
            let (mut high, mut escapes) = (false, false);
            if odd {
                let kinds = Kinds::of(bytes);
                if kinds.control {
                    self.summary.undecoded += encoding::zero_lines(bytes);
                }
                high = kinds.high;
                escapes = (high || kinds.control) && ansi::is_terminal_text(bytes);
            }
            let hit = !hits.is_empty() && {
                while next_hit.next_if(|at| *at < start).is_some() {}
                next_hit.peek().is_some_and(|at| *at < end)
            };
            if calm && !hit && !escapes && self.passes_over(bytes, odd, high) {
                self.json_stream = false;
            } else {
                let offset = block.offset + start as u64;
                let frame = Frame { bytes, line, offset, truncated: block.omitted > 0 };
                self.line(now, frame, Some(hit), escapes, out);
                self.tell_spending(out);
                calm = self.is_calm() && block.omitted == 0;
            }
            line += 1;
        });
        self.hits = hits;
        line - block.line - u64::from(!block.bytes.is_empty() && block.bytes.last() != Some(&b'\n'))
    }

    /// Whether nothing is open that every line has to be held against.
    fn is_calm(&self) -> bool {
        !self.tracks.is_empty()
            && self.wrapped.is_none()
            && !self.documents.is_open()
            && self.explanations.is_none()
            && !self.active.as_ref().is_some_and(|active| active.reads_text)
    }

    /// Whether a line without any literal is text that concerns nobody, so that all there is to be done is to count it,
    /// which is done: what [`Self::line`] would find out as well, in more steps.
    #[inline(always)]
    fn passes_over(&mut self, bytes: &[u8], odd: bool, high: bool) -> bool {
        if !odd && self.scanner.is_nobodys(bytes) {
            self.summary.records += 1;
            return true;
        }
        self.passes_over_slowly(bytes, high)
    }

    #[inline(never)]
    fn passes_over_slowly(&mut self, bytes: &[u8], high: bool) -> bool {
        let indent = format::plain::indent(bytes);
        match bytes.get(indent) {
            None => return true,
            Some(b'{') => return false,
            Some(b'[') if Documents::may_be_array(bytes, indent) => return false,
            Some(_) => {}
        }
        let passes = !self.scanner.has_form_behind(bytes, indent, high);
        self.summary.records += u64::from(passes);
        passes
    }

    /// Takes one line. `hit`: whether the pre-scan of its block found a literal in it, if there was one.
    pub(super) fn line(
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
                        self.count_document();
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
            self.json_stream |= frame.bytes[first] == b'{';
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
    pub(super) fn json_line(
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
            if json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
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
            (self.document_understood, self.document_counted) = (false, false);
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
    pub(super) fn json(&mut self, now: Timestamp, frame: Frame<'_>, out: &mut dyn FnMut(Event)) -> Decoded {
        if self.wrapped.is_some() {
            self.settle_wrapped(now, out);
        }
        if let Some(mut active) = self.active.take() {
            let decoded = active.decoder.json(frame, &mut |record| self.record(now, frame, 0, record, out));
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
            if active.decoder.json(frame, &mut |record| self.record(now, frame, 0, record, out))
                == Decoded::Yes
            {
                self.active = Some(active);
                return Decoded::Yes;
            }
            self.agent = before;
        }
        let Some(mut generic) = self.generic.take() else { return Decoded::No };
        let decoded = generic.json(frame, &mut |record| self.record(now, frame, 0, record, out));
        self.generic = Some(generic);
        decoded
    }

    /// Takes a line of a document that spans lines. The elements of one that is too large to be held are decoded here.
    pub(super) fn document_line(
        &mut self,
        now: Timestamp,
        frame: Frame<'_>,
        out: &mut dyn FnMut(Event),
    ) -> Step {
        self.document_counted |= encoding::zero_lines(frame.bytes) > 0;
        let mut documents = std::mem::replace(&mut self.documents, Documents::new(0));
        let step = documents.push(frame.bytes, frame.line, frame.offset, &mut |element| {
            self.element(now, &element, out);
        });
        self.documents = documents;
        if step == Step::PartedEnd && !self.document_understood {
            self.count_document();
            self.ignored(frame, "json", "no format knows the elements of the document that ends here");
        }
        step
    }

    /// Lets the decoders try an element of a document that is too large to be held.
    pub(super) fn element(&mut self, now: Timestamp, element: &Element<'_>, out: &mut dyn FnMut(Event)) {
        if element.truncated {
            self.summary.truncated += 1;
            return;
        }
        let frame =
            Frame { bytes: element.bytes, line: element.line, offset: element.offset, truncated: false };
        let column = element.offset - element.line_offset;
        if let Some(mut active) = self.active.take() {
            let decoded =
                active.decoder.element(element, &mut |record| self.record(now, frame, column, record, out));
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
        if active.decoder.element(element, &mut |record| self.record(now, frame, column, record, out))
            == Decoded::Yes
        {
            self.active = Some(active);
            self.document_understood = true;
        } else {
            self.agent = before;
        }
    }

    /// A document is in no format: it counts as one line, if none of its own was counted.
    fn count_document(&mut self) {
        self.summary.undecoded += u64::from(!self.document_counted);
    }

    /// What was held as a document is none: its lines are text.
    pub(super) fn release_document(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        let (bytes, mut line, mut offset) = self.documents.take();
        self.count_document();
        if bytes.is_empty() {
            return; // its elements were told
        }
        for text in bytes.split(|byte| *byte == b'\n') {
            let shown = text.strip_suffix(b"\r").unwrap_or(text);
            let frame = Frame { bytes: shown, line, offset, truncated: false };
            self.text(now, frame, None, true, out);
            self.after_line(now, frame, out);
            line += 1;
            offset += text.len() as u64 + 1;
        }
    }

    /// The first line with text, once it was read, brings the session into view.
    pub(super) fn after_line(&mut self, now: Timestamp, frame: Frame<'_>, out: &mut dyn FnMut(Event)) {
        if self.tracks.is_empty() {
            let moment = self.moment(now, None, Some((frame.line, frame.offset)));
            self.track(&moment, None, out);
        }
    }

    // ----------------------------------------------------------------------------------------- plain text

    pub(super) fn text(
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
                Some(hit) => hit || self.scanner.has_form(frame.bytes),
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
    pub(super) fn shown(
        &mut self,
        now: Timestamp,
        frame: Frame<'_>,
        text: Cow<'_, str>,
        out: &mut dyn FnMut(Event),
    ) {
        if let Some(mut wrapped) = self.wrapped.take() {
            // What reads as a failure by itself is one of its own, whatever the line before looked like.
            let joined = (frame.line > wrapped.line && !self.concerns(&text))
                .then(|| format::plain::join(&wrapped.text, &text))
                .flatten();
            if let Some(joined) = joined {
                let goes_on = format::plain::may_continue(&text) || format::plain::is_open_body(&joined);
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
            let decoded = active.decoder.text(&text, &mut |record| self.record(now, frame, 0, record, out));
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
        if format::plain::may_continue(&text) {
            let read = format::plain::read_words(Cow::Borrowed(&text));
            if classify::concerns(&self.options.rules, self.agent, &read) {
                self.wrapped = Some(Wrapped {
                    text: text.into_owned(),
                    line: frame.line,
                    offset: frame.offset,
                    joined: false,
                });
                self.wrapped_deadline = Some(now.plus_millis(WRAP_WAIT_MS));
                return;
            }
            if self.explanations.is_none() && classify::line_retry(&read).is_none() {
                return;
            }
        }
        self.plain_line(now, frame.line, frame.offset, text, out);
    }

    /// Whether a line says something about a failure already, so that what it goes on with matters.
    pub(super) fn concerns(&self, text: &str) -> bool {
        let read = format::plain::read_words(Cow::Borrowed(text));
        classify::concerns(&self.options.rules, self.agent, &read)
    }

    /// Switches to the format whose banner this is, if it is one.
    pub(super) fn banner(&mut self, frame: Frame<'_>, text: &str) {
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
    pub(super) fn settle_wrapped(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        self.wrapped_deadline = None;
        if let Some(Wrapped { text, line, offset, .. }) = self.wrapped.take() {
            self.plain_line(now, line, offset, Cow::Owned(text), out);
        }
    }

    pub(super) fn plain_line(
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
        self.record(now, frame, 0, Record { time, ..Record::new(Body::Text(read)) }, out);
    }
}
