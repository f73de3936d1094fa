//! Steps: what an agent did and what came of it, from records of any format.
//!
//! A step is one call of a tool with its answer. It is made once, and all detectors of loops look at the same one. Calls
//! that were issued together are one [`Round`].

pub mod intended;
pub mod mask;
mod novelty;
pub mod tools;
pub mod world;

use std::collections::VecDeque;

use crate::model::Timestamp;
use crate::model::record::{ToolCall, ToolResult};

use intended::CallPattern;
use mask::{Kind, Masker, Print, hash, mix};
use novelty::Novelty;
use tools::{Call, Effect, Range};
use world::{Moved, World};

/// How many calls may be open; the oldest is given up.
const OPEN: usize = 32;

/// How many ids of calls are remembered: histories are told again when a session is resumed.
const IDS: usize = 128;

/// How many questions are remembered with their answers.
const QUESTIONS: usize = 64;

/// How many messages from outside are remembered.
const HEARD: usize = 4;

/// How much progress weighs at most.
const MOST_CREDIT: f32 = 3.0;

/// One call with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The how manieth it is, counted from 1.
    pub number: u64,
    /// The line of its answer, counted from 1.
    pub line: u64,
    /// When it was answered: event time.
    pub time: Timestamp,
    /// What it does.
    pub effect: Effect,
    /// Whether it waits, or asks after something that goes on by itself.
    pub waits: bool,
    /// The tool's name, hashed.
    pub tool: u64,
    /// The tool and those of its arguments that matter, hashed.
    pub question: u64,
    /// What it answered, masked and hashed.
    pub answer: u64,
    /// How many lines with words that had.
    pub lines: u32,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it was refused: by a person, by a permission, because there is no such tool.
    pub refused: bool,
    /// The set of its error lines, masked and hashed, if it failed or reports errors.
    pub error: Option<u64>,
    /// The world in which it was asked.
    pub epoch: u32,
    /// Question, answer and world: equal for steps that are the same again.
    pub symbol: u64,
    /// The file that it read or changed, hashed.
    pub path: Option<u64>,
    /// The part of the file that it read; `None`: all of it.
    pub range: Option<Range>,
    /// What became of the world.
    pub moved: Moved,
    /// How many of the lines of its answer had not been seen, 0 to 1.
    pub news: f32,
    /// Whether it brought the agent on: something was changed, or learnt.
    pub progress: bool,
    /// How much progress there was lately, 0 to 3.
    pub credit: f32,
    /// What a sub-agent was told, hashed.
    pub task: Option<u64>,
    /// Whether the user said that such a call is meant to be repeated: it counts for no detector.
    pub intended: bool,
    /// The call in a few words: not yet redacted, not yet stripped of control sequences.
    pub label: String,
}

/// Calls that were issued together, all answered. What is answered when others have been issued since, because it ran beside
/// them, is a step and belongs to no round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The set of their symbols, hashed.
    pub symbol: u64,
    /// The same without the world: what stays the same over a restart.
    pub content: u64,
    /// Whether one of them waits.
    pub waits: bool,
    /// The line of the last answer.
    pub line: u64,
    /// When that came.
    pub time: Timestamp,
}

/// A call that is not yet answered.
struct Open {
    id: u64,
    /// The round that it was issued in.
    round: u32,
    call: Call,
    intended: bool,
}

/// A question in a world, and its latest answer.
#[derive(Clone, Copy)]
struct Asked {
    key: u64,
    /// The answer as it stood, hashed.
    exact: u64,
    /// The same, masked.
    text: u64,
    /// The set of its error lines; 0: there are none.
    errors: u64,
}

/// Makes steps of records.
#[derive(Default)]
pub struct Steps {
    open: VecDeque<Open>,
    /// Hashes; of so few, half of one is enough.
    ids: VecDeque<u32>,
    /// The round that is going on.
    number: u32,
    /// Its answered calls: symbol, and question with answer.
    round: Vec<(u64, u64)>,
    round_waits: bool,
    /// Questions and their latest answers.
    asked: VecDeque<Asked>,
    masker: Masker,
    world: World,
    novelty: Novelty,
    credit: f32,
    count: u64,
    heard: VecDeque<u64>,
}

