//! How much of which evidence is worth a warning, and how much an interruption.
//!
//! `docs/loops.md` says how the figures were found.

use std::collections::BTreeMap;

use super::NAMES;
use crate::engine::step::intended::CallPattern;

/// The highest count that can be set as a limit.
pub const MOST: u32 = 1_000_000;

/// The longest time that can be set as a limit, in seconds: a week.
pub const MOST_SEC: i64 = 7 * 24 * 60 * 60;

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

/// The limits, a row a detector, in the order of [`NAMES`].
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
    // Cents, thousands of tokens, minutes, since the last step that got on.
    ("burn_usd", Limit { warn: 500, act: 0, warn_sec: 0, act_sec: 0 }),
    ("burn_tokens", Limit { warn: 1000, act: 0, warn_sec: 0, act_sec: 0 }),
    ("burn_time", Limit { warn: 60, act: 0, warn_sec: 0, act_sec: 0 }),
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
    /// Returns the limits of the detector at this place in [`NAMES`].
    pub fn at(&self, place: usize) -> &Limit {
        &self.0[place]
    }

    /// Returns the limits of the detectors, in the order of [`NAMES`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Limit)> {
        NAMES.iter().copied().zip(&mut self.0)
    }

    /// Returns the limits of the detectors, in the order of [`NAMES`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Limit)> {
        NAMES.iter().copied().zip(&self.0)
    }
}

/// What is known of loops from outside: limits, and what is no loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The limits of the agents that have none of their own.
    pub limits: Limits,
    /// The limits of single agents, by the name of the format.
    pub agents: BTreeMap<String, Limits>,
    /// The calls whose repetition is intended.
    pub intended: Vec<CallPattern>,
}

impl Options {
    /// Returns the limits that hold for an agent.
    pub fn limits(&self, agent: &str) -> &Limits {
        self.agents.get(agent).unwrap_or(&self.limits)
    }
}

const _: () = assert!(TABLE.len() == NAMES.len(), "every detector has a row");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_has_its_row() {
        for (name, (row, limit)) in NAMES.iter().zip(TABLE) {
            assert_eq!(name, row);
            assert!(limit.act == 0 || (limit.warn < limit.act && limit.warn_sec <= limit.act_sec), "{name}");
        }
    }

    #[test]
    fn an_agent_has_the_limits_of_all_or_its_own() {
        let mut own = Limits::default();
        own.iter_mut().for_each(|(_, limit)| limit.act = 0);
        let agents = BTreeMap::from([("codex".to_owned(), own)]);
        let options = Options { agents, ..Options::default() };
        assert_eq!((options.limits("codex"), options.limits("claude")), (&own, &Limits::default()));
    }
}
