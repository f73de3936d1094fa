//! What recovery may do, and how often.

use std::collections::BTreeMap;

use crate::model::{Class, Strategy};

use super::prompts::Prompts;

/// Which strategies may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All.
    All,
    /// These.
    Only(Vec<Strategy>),
}

impl Allowed {
    /// Tells whether a strategy may be carried out.
    pub fn has(&self, strategy: Strategy) -> bool {
        match self {
            Self::All => true,
            Self::Only(list) => list.contains(&strategy),
        }
    }
}

/// What recovery may do. Times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which strategies may be carried out.
    pub allowed: Allowed,
    /// What is to be done about each class; a class that is not in it is only watched.
    pub strategies: BTreeMap<Class, Strategy>,
    /// How many starts beside the first there may be within [`Self::restart_window_sec`], whatever for.
    pub max_restarts: u32,
    /// The window for them.
    pub restart_window_sec: u32,
    /// How many attempts there are against what passes with time (limits, overload, network) before the agent works
    /// again.
    pub retry_budget: u32,
    /// How many attempts there are against what does not (malformed output, crashes, stalls) before it works again.
    pub max_auto_retries: u32,
    /// The first wait against what passes with time; it doubles with each.
    pub backoff_base_sec: u32,
    /// The longest such wait.
    pub backoff_max_sec: u32,
    /// The first wait where the agent has retried for long itself or the provider is out of capacity; doubles too.
    pub long_backoff_base_sec: u32,
    /// The longest such wait.
    pub long_backoff_max_sec: u32,
    /// What is added to a time that the server named, if that is a minute away or more: agents print resets without
    /// seconds, and clocks differ.
    pub reset_margin_sec: u32,
    /// The first wait for a limit whose reset nobody named; it doubles.
    pub unknown_reset_sec: u32,
    /// The longest such wait.
    pub unknown_reset_max_sec: u32,
    /// The longest that may be waited for a limit altogether; beyond it, it is given up.
    pub max_wait_sec: u32,
    /// How long an agent may be silent though no tool of its runs, before it is taken to hang; 0: for ever.
    pub stall_sec: u32,
    /// How long a tool may run, print nothing and do no work, before it is taken to hang; 0: for ever.
    pub tool_stall_sec: u32,
    /// How long a failed agent has to end by itself.
    pub settle_sec: u32,
    /// The model to use when the first one cannot be had.
    pub fallback_model: Option<String>,
    /// What agents are told.
    pub prompts: Prompts,
}

impl Options {
    /// Returns the defaults, with what is to be done about each class.
    pub fn new(strategies: BTreeMap<Class, Strategy>) -> Self {
        Self {
            allowed: Allowed::All,
            strategies,
            max_restarts: 20,
            restart_window_sec: 6 * 3_600,
            retry_budget: 8,
            max_auto_retries: 2,
            backoff_base_sec: 2,
            backoff_max_sec: 32,
            // An outage that has outlived the agent's own minutes of retries is no matter of seconds.
            long_backoff_base_sec: 30,
            long_backoff_max_sec: 900,
            reset_margin_sec: 45,
            unknown_reset_sec: 900,
            unknown_reset_max_sec: 3_600,
            // More than any daily limit, less than a weekly one, for which a person may want to know.
            max_wait_sec: 26 * 3_600,
            // An answer of 64,000 tokens takes about as long, and is silent in most modes.
            stall_sec: 1_800,
            // Some tools wait for other machines, and do nothing here meanwhile.
            tool_stall_sec: 3_600,
            // Codex tries an invalid key five times in 7 s before it ends.
            settle_sec: 15,
            fallback_model: None,
            prompts: Prompts::default(),
        }
    }
}
