//! All that a run does to the world, as one closed list. What decides returns them; `execute` carries them out.

use std::ffi::OsString;
use std::time::Duration;

use crate::child::group::Target;
use crate::model::event::{Event, ProcessFacts};
use crate::model::{Basis, Life};

/// One step on the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start the child. Ends what is left of the one before, if there was one.
    Start(Launch),
    /// Send a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// Whom it is for.
        to: Target,
    },
    /// Type into the child's terminal, as one press of a key.
    Type(String),
    /// Kill the tool that the child began within this time.
    KillTool {
        /// How long ago at most.
        within: Duration,
    },
    /// Kill all that descends from the child. To be repeated until nothing is left: what is killed may just have
    /// started something.
    Kill,
    /// Give the child our terminal and its keys, if we are in its foreground.
    GiveTerminal,
    /// Take the keys of our terminal back; what is still to be passed on is shown as before.
    TakeKeys,
    /// Take our terminal back and put it in order.
    TakeTerminal,
    /// Tell the child how large our terminal is now.
    Resize,
    /// Take the terminal back and stop ourselves, as the child was stopped by this signal.
    StopOurselves {
        /// The signal's number.
        signal: i32,
    },
    /// The child is over: take in what it said last, and do not wait for what it left behind.
    Settle,
    /// Write a status event.
    Tell(Change),
    /// Show the user an event, if a line of ours would not disturb what the child draws; otherwise at the end.
    Show(Box<Event>),
    /// Say a line to the user, as soon as the terminal is ours.
    Say(String),
    /// End the run.
    End(Ending),
}

/// What to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
}

/// A change of how far the run is.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What it was.
    pub from: Life,
    /// What it is.
    pub to: Life,
    /// Why, as a sentence.
    pub reason: String,
    /// How that is known.
    pub basis: Basis,
    /// Of which process.
    pub process: ProcessFacts,
}

/// How the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Status(u8),
    /// By this signal.
    Signal(i32),
}

/// The status of a run that a time limit ended, as with timeout(1).
pub const TIMED_OUT: u8 = 124;

/// The status when wrapping itself failed.
pub const WRAPPER_FAILED: u8 = 125;

/// The status when the command is there and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;

/// The status when there is no such command.
pub const NOT_FOUND: u8 = 127;
