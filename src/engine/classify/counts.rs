//! How often rules are tried and decide, for those who tune them. Counting changes no verdict and reads no clock: what a
//! rule costs is told as the bytes that its patterns were given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rules::{Place, Rules};
use crate::model::Class;

/// Counters, shared by all who use the rules.
#[derive(Debug, Default)]
pub(super) struct Counts {
    rules: Vec<Counter>,
    introducers: Vec<Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    tries: AtomicU64,
    bytes: AtomicU64,
    hits: AtomicU64,
}

impl Counter {
    fn tried(&self, bytes: usize) {
        self.tries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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
    /// How often it decided; of an introducer: how often it let a line speak for the provider.
    pub hits: u64,
}

impl Rules {
    /// Returns the same rules, which count from now on what is done with them.
    #[must_use]
    pub fn counting(&self) -> Self {
        let counters = |length| std::iter::repeat_with(Counter::default).take(length).collect();
        let counts =
            Counts { rules: counters(self.rules.len()), introducers: counters(self.introducers.len()) };
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
            hits: counter.hits.load(Ordering::Relaxed),
        };
        let introducers = self.introducers.iter().zip(&counts.introducers);
        let rules = self.rules.iter().zip(&counts.rules);
        introducers
            .map(|(introducer, counter)| row(&introducer.id, None, &introducer.place, counter))
            .chain(rules.map(|(rule, counter)| row(&rule.id, Some(rule.class), &rule.place, counter)))
            .collect()
    }

    pub(super) fn count_rule(&self, index: usize, bytes: usize) {
        if let Some(counts) = &self.counts {
            counts.rules[index].tried(bytes);
        }
    }

    pub(super) fn count_rule_hit(&self, index: usize) {
        if let Some(counts) = &self.counts {
            counts.rules[index].hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_introducer(&self, index: usize, bytes: usize) {
        if let Some(counts) = &self.counts {
            counts.introducers[index].tried(bytes);
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
    fn tries_bytes_and_hits_are_counted() {
        let rules = Rules::built_in().counting();
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
        assert_eq!((introducer.tries, introducer.hits), (1, 1));
        assert!(Rules::built_in().counted().is_empty());
    }
}
