//! Loops: an agent that works and gets nowhere. One detector a file.
//!
//! To add a detector: write `<name>.rs` beside this file with a type that implements [`LoopDetector`] and
//! `pub(super) fn build() -> Box<dyn LoopDetector + Send>`, add its word to the `loop_detectors!` list below, and a row
//! to [`limits::TABLE`].
//!
//! Every detector counts one kind of evidence and knows nothing of the others. [`Loops`] holds the counts against two
//! limits each: at the first it is worth a warning, at the second worth an interruption. Half of the second limit in two
//! independent families is worth an interruption as well, unless the agent makes progress.

pub mod calibrate;
pub mod limits;
mod runs;
mod vain;

use std::sync::Arc;

use crate::engine::redact;
use crate::engine::step::mask::hash;
use crate::engine::step::tools::Effect;
use crate::engine::step::{Round, Step, Steps};
use crate::model::event::SourcePlace;
use crate::model::record::{Body, Lifecycle, Role};
use crate::model::{Basis, Class, Level, Timestamp};

use super::Detection;
use calibrate::Gauge;
use limits::{Limit, Limits, Options};

/// Declares the detectors of loops: their modules, and the list in which they are asked.
macro_rules! loop_detectors {
    ($($name:ident: $family:ident, $($sign:ident)+;)+) => {
        $(mod $name;)+

        /// The names of the detectors, in the order in which they are asked.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        fn build_all() -> Vec<Watch> {
            vec![$(Watch::new(stringify!($name), Family::$family, &[$(SignKind::$sign),+], $name::build()),)+]
        }
    };
}

// Their families, and the signs that say something to them; they are shown no others.
loop_detectors! {
    repeated_call: Call, Round;
    cycle: Call, Round;
    frozen_poll: Call, Step Round;
    interleaved_repeat: Call, Step;
    same_answer: Call, Step Round;
    reread: Call, Step;
    flip_flop: Call, Step;
    duplicate_delegation: Call, Step;
    same_error: Error, Step;
    refused_tool: Error, Step;
    chanting: Text, Said;
    monologue: Text, Said Step;
    injected_message: Text, Step Said Heard;
    compaction_thrash: Cost, Step Compacted;
    no_progress: Cost, Step Heard;
    burn_usd: Cost, Step Heard Spent;
    burn_tokens: Cost, Step Heard Spent;
    burn_time: Cost, Step Heard Spent;
}

/// What kind of evidence a detector counts. Those of one family see the same thing from several sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Call,
    Error,
    Text,
    Cost,
}

/// What the model said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The words.
    pub text: &'a str,
    /// The same as a number.
    pub print: u64,
    /// Their line.
    pub line: u64,
    /// When.
    pub time: Timestamp,
}

/// What the model was told: by a person, a hook, a system prompt.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// What it says, as a number.
    pub print: u64,
    /// Its line.
    pub line: u64,
    /// When.
    pub time: Timestamp,
    /// Whether it came so soon after the model's last words that no person can have written it.
    pub at_once: bool,
}

/// How many seconds a person takes at least to read what the model said and to answer.
const ANSWER_SEC: i64 = 3;

/// What the detectors look at.
#[derive(Clone, Copy, Debug)]
pub enum Sign<'a> {
    /// A call was answered.
    Step(&'a Step),
    /// All calls that were issued together were answered.
    Round(&'a Round),
    /// The model said something.
    Said(&'a Said<'a>),
    /// The model was told something.
    Heard(&'a Heard),
    /// The context was compacted.
    Compacted {
        /// The line that says so.
        line: u64,
        /// When.
        time: Timestamp,
    },
    /// A request was paid for.
    Spent {
        /// What it cost, as far as that is known.
        usd: f64,
        /// How many tokens it used, those read from a cache left out.
        tokens: u64,
    },
}

impl Sign<'_> {
    fn kind(&self) -> SignKind {
        match self {
            Sign::Step(_) => SignKind::Step,
            Sign::Round(_) => SignKind::Round,
            Sign::Said(_) => SignKind::Said,
            Sign::Heard(_) => SignKind::Heard,
            Sign::Compacted { .. } => SignKind::Compacted,
            Sign::Spent { .. } => SignKind::Spent,
        }
    }
}

/// The kinds of signs, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum SignKind {
    Step = 1,
    Round = 2,
    Said = 4,
    Heard = 8,
    Compacted = 16,
    Spent = 32,
}

