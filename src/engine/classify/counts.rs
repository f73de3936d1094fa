//! How often rules are tried and decide, and what that costs, for those who tune them. Counting changes no verdict. The
//! engine knows no clock: who wants to know the time that patterns take hands in a counter of nanoseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rules::{Place, Rules};
use crate::model::Class;

/// Nanoseconds since some moment, never less than before.
pub type Stopwatch = fn() -> u64;

/// Counters, shared by all who use the rules.
#[derive(Debug)]
pub(super) struct Counts {
    stopwatch: Stopwatch,
    rules: Vec<Counter>,
    introducers: Vec<Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    tries: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
    hits: AtomicU64,
}

impl Counter {
    /// Lets patterns look at a text of so many bytes.
    fn tried<T>(&self, stopwatch: Stopwatch, bytes: usize, look: impl FnOnce() -> T) -> T {
        let start = stopwatch();
        let seen = look();
        self.nanos.fetch_add(stopwatch().saturating_sub(start), Ordering::Relaxed);
        self.tries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        seen
    }
}

/// What was counted of a rule or introducer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCount {
    /// Its name.
    pub id: String,
    /// What it finds; `None` for an introducer.
    pub class: Option<Class>,
    /// Where the user wrote it; `None`: it comes with the program.
    pub place: Option<Place>,
    /// How many texts its patterns were tried on: those that hold one of its stems.
    pub tries: u64,
    /// How many bytes these texts had together.
    pub bytes: u64,
    /// How long that took, in nanoseconds by the stopwatch, all threads together. Reading the stopwatch itself is in it.
    pub nanos: u64,
    /// How often it decided; of an introducer: how often it let a line speak for the provider.
    pub hits: u64,
}

impl Rules {
    /// Returns the same rules, which count from now on what is done with them. Their patterns are compiled now: what
    /// that takes is no cost of the first text they look at.
    #[must_use]
    pub fn counting(&self, stopwatch: Stopwatch) -> Self {
        self.compile_all();
        let counters = |length| std::iter::repeat_with(Counter::default).take(length).collect();
        let counts = Counts {
            stopwatch,
            rules: counters(self.rules.len()),
            introducers: counters(self.introducers.len()),
        };
        Self { counts: Some(Arc::new(counts)), ..self.clone() }
    }

    /// Returns what was counted: introducers, then rules, each in their order. Empty if nothing counts.
    pub fn counted(&self) -> Vec<RuleCount> {
        let Some(counts) = &self.counts else { return Vec::new() };
        let row = |id: &str, class, place: &Option<Place>, counter: &Counter| RuleCount {
            id: id.to_owned(),
            class,
            place: place.clone(),
            tries: counter.tries.load(Ordering::Relaxed),
            bytes: counter.bytes.load(Ordering::Relaxed),
            nanos: counter.nanos.load(Ordering::Relaxed),
            hits: counter.hits.load(Ordering::Relaxed),
        };
        let introducers = self.introducers.iter().zip(&counts.introducers);
        let rules = self.rules.iter().zip(&counts.rules);
        introducers
            .map(|(introducer, counter)| row(&introducer.id, None, &introducer.place, counter))
            .chain(rules.map(|(rule, counter)| row(&rule.id, Some(rule.class), &rule.place, counter)))
            .collect()
    }

    /// Lets a rule's patterns look at a text of so many bytes.
    pub(super) fn try_rule<T>(&self, index: usize, bytes: usize, look: impl FnOnce() -> T) -> T {
        match &self.counts {
            Some(counts) => counts.rules[index].tried(counts.stopwatch, bytes, look),
            None => look(),
        }
    }

    pub(super) fn count_rule_hit(&self, index: usize) {
        if let Some(counts) = &self.counts {
            counts.rules[index].hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets an introducer's patterns look at a text of so many bytes.
    pub(super) fn try_introducer<T>(&self, index: usize, bytes: usize, look: impl FnOnce() -> T) -> T {
        match &self.counts {
            Some(counts) => counts.introducers[index].tried(counts.stopwatch, bytes, look),
            None => look(),
        }
    }

    pub(super) fn count_introducer_hit(&self, index: usize) {
        if let Some(counts) = &self.counts {
            counts.introducers[index].hits.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::engine::classify;
    use crate::model::Origin;
    use crate::model::record::{Failure, TextLine};

    #[test]
    fn tries_bytes_time_and_hits_are_counted() {
        // A clock on which every look takes seven.
        fn sevens() -> u64 {
            static READ: AtomicU64 = AtomicU64::new(0);
            READ.fetch_add(7, Ordering::Relaxed)
        }
        let rules = Rules::built_in().counting(sevens);
        let text = "Credit balance is too low";
        for _ in 0..2 {
            classify::failure(&rules, "plain", &Failure::new(Origin::Provider, text), None).unwrap();
        }
        let words = "API Error: 529 Overloaded";
        let line = TextLine { text: Cow::Borrowed(words), body: 0, level: None, content: false };
        classify::line(&rules, "plain", &line, None).unwrap();
        let counted = rules.counted();
        let hits: u64 = counted.iter().filter(|row| row.class.is_some()).map(|row| row.hits).sum();
        assert_eq!(hits, 3);
        let budget = counted.iter().find(|row| row.class == Some(Class::BudgetOver) && row.hits > 0).unwrap();
        assert_eq!((budget.tries, budget.hits, budget.bytes), (2, 2, 2 * text.len() as u64));
        let introducer = counted.iter().find(|row| row.id == "claude_api_error").unwrap();
        assert_eq!((introducer.tries, introducer.hits, introducer.nanos), (1, 1, 7));
        assert_eq!(budget.nanos, 14);
        assert!(Rules::built_in().counted().is_empty());
    }
}
