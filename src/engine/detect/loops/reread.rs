//! Reading over and over what was read already, of files that have not changed.

use std::collections::VecDeque;

use super::{Evidence, LoopDetector, Sign};
use crate::engine::step::tools::Effect;
use crate::model::Timestamp;

/// How many files are kept in mind; the one that was read longest ago goes.
const FILES: usize = 8;

/// How many lines a cell stands for.
const CELL: u32 = 16;

/// How many cells are kept of a file: what lies behind them is taken to be new.
const CELLS: u32 = 768;

pub(super) fn build() -> Box<dyn LoopDetector + Send> {
    Box::new(Reread::default())
}

#[derive(Default)]
struct Reread {
    files: VecDeque<File>,
    epoch: u32,
    count: u32,
    line: u64,
    since: Option<Timestamp>,
}

struct File {
    path: u64,
    cells: [u64; (CELLS / 64) as usize],
}

impl LoopDetector for Reread {
    fn see(&mut self, sign: &Sign<'_>) -> Option<Evidence> {
        let Sign::Step(step) = sign else { return None };
        if step.epoch != self.epoch {
            *self = Self { epoch: step.epoch, ..Self::default() };
        }
        let path = step.path.filter(|_| step.effect == Effect::Read && !step.failed)?;
        let first = step.range.map_or(0, |range| range.first / CELL).min(CELLS);
        // Of a whole file as much is known as was shown of it.
        let lines = step.range.map_or(step.lines, |range| range.lines.min(step.lines.max(1)));
        let end = (first + lines.div_ceil(CELL).max(1)).min(CELLS);
        let found = self.files.iter().position(|file| file.path == path);
        let file = found.and_then(|at| self.files.remove(at));
        let mut file = file.unwrap_or(File { path, cells: [0; (CELLS / 64) as usize] });
        let known = (first..end).filter(|cell| file.cells[(cell / 64) as usize] >> (cell % 64) & 1 == 1).count();
        for cell in first..end {
            file.cells[(cell / 64) as usize] |= 1 << (cell % 64);
        }
        if self.files.len() == FILES {
            self.files.pop_front();
        }
        self.files.push_back(file);
        if known * 2 > (end - first) as usize {
            if self.count == 0 {
                (self.line, self.since) = (step.line, Some(step.time));
            }
            self.count += 1;
        } else {
            self.count = 0;
        }
        Some(Evidence { count: self.count, period: 0, since_line: self.line, since: self.since, key: path })
    }

    fn reason(&self, evidence: &Evidence, what: &str) -> String {
        format!(
            "read {} times in a row what was read already and nobody has changed, the last time \"{what}\"",
            evidence.count
        )
    }
}
