//! How much of which evidence is worth a warning, and how much an interruption.
//!
//! `docs/loops.md` says how the figures were found.

use super::NAMES;

/// Two limits of a count. Zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// From how many on it is worth a warning.
    pub warn: u32,
    /// From how many on it is worth an interruption.
    pub act: u32,
    /// How many seconds it must have lasted for a warning.
    pub warn_sec: i64,
    /// How many seconds it must have lasted for an interruption.
    pub act_sec: i64,
}

/// The limits, a row a detector.
pub const TABLE: &[(&str, Limit)] = &[
    // The same call, the same answer, one after the other.
    ("repeated_call", Limit { warn: 4, act: 6, warn_sec: 0, act_sec: 0 }),
    // Rounds of two to eight steps.
    ("cycle", Limit { warn: 3, act: 4, warn_sec: 0, act_sec: 0 }),
    // The same with a wait in it: patience is what polls are made of.
    ("frozen_poll", Limit { warn: 10, act: 20, warn_sec: 600, act_sec: 1800 }),
    ("interleaved_repeat", Limit { warn: 4, act: 8, warn_sec: 0, act_sec: 0 }),
    ("same_answer", Limit { warn: 6, act: 10, warn_sec: 0, act_sec: 0 }),
    ("reread", Limit { warn: 6, act: 12, warn_sec: 0, act_sec: 0 }),
    ("flip_flop", Limit { warn: 3, act: 5, warn_sec: 0, act_sec: 0 }),
    ("duplicate_delegation", Limit { warn: 2, act: 4, warn_sec: 0, act_sec: 0 }),
    ("same_error", Limit { warn: 8, act: 12, warn_sec: 0, act_sec: 0 }),
    ("refused_tool", Limit { warn: 3, act: 5, warn_sec: 0, act_sec: 0 }),
    // Rounds of a phrase.
    ("chanting", Limit { warn: 8, act: 16, warn_sec: 0, act_sec: 0 }),
    ("monologue", Limit { warn: 3, act: 5, warn_sec: 0, act_sec: 0 }),
    ("injected_message", Limit { warn: 3, act: 5, warn_sec: 0, act_sec: 0 }),
    ("compaction_thrash", Limit { warn: 3, act: 5, warn_sec: 0, act_sec: 0 }),
    // Some work is like that: a person may want to look.
    ("no_progress", Limit { warn: 40, act: 0, warn_sec: 0, act_sec: 0 }),
];

/// The limits of all detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([Limit; TABLE.len()]);

impl Default for Limits {
    fn default() -> Self {
        let mut limits = [Limit::default(); TABLE.len()];
        for (limit, (_, row)) in limits.iter_mut().zip(TABLE) {
            *limit = *row;
        }
        Self(limits)
    }
}

impl Limits {
    /// Returns the limits of the detector that is asked in this place, counted from 0.
    pub(super) fn at(&self, place: usize) -> Limit {
        self.0[place]
    }

    /// Sets the limits of a detector; returns whether there is such a detector.
    pub fn set(&mut self, name: &str, limit: Limit) -> bool {
        let Some(at) = TABLE.iter().position(|(row, _)| *row == name) else { return false };
        self.0[at] = limit;
        true
    }
}

const _: () = assert!(TABLE.len() == NAMES.len(), "every detector has a row");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_has_a_row() {
        // In the order in which they are asked.
        for (name, (row, limit)) in NAMES.iter().zip(TABLE) {
            assert!(row == name && (limit.act == 0 || limit.warn < limit.act), "{name}");
        }
    }
}
