//! Records → findings, and what detectors and policy make of them; sessions as they come into view; the summary.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::event::{Finding, SourcePlace};
use crate::model::id::IdBuilder;
use crate::model::record::{Failure, Lifecycle, Retry, Role, TextLine};
use crate::model::{Basis, Body, Class, Event, EventBody, Origin, Record, Timestamp};

use super::classify::{self, Look, Verdict};
use super::format::Frame;
use super::session::{Moment, Told, Track};
use super::stream::Core;
use super::usage::spending::{News, Spending};
use super::{Explanation, MESSAGE_CHARS, framing, redact};

/// How many lines after an incident a bare "Retrying in …" still speaks of it.
const RETRY_REACH: u64 = 8;

/// How many characters of the id of a session, and of that of a sub-agent, are kept.
const ID_CHARS: usize = 128;

/// How long a name may be, in bytes, that is kept as it was written to know it again.
const KEPT_BYTES: usize = 256;

/// A name as it was last written, and as it is shown: most records say the one that the record before them said.
#[derive(Default)]
struct Shown {
    /// Empty if it was too long to be kept.
    written: String,
    shown: String,
}

impl Shown {
    /// Returns a name fit to be shown, of at most so many characters, always the same number for the same name.
    fn of(&mut self, written: &str, max_chars: usize) -> &str {
        if self.written.is_empty() || self.written != written {
            self.shown = redact::excerpt(written, max_chars);
            self.written.clear();
            if written.len() <= KEPT_BYTES {
                self.written.push_str(written);
            }
        }
        &self.shown
    }
}

/// The names that records of a stream say again and again.
#[derive(Default)]
pub(super) struct Names {
    cwd: Shown,
    model: Shown,
    subagent: Shown,
}

/// What a plain line says.
enum Line {
    /// A failure.
    Failure(Verdict),
    /// That a retry is under way, and not of what.
    Retry(Retry),
    /// Nothing of the kind.
    Nothing,
}

/// One failure as it was seen: what it is taken for, and what its record says beside that.
struct Sight<'a> {
    /// What it is.
    verdict: &'a Verdict,
    /// Its words.
    text: &'a str,
    /// When a limit ends, from a field.
    retry_at: Option<Timestamp>,
    /// Whether a field says so or only its words.
    basis: Basis,
    /// Whether it ended the run.
    ends: bool,
    /// Whether a notice may follow at once that it is being retried.
    may_retry: bool,
    /// Where its record begins in the line, in bytes: several failures of one line differ in it.
    at: usize,
}

impl<'a> Sight<'a> {
    /// Returns a failure at the beginning of its line that says neither when it ends nor that it ended the run.
    fn new(verdict: &'a Verdict, text: &'a str, basis: Basis) -> Self {
        Self { verdict, text, retry_at: None, basis, ends: false, may_retry: false, at: 0 }
    }
}