impl Steps {
    /// Takes a call. One that is `intended` to be repeated makes a step that belongs to no round, and what it looks at is
    /// taken to change: after it the world is another one.
    pub fn called(&mut self, call: &ToolCall<'_>, intended: &[CallPattern]) {
        let id = hash(&call.id);
        if !call.id.is_empty() {
            let id = id as u32;
            let (older, newer) = self.ids.as_slices();
            // All of them, whether it was found or not: so many at a time.
            let is_in = |ids: &[u32]| ids.iter().fold(false, |found, known| found | (*known == id));
            if is_in(older) || is_in(newer) {
                return;
            }
            if self.ids.len() == IDS {
                self.ids.pop_front();
            }
            self.ids.push_back(id);
        }
        // Another round begins, whatever becomes of the rest of the last.
        if !self.round.is_empty() {
            self.round.clear();
            self.round_waits = false;
            self.number = self.number.wrapping_add(1);
        }
        if self.open.len() == OPEN {
            self.open.pop_front();
        }
        let input = call.input.read();
        let intended = intended.iter().any(|pattern| pattern.matches(&call.name, &input));
        let call = tools::read(&call.name, &input);
        self.open.push_back(Open { id, round: self.number, call, intended });
    }

    /// Takes an answer; returns the step that it completes, and the round if it is complete with it.
    pub fn answered(
        &mut self,
        result: &ToolResult<'_>,
        line: u64,
        time: Timestamp,
    ) -> Option<(Step, Option<Round>)> {
        let id = hash(&result.id);
        let at = if result.id.is_empty() {
            self.open.len().checked_sub(1)?
        } else {
            self.open.iter().position(|open| open.id == id)?
        };
        let Open { round, call, intended, .. } = self.open.remove(at)?;
        let step = Step { intended, ..self.step(call, result, line, time) };
        if intended {
            self.world.epoch += 1;
        }
        if round != self.number {
            return Some((step, None));
        }
        if !intended {
            self.round.push((step.symbol, mix(step.question, step.answer)));
            self.round_waits |= step.waits;
        }
        let is_over = !self.round.is_empty() && !self.open.iter().any(|open| open.round == self.number);
        let round = is_over.then(|| self.close(line, time));
        Some((step, round))
    }

    /// Returns the latest call that has no answer yet: what it does, and its label. Of an older round, only what takes long
    /// by its nature is believed to run still.
    pub fn open_call(&self) -> Option<(Effect, &str)> {
        let runs = |open: &&Open| {
            open.round == self.number || matches!(open.call.effect, Effect::Delegate | Effect::Wait)
        };
        self.open.iter().rev().find(runs).map(|open| (open.call.effect, open.call.label.as_str()))
    }

    /// A person spoke, or answered: the same question is a new one. What was heard a moment ago comes from no person.
    pub fn heard(&mut self, message: u64) {
        if !self.heard.contains(&message) {
            self.world.epoch += 1;
        }
        if self.heard.len() == HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back(message);
    }

    fn step(&mut self, call: Call, result: &ToolResult<'_>, line: u64, time: Timestamp) -> Step {
        self.count += 1;
        let (mut lines, mut fresh) = (0u32, 0u32);
        let novelty = &mut self.novelty;
        let text = result.text.raw();
        let failed = result.failed || result.exit_code.is_some_and(|code| code != 0);
        let key = mix(call.question, u64::from(self.world.epoch));
        let asked =
            self.asked.iter().rposition(|asked| asked.key == key).and_then(|at| self.asked.remove(at));
        let exact = hash(text);
        let same = asked.filter(|asked| asked.exact == exact);
        // An answer is masked where it matters: where it failed, where it is another than the last time.
        let kind = match call.effect {
            Effect::Exec if same.is_none() && (failed || asked.is_some() || mask::may_be_wrong(text)) => {
                Kind::Run
            }
            _ if failed => Kind::Run,
            Effect::Exec | Effect::Wait | Effect::Delegate if asked.is_some() && same.is_none() => {
                Kind::Printed
            }
            _ => Kind::Kept,
        };
        let each = |line| {
            lines += 1;
            fresh += u32::from(novelty.is_new(line));
        };
        let mut print = self.masker.print(text, kind, each);
        if let Some(same) = same {
            let errors = (same.errors != 0).then_some(same.errors);
            print = Print { lines: print.lines, text: same.text, errors };
        }
        if self.asked.len() == QUESTIONS {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { key, exact, text: print.text, errors: print.errors.unwrap_or(0) });
        let news = if lines == 0 { 0.0 } else { fresh as f32 / lines as f32 };
        let answer = mix(print.text, u64::from(failed) << 32 ^ result.exit_code.unwrap_or(0) as u64);
        let moved = if call.effect == Effect::Mutate && !failed {
            // The world is the one before the change: to make the same change again is the same step.
            self.world.change(&call, answer)
        } else {
            Moved::default()
        };
        let epoch = self.world.epoch;
        let symbol = if call.effect == Effect::Mutate {
            mix(call.question, answer)
        } else {
            mix(mix(call.question, answer), u64::from(epoch) + 1)
        };
        let known = asked.is_some();
        let other = asked.is_some_and(|asked| asked.text != print.text);
        let waits = call.effect == Effect::Wait || provider_is_busy(failed, text);
        let learnt = news > 0.5 && !waits && !failed;
        let gain = if learnt { 0.5 } else { 0.0 } + if known && other { 1.0 } else { 0.0 };
        self.credit = (0.85 * self.credit + gain).min(MOST_CREDIT);
        let error = match print.errors {
            Some(errors) if failed || call.effect == Effect::Exec => Some(errors),
            // Nothing was found, or there was nothing to say: that is no error to meet again.
            None if failed && call.effect != Effect::Read && !says_nothing(text) => Some(print.text),
            _ => None,
        };
        Step {
            number: self.count,
            line,
            time,
            effect: call.effect,
            waits,
            tool: call.tool,
            question: call.question,
            answer,
            lines: print.lines,
            failed,
            refused: failed && is_refusal(text),
            error,
            epoch,
            symbol,
            path: call.path,
            range: call.range,
            moved,
            news,
            progress: moved.new || learnt || (known && other),
            credit: self.credit,
            task: call.task.map(|task| self.masker.print(&task, Kind::Printed, |_| {}).text),
            intended: false,
            label: call.label,
        }
    }