/// How far one kind of evidence has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// How often.
    pub count: u32,
    /// How many steps one time takes.
    pub period: u32,
    /// The line at which it began.
    pub since_line: u64,
    /// When it began; `None`: it did not yet.
    pub since: Option<Timestamp>,
    /// What is repeated: the same number in whatever run of the session.
    pub key: u64,
}

/// Sees one kind of evidence.
pub trait LoopDetector {
    /// Takes note of a sign. `None`: it says nothing to this detector, and leaves its count as it is.
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence>;

    /// Says what the agent did, as the end of a sentence that begins with "the agent" or "you". `what` is the latest call.
    fn reason(&self, evidence: &Evidence, what: &str) -> String;
}

/// One detector and what it last said.
struct Watch {
    name: &'static str,
    family: Family,
    /// The kinds of signs that it is shown.
    sees: u8,
    detector: Box<dyn LoopDetector + Send>,
    evidence: Evidence,
    /// How close it is, or lately was, to its second limit, where 1 is there.
    strength: f32,
    /// Above the first limit.
    warns: bool,
}

impl Watch {
    fn new(
        name: &'static str,
        family: Family,
        signs: &[SignKind],
        detector: Box<dyn LoopDetector + Send>,
    ) -> Self {
        let sees = signs.iter().fold(0, |all, kind| all | *kind as u8);
        Self { name, family, sees, detector, evidence: Evidence::default(), strength: 0.0, warns: false }
    }
}

/// How much of a strength is left after each step that does not confirm it.
const FADING: f32 = 0.8;

/// How strong two families have to be to be enough together.
const HALF: f32 = 0.5;

/// How much progress refutes what two families say together.
const PROGRESS: f32 = 0.5;

/// After how many steps, messages and compactions without a warning's worth of evidence a loop is over.
const OVER: u32 = 8;

/// What the detectors say after a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The agent goes in circles.
    Loop(Box<Detection>),
    /// It did, and does no more.
    Over,
}

