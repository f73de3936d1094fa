//! The same message from outside (a hook that blocks the end, a reminder), answered in the same way each time.

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::mask::mix;
use crate::model::Timestamp;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(InjectedMessage::default())
}

/// A turn: what was called in it, whether anything came of that, and the last words.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Turn {
    calls: u64,
    progress: bool,
    words: u64,
}

impl Turn {
    /// Whether another turn has the same shape. A person may have said the same twice, and the model may have answered
    /// otherwise; a program says it at once, and then it does not matter how the model words its answer.
    fn is_like(self, other: Self, at_once: bool) -> bool {
        self.calls == other.calls && (at_once || self.words == other.words)
    }
}

#[derive(Default)]
struct InjectedMessage {
    message: u64,
    turn: Turn,
    before: Option<Turn>,
    /// Whether the model has answered since.
    answered: bool,
    count: u32,
    line: u64,
    since: Option<Timestamp>,
}

impl LoopDetector for InjectedMessage {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        match sign {
            Sign::Step(step) => {
                self.turn.calls = mix(self.turn.calls, step.question);
                self.turn.progress |= step.progress;
                None
            }
            Sign::Said(said) => {
                self.answered = true;
                self.turn.words = said.print;
                None
            }
            // Formats without structure tell a message line by line.
            Sign::Heard(heard) if !self.answered && heard.print == self.message => None,
            Sign::Heard(heard) => {
                self.answered = false;
                let turn = std::mem::take(&mut self.turn);
                let same = heard.print == self.message
                    && !turn.progress
                    && self.before.is_none_or(|before| before.is_like(turn, heard.at_once));
                if same {
                    self.before = Some(turn);
                    self.count += 1;
                } else {
                    let before = (heard.print == self.message).then_some(turn);
                    *self = Self {
                        message: heard.print,
                        before,
                        count: 1,
                        line: heard.line,
                        since: Some(heard.time),
                        ..Self::default()
                    };
                }
                Some(Evidence {
                    count: self.count,
                    period: 1,
                    since_line: self.line,
                    since: self.since,
                    key: mix(self.message, 12),
                })
            }
            _ => None,
        }
    }

    fn reason(&self, evidence: &Evidence, _: &str) -> String {
        format!("answered the same message {} times in the same way", evidence.count)
    }
}