    fn close(&mut self, line: u64, time: Timestamp) -> Round {
        let set = |mut all: Vec<u64>| {
            // The same call twice in a round counts once, and their order is chance.
            all.sort_unstable();
            all.dedup();
            all.into_iter().reduce(mix).unwrap_or(0)
        };
        let symbol = set(self.round.iter().map(|(symbol, _)| *symbol).collect());
        let content = set(self.round.iter().map(|(_, content)| *content).collect());
        self.round.clear();
        self.number = self.number.wrapping_add(1);
        Round { symbol, content, waits: std::mem::take(&mut self.round_waits), line, time }
    }
}

/// Whether a tool failed because a provider is busy: that passes by itself.
fn provider_is_busy(failed: bool, text: &str) -> bool {
    const WORDS: [&str; 6] =
        ["overloaded", "rate limit", "Too Many Requests", "status 429", "status code 429", "Overloaded"];
    failed && WORDS.iter().any(|words| head(text).contains(words))
}

/// Whether a tool was refused rather than failed.
fn is_refusal(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "No such tool",
        "no such tool",
        "nknown tool",
        "ool not found",
        "not found in registry",
        "ool is not available",
        "unsupported call",
        "doesn't want to proceed",
        "doesn't want to take this action",
        "ser rejected",
        "requires approval",
        "haven't granted",
        "enied by",
        "not allowed",
    ];
    WORDS.iter().any(|words| head(text).contains(words))
}

/// Whether a failed command said no more than that.
fn says_nothing(text: &str) -> bool {
    let lower = head(text).to_ascii_lowercase();
    lower.len() < 120
        && (lower.trim().is_empty()
            || lower.contains("no output")
            || lower.contains("exit code")
            || lower.contains("exited with"))
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(600);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(steps: &mut Steps, id: &str) {
        let input = serde_json::json!({ "command": format!("echo {id}") }).to_string();
        let call = ToolCall { id: id.to_owned().into(), name: "Bash".into(), input: input.into() };
        steps.called(&call, &[]);
    }

    fn answer(steps: &mut Steps, id: &str) -> Option<(Step, Option<Round>)> {
        let result =
            ToolResult { id: id.to_owned().into(), failed: false, exit_code: None, text: "x".into() };
        steps.answered(&result, 1, Timestamp::from_seconds(0))
    }

    #[test]
    fn calls_that_are_issued_together_are_one_round() {
        let mut steps = Steps::default();
        call(&mut steps, "a");
        call(&mut steps, "b");
        let (_, round) = answer(&mut steps, "b").unwrap();
        assert_eq!(round, None);
        let (_, round) = answer(&mut steps, "a").unwrap();
        assert!(round.is_some());
    }

    #[test]
    fn a_call_that_runs_on_beside_later_ones_is_a_step_when_it_is_answered() {
        let mut steps = Steps::default();
        call(&mut steps, "long");
        call(&mut steps, "a");
        assert!(answer(&mut steps, "a").unwrap().1.is_none());
        call(&mut steps, "b");
        let (_, alone) = answer(&mut steps, "b").unwrap();
        assert!(alone.is_some(), "the round of its own is over");
        call(&mut steps, "c");
        let (step, round) = answer(&mut steps, "long").unwrap();
        assert_eq!((step.number, round), (3, None));
        assert!(answer(&mut steps, "c").unwrap().1.is_some());
    }

    #[test]
    fn of_what_has_no_answer_only_the_latest_round_and_long_work_is_believed_to_run() {
        let mut steps = Steps::default();
        call(&mut steps, "lost");
        call(&mut steps, "a");
        answer(&mut steps, "a");
        call(&mut steps, "b");
        assert_eq!(steps.open_call().unwrap().1, "Bash echo b");
        answer(&mut steps, "b");
        assert_eq!(steps.open_call(), None);
    }
}