/// A step as the detectors saw it, for `explain`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The step.
    pub step: Step,
    /// What each detector had counted after it: name, count, and how close that is to its second limit.
    pub counts: Vec<(&'static str, u32, f32)>,
    /// What came of it.
    pub verdict: Option<(Level, &'static str)>,
}

/// Watches one conversation for loops.
pub struct Loops {
    steps: Steps,
    /// One a detector, in the order of [`NAMES`].
    watches: Vec<Watch>,
    limits: Limits,
    options: Arc<Options>,
    credit: f32,
    label: String,
    /// When the model last said or did something, as far as that is known.
    said: Option<Timestamp>,
    told: bool,
    calm: u32,
    rows: Option<Vec<Row>>,
    /// If it is there, nothing is told: it is only measured how close the evidence comes to the limits.
    gauge: Option<Box<Gauge>>,
}

impl Loops {
    /// Returns a watch over an agent (the name of its format) that has seen nothing yet.
    pub fn new(options: &Arc<Options>, agent: &str) -> Self {
        Self {
            steps: Steps::default(),
            watches: build_all(),
            limits: *options.limits(agent),
            options: Arc::clone(options),
            credit: 0.0,
            label: String::new(),
            said: None,
            told: false,
            calm: 0,
            rows: None,
            gauge: None,
        }
    }

    /// From now on, tells nothing, and measures how close the evidence comes to the limits.
    pub fn start_measuring(&mut self) {
        self.gauge = Some(Box::default());
    }

    /// Returns what was measured, if something was.
    pub fn gauge(&self) -> Option<&Gauge> {
        self.gauge.as_deref()
    }

    /// From now on, keeps what the detectors said of each step.
    pub fn start_explaining(&mut self) {
        self.rows = Some(Vec::new());
    }

    /// Returns the steps since the last call.
    pub fn take_rows(&mut self) -> Vec<Row> {
        self.rows.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns the latest call that has no answer yet: what it does, and its label.
    pub fn open_call(&self) -> Option<(Effect, &str)> {
        self.steps.open_call()
    }

    /// Whether a loop was told that is not over.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Takes a record that happened at `time` (event time) in this place. `said`: the time that it says itself.
    pub fn record(
        &mut self,
        body: &Body<'_>,
        place: &SourcePlace,
        time: Timestamp,
        said: Option<Timestamp>,
    ) -> Option<Verdict> {
        let line = place.line;
        let before = self.said;
        if !matches!(body, Body::Message(message) if message.role == Role::User) {
            self.said = said;
        }
        match body {
            Body::ToolCall(call) => {
                self.steps.called(call, &self.options.intended);
                None
            }
            Body::ToolResult(result) => {
                let (step, round) = self.steps.answered(result, line, time)?;
                if step.intended && round.is_none() {
                    self.explain(step, None);
                    return None;
                }
                self.credit = step.credit;
                if !step.intended {
                    self.label.clone_from(&step.label);
                }
                self.fade();
                if !step.intended {
                    self.show(&Sign::Step(&step));
                }
                if let Some(round) = round {
                    self.show(&Sign::Round(&round));
                }
                if let Some(gauge) = &mut self.gauge {
                    gauge.steps += 1;
                }
                let verdict = self.judge(place, time);
                self.explain(step, verdict.as_ref());
                verdict
            }
            Body::Message(message) => {
                let text = message.text.read();
                let text = text.trim();
                if text.is_empty() {
                    return None;
                }
                let print = hash(text);
                match message.role {
                    Role::Assistant => self.show(&Sign::Said(&Said { text, print, line, time })),
                    Role::User => {
                        self.steps.heard(print);
                        let gap = before.zip(said).map(|(before, said)| said.seconds_since(before));
                        let at_once = gap.is_some_and(|gap| (0..ANSWER_SEC).contains(&gap));
                        self.show(&Sign::Heard(&Heard { print, line, time, at_once }));
                    }
                }
                self.judge(place, time)
            }
            Body::Lifecycle(Lifecycle::Compacted) => {
                self.show(&Sign::Compacted { line, time });
                self.judge(place, time)
            }
            _ => None,
        }
    }

    fn fade(&mut self) {
        for watch in &mut self.watches {
            watch.strength *= FADING;
            watch.warns = false;
        }
    }

    fn show(&mut self, sign: &Sign<'_>) {
        let time = match sign {
            Sign::Step(step) => step.time,
            Sign::Round(round) => round.time,
            Sign::Said(said) => said.time,
            Sign::Heard(heard) => heard.time,
            Sign::Compacted { time, .. } => *time,
            // What was spent is judged at the next step.
            Sign::Spent { .. } => return self.spend(sign),
        };
        let kind = sign.kind() as u8;
        for (place, watch) in self.watches.iter_mut().enumerate().filter(|(_, watch)| watch.sees & kind != 0)
        {
            let Some(evidence) = watch.detector.see(sign) else { continue };
            watch.warns = false;
            if evidence.count > 0 {
                let limit = self.limits.at(place);
                let span = evidence.since.map_or(0, |since| time.seconds_since(since).max(0));
                watch.warns = limit.warns(evidence.count, span);
                let strength = limit.strength(evidence.count, span);
                watch.strength = watch.strength.max(strength);
                if let Some(gauge) = &mut self.gauge {
                    gauge.saw(place, evidence.count, span, strength);
                }
            }
            watch.evidence = evidence;
        }
    }

    /// Takes note of what was spent since the last call.
    pub fn spent(&mut self, usd: f64, tokens: u64) {
        self.show(&Sign::Spent { usd, tokens });
    }

    fn spend(&mut self, sign: &Sign<'_>) {
        let kind = sign.kind() as u8;
        for watch in self.watches.iter_mut().filter(|watch| watch.sees & kind != 0) {
            if let Some(evidence) = watch.detector.see(sign) {
                watch.evidence = evidence;
            }
        }
    }

    /// Holds the evidence against the limits.
    fn judge(&mut self, place: &SourcePlace, time: Timestamp) -> Option<Verdict> {
        let is_calm = self.watches.iter().all(|watch| watch.strength < HALF && !watch.warns);
        let strongest = |watches: &[Watch], family: Option<Family>| {
            let of = watches.iter().enumerate().filter(|(_, watch)| family != Some(watch.family));
            of.max_by(|(_, a), (_, b)| a.strength.total_cmp(&b.strength)).map(|(at, _)| at)
        };
        if is_calm && self.gauge.is_none() {
            return self.calm();
        }
        let first = strongest(&self.watches, None)?;
        let second = strongest(&self.watches, Some(self.watches[first].family))?;
        let (one, other) = (self.watches[first].strength, self.watches[second].strength);
        if let Some(gauge) = &mut self.gauge {
            // What interrupts below does so where this is 1: all of it grows as the limits shrink.
            let pair = if self.credit < PROGRESS { other / HALF } else { 0.0 };
            gauge.judged(one.max(pair), place.line, self.watches[first].name);
            return None;
        }
        let together = one >= HALF && other >= HALF && self.credit < PROGRESS;
        let level = if one >= 1.0 || together {
            Level::Act
        } else if self.watches.iter().any(|watch| watch.warns) {
            Level::Warn
        } else {
            return self.calm();
        };
        self.calm = 0;
        self.told = true;
        let at = if level == Level::Act {
            first
        } else {
            self.watches.iter().position(|watch| watch.warns).unwrap_or(first)
        };
        let watch = &self.watches[at];
        let evidence = &watch.evidence;
        let what = redact::excerpt(&self.label, 90);
        let mut reason = format!("the agent {}", watch.detector.reason(evidence, &what));
        if level == Level::Act && one < 1.0 {
            let other = &self.watches[second];
            reason = format!("{reason}, and {}", other.detector.reason(&other.evidence, &what));
        }
        let since_line = if evidence.since_line == 0 { place.line } else { evidence.since_line };
        let detection = Detection {
            detector: watch.name,
            class: Class::ToolRepeat,
            level,
            count: u64::from(evidence.count),
            window_sec: evidence.since.map_or(0, |since| time.seconds_since(since).max(0).unsigned_abs()),
            evidence: (format!("{}:{since_line}", place.name), format!("{}:{}", place.name, place.line)),
            reason,
            // Calls and answers are told by the structure; what words amount to is not.
            basis: if watch.family == Family::Text { Basis::Inferred } else { Basis::Asserted },
            retry_at: None,
            key: Some(evidence.key),
        };
        if level == Level::Act {
            // What was told once has to be seen again to be told again.
            for watch in &mut self.watches {
                watch.strength = 0.0;
                watch.warns = false;
            }
            let steps = std::mem::take(&mut self.steps);
            self.watches = build_all();
            self.steps = steps;
        }
        Some(Verdict::Loop(Box::new(detection)))
    }

    /// There is no loop in sight; returns whether one that was told is over.
    fn calm(&mut self) -> Option<Verdict> {
        self.calm += 1;
        let is_over = self.told && self.calm >= OVER;
        self.told &= !is_over;
        is_over.then_some(Verdict::Over)
    }

    fn explain(&mut self, step: Step, verdict: Option<&Verdict>) {
        let Some(rows) = &mut self.rows else { return };
        let verdict = verdict.and_then(|verdict| match verdict {
            Verdict::Loop(detection) => Some((detection.level, detection.detector)),
            Verdict::Over => None,
        });
        let counts = self
            .watches
            .iter()
            .filter(|watch| watch.evidence.count > 0)
            .map(|watch| (watch.name, watch.evidence.count, watch.strength))
            .collect();
        rows.push(Row { step, counts, verdict });
    }
}

impl Limit {
    /// Whether a count is worth a warning.
    fn warns(&self, count: u32, span_sec: i64) -> bool {
        self.warn > 0 && count >= self.warn && span_sec >= self.warn_sec
    }

    /// Returns how close a count is to the second limit, where 1 is there.
    fn strength(&self, count: u32, span_sec: i64) -> f32 {
        if self.act == 0 {
            return 0.0;
        }
        let times = count as f32 / self.act as f32;
        if self.act_sec == 0 { times } else { times.min(span_sec as f32 / self.act_sec as f32) }
    }
}