impl Core {
    /// Takes a record of a frame that begins `column` bytes into its line.
    pub(super) fn record(
        &mut self,
        now: Timestamp,
        frame: Frame<'_>,
        column: u64,
        record: Record<'_>,
        out: &mut dyn FnMut(Event),
    ) {
        if let Some(listener) = self.listener.as_mut().filter(|_| !matches!(record.body, Body::Text(_))) {
            listener(now, &record);
        }
        if self.options.only_decode {
            return;
        }
        let text = if let Body::Text(text) = &record.body {
            let line = self.judge_text(frame.line, text);
            // A line that says nothing of a failure leaves no trace, whether it was looked at or passed over.
            if matches!(line, Line::Nothing) {
                return;
            }
            Some(line)
        } else {
            self.summary.records += 1;
            None
        };
        if let Some(time) = record.time {
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
        let (mut line, mut line_offset) = (frame.line, frame.offset - column);
        if record.at > 0 {
            let before = &frame.bytes[..record.at.min(frame.bytes.len())];
            line += framing::count_lines(before);
            if let Some(end) = memchr::memrchr(b'\n', before) {
                line_offset = frame.offset + end as u64 + 1;
            }
        }
        let moment = self.moment(now, record.time, Some((line, line_offset)));
        if let Some(session) = &record.session {
            self.adopt(&moment, session, out);
        }
        if let Body::Lifecycle(Lifecycle::Started { cwd, model }) = &record.body {
            self.learn(&moment, cwd.as_deref(), model.as_deref(), out);
        }
        let index = self.track(&moment, record.subagent.as_deref(), out);
        if self.tracks[index].is_undecided() {
            self.decide(index, now, &record.body, out);
        }
        if let Some(time) = record.time {
            let track = &mut self.tracks[index];
            track.last_time = Some(track.last_time.map_or(time, |last| last.max(time)));
        }
        let whole = matches!(record.body, Body::Message(_))
            && matches!(frame.bytes.trim_ascii_start().first(), Some(b'{' | b'['))
            && self.format().is_none_or(|format| format.tells_whole_messages());
        let asks = match &record.body {
            Body::Message(message) if whole && message.role == Role::User => {
                let notes = self.format().map_or(&[][..], |format| format.own_notes());
                notes.is_empty() || !notes.iter().any(|note| message.text.read().starts_with(note))
            }
            _ => true,
        };
        let looped = self.tracks[index].look_for_loops(&moment, &record.body, whole, asks);
        let news = self.spend(&moment, index, &record);
        self.tracks[index].spent(&news.added);
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
                match message.role {
                    Role::Assistant => self.tracks[index].progress(&moment, &self.options.policy, out),
                    Role::User => self.tracks[index].answered(&moment, &self.options.policy, out),
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
                // That it was called, or refused, was decided.
                self.tracks[index].answered(&moment, &self.options.policy, out);
                let text = result.text.read();
                let mut looks = Vec::new();
                let trace = self.explanations.is_some().then_some(&mut looks);
                let verdict = classify::tool_result(&self.options.rules, moment.agent, &text, trace);
                self.explain(
                    line,
                    "tool_result",
                    "tool",
                    &text,
                    Ok(verdict.class),
                    Some(&verdict.rule),
                    looks,
                );
                let sight = Sight { at: record.at, ..Sight::new(&verdict, &text, Basis::Asserted) };
                self.finding(&moment, index, sight, out);
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
            Body::Usage(_) | Body::Quota(_) => {}
            Body::Lifecycle(lifecycle) => {
                self.explain(line, "lifecycle", "agent", "", Err("it reports no failure"), None, Vec::new());
                match lifecycle {
                    Lifecycle::TurnEnded => self.tracks[index].progress(&moment, &self.options.policy, out),
                    Lifecycle::TurnStarted | Lifecycle::Answered => {
                        self.tracks[index].answered(&moment, &self.options.policy, out);
                    }
                    _ => {}
                }
            }
            Body::Text(read) => {
                let words = &read.text[read.body..];
                match text {
                    Some(Line::Failure(verdict)) => {
                        self.finding(&moment, index, Sight::new(&verdict, words, Basis::Inferred), out);
                    }
                    Some(Line::Retry(retry)) => {
                        self.bare_retry(&moment, index, line, retry, words, Basis::Inferred, out);
                    }
                    Some(Line::Nothing) | None => {}
                }
            }
        }
        if let Some(verdict) = looped {
            let out = &mut counting(&mut self.summary.alerts, out);
            self.tracks[index].looped(&moment, verdict, &self.options.policy, out);
        }
        if news.is_any() {
            // Several records of a line may have told of it: it is told once, at the end of the line.
            let (_, all) = self.untold_spending.get_or_insert_with(|| (moment.clone(), News::default()));
            all.figures |= news.figures;
            all.notices.extend(news.notices);
        }
    }

    /// Lets the meter see a record.
    fn spend(&mut self, moment: &Moment, index: usize, record: &Record<'_>) -> News {
        if matches!(record.body, Body::Text(_)) {
            return News::default();
        }
        // A clock that is ahead must not stop the meter's.
        let time = self.tracks[index].event_time(moment).min(moment.now);
        let spending = self.spending.get_or_insert_with(|| {
            let mut spending = Box::new(Spending::new(Arc::clone(&self.options.spending), &self.session));
            spending.spent_elsewhere(self.spent_elsewhere);
            spending.counts_from(self.counts_from);
            spending
        });
        spending.take(record, time, &self.options.zone)
    }

    /// Tells what was used, and what about it is worth an alert. It is the session's matter, whoever of it used it.
    pub(super) fn tell_spending(&mut self, out: &mut dyn FnMut(Event)) {
        let Some((moment, news)) = self.untold_spending.take() else { return };
        let Some(spending) = &self.spending else { return };
        let figures = spending.figures();
        let moment = &moment;
        let index = self.track(moment, None, out);
        let track = &mut self.tracks[index];
        if news.figures {
            let (line, offset) = moment.place.as_ref().map_or((0, 0), |place| (place.line, place.offset));
            let id =
                IdBuilder::new("usage").part(track.id.as_bytes()).number(line).number(offset).finish("u-");
            out(track.event(moment, id, EventBody::Usage(figures)));
        }
        let out = &mut counting(&mut self.summary.alerts, out);
        for notice in news.notices {
            track.notice(moment, notice, &self.options.policy, out);
        }
    }

    /// Asks the rules for plain lines about a line.
    fn judge_text(&mut self, line: u64, text: &TextLine<'_>) -> Line {
        let mut looks = Vec::new();
        let trace = self.explanations.is_some().then_some(&mut looks);
        let verdict = classify::line(&self.options.rules, self.agent, text, trace);
        let words = &text.text[text.body..];
        let nothing =
            if text.content { "the line is set off as content" } else { "no rule for plain lines matches" };
        let outcome = verdict.as_ref().map(|verdict| verdict.class).ok_or(nothing);
        self.explain(
            line,
            "text",
            if text.content { "content" } else { "agent" },
            words,
            outcome,
            verdict.as_ref().map(|verdict| verdict.rule.as_str()),
            looks,
        );
        match verdict {
            Some(verdict) => Line::Failure(verdict),
            None => classify::line_retry(text).map_or(Line::Nothing, Line::Retry),
        }
    }

    pub(super) fn failure(
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
                let sight = Sight {
                    retry_at: failure.retry_at,
                    ends: failure.ends,
                    may_retry: failure.may_retry,
                    at,
                    ..Sight::new(&verdict, &failure.text, basis)
                };
                self.finding(moment, index, sight, out);
            }
            None => {
                let retry = failure.retry.unwrap_or_default();
                self.bare_retry(moment, index, line, retry, &failure.text, basis, out);
            }
        }
    }

    /// A retry notice that does not say of what: it speaks of the failure just before it.
    #[expect(clippy::too_many_arguments, reason = "one record's facts, passed on once")]
    pub(super) fn bare_retry(
        &mut self,
        moment: &Moment,
        index: usize,
        line: u64,
        retry: Retry,
        text: &str,
        basis: Basis,
        out: &mut dyn FnMut(Event),
    ) {
        let Some((class, at)) = self.tracks[index].last_incident() else { return };
        if (line + self.lines_elsewhere).saturating_sub(at) > RETRY_REACH {
            return;
        }
        self.tracks[index].retrying(moment, &self.options.policy, out);
        let verdict = Verdict {
            class,
            rule: "retry_notice".to_owned(),
            status: None,
            retry: Some(retry),
            origin: Origin::Agent,
            retryable: None,
            guess: false,
            severity: None,
        };
        self.finding(moment, index, Sight::new(&verdict, text, basis), out);
    }

    /// Tells of a failure that was seen, and shows it to the track that it belongs to.
    fn finding(&mut self, moment: &Moment, index: usize, sight: Sight<'_>, out: &mut dyn FnMut(Event)) {
        let Sight { verdict, text, retry_at, basis, ends, may_retry, at } = sight;
        let policy = &self.options.policy;
        let row = policy.class(verdict.class);
        let track = &mut self.tracks[index];
        let time = track.event_time(moment);
        let tool = verdict.origin == Origin::Tool;
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
            severity: verdict.severity.unwrap_or(row.severity),
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
        let told = Told { finding, id, ends, may_retry, guess: verdict.guess };
        track.incident(moment, told, policy, &mut counting(&mut self.summary.alerts, out));
    }

    /// What the agent says next decides on a failure that it may take back.
    fn decide(&mut self, index: usize, now: Timestamp, body: &Body<'_>, out: &mut dyn FnMut(Event)) {
        let track = &mut self.tracks[index];
        match body {
            Body::Failure(Failure { retry: Some(_), .. }) => track.take_back(),
            // The ends of the message and of the turn, and what they have used: the notice comes behind them.
            Body::Lifecycle(Lifecycle::Other) | Body::Usage(_) | Body::Quota(_) => {}
            _ => track.settle(now, &self.options.policy, &mut counting(&mut self.summary.alerts, out)),
        }
    }

    /// Time passes for every session.
    pub(super) fn tick(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        let moment = self.moment(now, None, None);
        for track in &mut self.tracks {
            track.tick(&moment, &self.options.policy, &mut counting(&mut self.summary.alerts, out));
        }
    }

    // ------------------------------------------------------------------------------------------- sessions

    /// Takes the agent's own session id for the stream from here on.
    pub(super) fn adopt(&mut self, moment: &Moment, id: &str, out: &mut dyn FnMut(Event)) {
        // Most records say the name that is known already.
        if self.named && self.named_as == id {
            return;
        }
        let written = id;
        let id = redact::excerpt(id, ID_CHARS);
        if (self.named && self.session == id) || id.is_empty() {
            return;
        }
        self.named_as.clear();
        if written.len() <= KEPT_BYTES {
            self.named_as.push_str(written);
        }
        let previous = std::mem::replace(&mut self.session, id.clone());
        if !self.named {
            // Sub-agents that spoke before the session said its name go with it.
            for track in self.tracks.iter_mut().filter(|track| track.parent.as_ref() == Some(&previous)) {
                let name = track.id[previous.len()..].to_owned();
                track.id = format!("{id}{name}");
                track.parent = Some(id.clone());
            }
        }
        if !std::mem::replace(&mut self.named, true)
            && let Some(index) = self.tracks.iter().position(|track| track.id == previous)
        {
            let track = &mut self.tracks[index];
            track.id.clone_from(&id);
            track.known.agent_session = Some(id);
            track.known.previous_session = Some(previous);
            self.announce(moment, index, out);
        }
    }

    /// Takes what a session says of itself.
    pub(super) fn learn(
        &mut self,
        moment: &Moment,
        cwd: Option<&str>,
        model: Option<&str>,
        out: &mut dyn FnMut(Event),
    ) {
        let index = self.track_silent(moment, None);
        let track = &mut self.tracks[index];
        let mut changed = !track.announced;
        let names = &mut self.names;
        for (known, told, shown) in
            [(&mut track.known.cwd, cwd, &mut names.cwd), (&mut track.known.model, model, &mut names.model)]
        {
            if let Some(told) = told {
                let told = shown.of(told, MESSAGE_CHARS);
                if !told.is_empty() && known.as_deref() != Some(told) {
                    *known = Some(told.to_owned());
                    changed = true;
                }
            }
        }
        if changed {
            self.announce(moment, index, out);
        }
    }

    /// Returns the index of the track that a record belongs to; tells of it when it is new.
    pub(super) fn track(
        &mut self,
        moment: &Moment,
        subagent: Option<&str>,
        out: &mut dyn FnMut(Event),
    ) -> usize {
        let index = self.track_silent(moment, subagent);
        if !self.tracks[index].announced {
            self.announce(moment, index, out);
        }
        index
    }

    pub(super) fn track_silent(&mut self, moment: &Moment, subagent: Option<&str>) -> usize {
        let subagent = subagent.map(|name| self.names.subagent.of(name, ID_CHARS));
        let subagent = subagent.filter(|name| !name.is_empty());
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
        let offset = moment.place.as_ref().map_or(0, |place| place.offset);
        let mut track = Track::new(id, parent, &self.name, offset, &self.options.detect);
        if self.explains_loops {
            track.start_explaining();
        }
        if self.measures_loops {
            track.start_measuring();
        }
        if subagent.is_none() && self.named {
            track.known.agent_session = Some(self.session.clone());
        }
        self.tracks.push(track);
        self.tracks.len() - 1
    }

    pub(super) fn announce(&mut self, moment: &Moment, index: usize, out: &mut dyn FnMut(Event)) {
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

    /// Reads what was held back of the stream.
    pub(super) fn let_go(&mut self, now: Timestamp, out: &mut dyn FnMut(Event)) {
        if self.documents.is_open() {
            self.release_document(now, out);
        }
        self.settle_wrapped(now, out);
        self.tell_spending(out);
    }

    pub(super) fn finish(&mut self, now: Timestamp, lines: u64, bytes: u64, out: &mut dyn FnMut(Event)) {
        self.let_go(now, out);
        let moment = self.moment(now, None, None);
        let policy = &self.options.policy;
        let alerts = &mut self.summary.alerts;
        // A sub-agent whose failure the one who sent it off has heard of, and gone on after, left no trouble behind.
        let heard: Vec<String> = self.tracks.iter().map(|track| track.id.clone()).collect();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if track.parent.as_ref().is_some_and(|parent| heard[index..].contains(parent)) {
                continue;
            }
            track.end(&moment, lines + self.lines_elsewhere, policy, &mut counting(alerts, out));
        }
        if let Some(spending) = &self.spending {
            spending.sum_up(&mut self.summary);
        }
        self.summary.lines += lines - self.skipped.0;
        self.summary.bytes += bytes - self.skipped.1;
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
            source: Some(SourcePlace { name: Arc::clone(&self.name), line: lines, offset: bytes }),
            body: EventBody::Summary(self.summary.clone()),
        });
    }

    // ------------------------------------------------------------------------------------------ explaining

    #[expect(clippy::too_many_arguments, reason = "one record's facts, passed on once")]
    pub(super) fn explain(
        &mut self,
        line: u64,
        record: &'static str,
        origin: &'static str,
        text: impl fmt::Display,
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
                text: redact::excerpt(&text.to_string(), MESSAGE_CHARS),
                verdict,
                rule: rule.map(str::to_owned),
                looks,
            });
        }
    }

    pub(super) fn ignored(&mut self, frame: Frame<'_>, record: &'static str, why: &'static str) {
        if self.explanations.is_some() {
            let text = String::from_utf8_lossy(&frame.bytes[..frame.bytes.len().min(1024)]).into_owned();
            self.explain(frame.line, record, "content", &text, Err(why), None, Vec::new());
        }
    }
}

/// Counts the alerts among events that go out.
fn counting<'o>(
    alerts: &'o mut BTreeMap<&'static str, u64>,
    out: &'o mut dyn FnMut(Event),
) -> impl FnMut(Event) + 'o {
    move |event| {
        if let EventBody::Alert(alert) = &event.body {
            *alerts.entry(alert.class.name()).or_default() += 1;
        }
        out(event);
    }
}

/// Returns the words of a retry notice with the attempt, where a field told it and the words do not.
fn with_attempt(text: &str, retry: Option<Retry>) -> Cow<'_, str> {
    let told = || text.contains("ttempt") || text.contains("econnecting") || text.contains('/');
    match retry {
        Some(Retry { attempt: Some(attempt), max_attempts, .. }) if !told() => {
            let of = max_attempts.map_or_else(String::new, |most| format!(" of {most}"));
            Cow::Owned(format!("{text} (attempt {attempt}{of})"))
        }
        _ => Cow::Borrowed(text),
    }
}
