//! What is to be done: a value that is compared, shown and stored.

use serde::{Deserialize, Serialize};

use crate::model::{Class, Timestamp};
use crate::profile::{Stdin, StopStep};

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// The run is over; end as the agent did, or with 124 if a time limit ended it.
    Done {
        /// The exit status.
        status: i32,
        /// Why, as a sentence.
        reason: String,
    },
    /// The run is over, and a person is needed.
    Halt(Halt),
    /// Wait, then start the agent.
    Start(Start),
    /// Stop the running agent; then what stands behind it.
    Stop {
        /// The steps, the gentlest first.
        steps: Vec<StopStep>,
        /// Why, as a sentence.
        reason: String,
        /// What comes when it has ended; [`super::Run::ended`] gives it back.
        then: Box<Plan>,
    },
    /// Kill the tool that hangs, and let the agent live: it goes on with a failed tool call.
    StopTool {
        /// Why, as a sentence.
        reason: String,
    },
    /// Type into the agent's terminal, each at its time, unless the agent works before.
    Type {
        /// What and when.
        typing: Vec<Typing>,
        /// Why, as a sentence.
        reason: String,
    },
    /// Leave the agent alone until then; ask again if it does not work by that time.
    Leave {
        /// Until when.
        until: Timestamp,
        /// Why, as a sentence.
        reason: String,
    },
    /// Nothing is to be done.
    Watch {
        /// Why, as a sentence.
        reason: String,
    },
}

/// The end of a run that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// The exit status.
    pub status: HaltStatus,
    /// The class of the failure.
    pub class: Class,
    /// What happened, as a sentence.
    pub reason: String,
    /// What the person should do, as a sentence.
    pub fix: String,
}

/// The exit status of a run that needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltStatus {
    /// 80: no retry can help.
    NeedsPerson,
    /// 81: it repeats itself.
    Loop,
    /// 82: our own limit on money.
    Budget,
    /// 83: every allowed attempt was made.
    RetriesUsedUp,
    /// 84: a limit lasts longer than may be waited.
    LimitTooLong,
}

impl HaltStatus {
    /// Returns the exit status.
    pub const fn code(self) -> i32 {
        match self {
            Self::NeedsPerson => 80,
            Self::Loop => 81,
            Self::Budget => 82,
            Self::RetriesUsedUp => 83,
            Self::LimitTooLong => 84,
        }
    }
}

/// A start of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Not before this time.
    pub not_before: Timestamp,
    /// What kind of start.
    pub kind: Kind,
    /// The command line.
    pub argv: Vec<String>,
    /// What it gets on standard input.
    pub stdin: Stdin,
    /// The session that it will have, where that is known.
    pub session: Option<String>,
    /// The prompt, where it is ours.
    pub prompt: Option<String>,
    /// Why, as a sentence.
    pub reason: String,
}

/// What kind of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first one.
    First,
    /// The same session goes on.
    Resume,
    /// A copy of the session, as it was before it went wrong, goes on.
    Fork,
    /// A new session that is told of the old one.
    Fresh,
    /// The same command line again.
    Restart,
    /// The session is made smaller, and goes on with the next start.
    Compact,
}

/// Keys for the agent's terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Not before this time.
    pub not_before: Timestamp,
    /// Key presses, each to be written apart from the next: an agent takes what comes at once for pasted text.
    pub keys: Vec<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How its process ended.
    pub how: How,
    /// Whether we ended it, when, and why.
    pub stopped: Option<(Timestamp, StopReason)>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl How {
    /// Returns the status as shells count it: 128 and the number of the signal.
    pub const fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Signalled(signal) => 128 + signal,
        }
    }
}

/// Why we ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A plan said so.
    Plan,
    /// A time limit of the user's.
    TimeLimit,
    /// The user ended us, and we it.
    User,
}

/// What it would mean that an agent has been silent for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    /// Nothing.
    Ordinary,
    /// The agent hangs.
    Agent,
    /// A tool of its hangs.
    Tool,
}
