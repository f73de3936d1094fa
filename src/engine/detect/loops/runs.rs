//! Runs: how long a sequence has repeated itself with a period.

use std::collections::VecDeque;

use crate::model::Timestamp;

/// The longest period.
pub const LONGEST: usize = 8;

/// A member of a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub symbol: u64,
    /// The same in whatever world.
    pub content: u64,
    /// Whether it waits.
    pub waits: bool,
    /// Its line.
    pub line: u64,
    /// When it came.
    pub time: Timestamp,
}

/// How long a sequence has repeated itself, for every period up to [`LONGEST`].
#[derive(Clone, Debug, Default)]
pub struct Runs {
    items: VecDeque<Item>,
    /// How many items in a row equal the one a period before; and where that repetition began.
    runs: [(u32, Place); LONGEST],
}

/// Where an item stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// Its line.
    pub line: u64,
    /// When it came.
    pub time: Timestamp,
}

/// A sequence that repeats itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// How often its period was gone through, all of it.
    pub rounds: u32,
    /// How many items one time takes.
    pub period: u32,
    /// Where it began.
    pub first: Place,
    /// Whether one of the items waits.
    pub waits: bool,
    /// What is repeated, wherever it is entered.
    pub key: u64,
}

impl From<&crate::engine::step::Round> for Item {
    fn from(round: &crate::engine::step::Round) -> Self {
        let crate::engine::step::Round { symbol, content, waits, line, time } = *round;
        Self { symbol, content, waits, line, time }
    }
}

impl From<Run> for super::Evidence {
    fn from(run: Run) -> Self {
        Self {
            count: run.rounds,
            period: run.period,
            since_line: run.first.line,
            since: Some(run.first.time),
            key: run.key,
        }
    }
}

impl Runs {
    /// Takes the next item.
    pub fn push(&mut self, item: Item) {
        for (at, run) in self.runs.iter_mut().enumerate() {
            let period = at + 1;
            let before = self.items.len().checked_sub(period).map(|at| self.items[at]);
            match before {
                Some(before) if before.symbol == item.symbol => {
                    let first = Place { line: before.line, time: before.time };
                    *run = (run.0 + 1, if run.0 == 0 { first } else { run.1 });
                }
                _ => *run = (0, Place::default()),
            }
        }
        if self.items.len() == LONGEST {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }

    /// Returns the run of this period.
    pub fn of(&self, period: usize) -> Option<Run> {
        let (run, first) = self.runs[period - 1];
        if run == 0 {
            return None;
        }
        let items = self.items.iter().skip(self.items.len().checked_sub(period)?);
        let mut contents: Vec<u64> = items.clone().map(|item| item.content).collect();
        if period > 1 && items.clone().all(|item| item.symbol == self.items[self.items.len() - 1].symbol) {
            return None;
        }
        // The least of all ways to enter it.
        let mut rotations = (0..period).map(|_| {
            contents.rotate_left(1);
            contents.clone()
        });
        let least = rotations.by_ref().min()?;
        Some(Run {
            rounds: run / period as u32 + 1,
            period: period as u32,
            first,
            waits: items.clone().any(|item| item.waits),
            key: least.into_iter().reduce(crate::engine::step::mask::mix)?,
        })
    }

    /// Returns the run with most rounds among these periods; of equal ones the shortest.
    pub fn longest(&self, periods: std::ops::RangeInclusive<usize>) -> Option<Run> {
        periods
            .filter(|period| self.runs[period - 1].0 > 0)
            .filter_map(|period| self.of(period))
            .reduce(|best, run| if run.rounds > best.rounds { run } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(symbols: &str) -> Runs {
        let mut runs = Runs::default();
        for (at, symbol) in symbols.bytes().enumerate() {
            let (symbol, line) = (u64::from(symbol), at as u64 + 1);
            runs.push(Item {
                symbol,
                content: symbol,
                waits: false,
                line,
                time: Timestamp::from_seconds(line as i64),
            });
        }
        runs
    }

    #[test]
    fn a_sequence_is_known_by_its_shortest_period() {
        let shown = |symbols: &str| {
            runs(symbols).longest(1..=LONGEST).map(|run| (run.period, run.rounds, run.first.line))
        };
        assert_eq!(shown("xyaaa"), Some((1, 3, 3)));
        assert_eq!(shown("xababab"), Some((2, 3, 2)));
        assert_eq!(shown("abcabcab"), Some((3, 2, 1)));
        assert_eq!(shown("abcdefgh"), None);
        assert_eq!(shown("ababx"), None);
    }

    #[test]
    fn a_cycle_is_the_same_wherever_it_is_entered() {
        let key = |symbols: &str| runs(symbols).longest(2..=LONGEST).map(|run| run.key);
        assert_eq!(key("abcabcabc"), key("xbcabcabcab"));
        assert_ne!(key("abcabcabc"), key("abdabdabd"));
    }
}
