//! All that can happen to a run, as one closed list; and where it is collected.

use std::io;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased, unbounded};

use crate::child::Exit;
use crate::child::caught::Signal;
use crate::model::Event;

/// A stream of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The pseudo-terminal, which holds both.
    Terminal,
}

impl Stream {
    /// Returns the name of it, as events tell where something stood.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Terminal => "terminal",
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The child was started.
    Started {
        /// Its number.
        pid: i32,
    },
    /// The child could not be started.
    NotStarted {
        /// The status to end with.
        status: u8,
        /// Why, to be told to the user; reads after "failed to".
        message: String,
    },
    /// The child said something; it has been passed on already.
    Output(Stream),
    /// The child wrote to its transcript.
    Written,
    /// A key went to the child.
    Typed,
    /// Nothing more comes from this stream.
    OutputEnded(Stream),
    /// Nobody reads what we pass on any more; the stream was closed, as the child will notice.
    Unread(Stream),
    /// The output of the child could not be passed on; it is lost, and the child goes on.
    PassThroughFailed(Stream, io::Error),
    /// The child ended.
    ChildEnded(Exit),
    /// The child was stopped.
    ChildStopped {
        /// The number of the signal that did it.
        signal: i32,
        /// Whether we were in the foreground of our terminal then.
        foreground: bool,
    },
    /// The child goes on.
    ChildContinued,
    /// Nothing that descends from the child is left.
    TreeGone,
    /// What stood between us and the child is gone: how the child ends will not be known.
    GuardLost,
    /// A signal came to us.
    Signal(Signal),
    /// We asked to be stopped, and the kernel does not stop a group that nobody could continue.
    NotStopped {
        /// The signal that had stopped the child.
        signal: i32,
    },
    /// Who has the terminal now, after it was taken or asked for.
    Terminal {
        /// Whether our process group is in the foreground.
        ours: bool,
    },
    /// The engine told something: an alert, a decision, a change of status.
    Told(Box<Event>),
    /// Something to act on was seen elsewhere than in the output.
    Seen,
    /// A time that was asked for has come.
    Deadline,
}

/// How many signs of life may wait to be looked at. More would say nothing else.
const SIGNS: usize = 64;

/// Where inputs are put.
#[derive(Clone, Debug)]
pub struct Post {
    /// The attempt that they come from; 0: none.
    attempt: u32,
    inputs: Sender<(u32, Input)>,
    signs: Sender<(u32, Input)>,
}

impl Post {
    /// Puts in what must not be lost. It never waits.
    pub fn send(&self, input: Input) {
        // Once nobody takes inputs any more, the run is over.
        let _ = self.inputs.send((self.attempt, input));
    }

    /// Puts in a sign of life, of which one is as good as many.
    pub fn sign(&self, input: Input) {
        let _ = self.signs.try_send((self.attempt, input));
    }

    /// Returns a place for what comes from this attempt.
    #[must_use]
    pub fn of_attempt(&self, attempt: u32) -> Self {
        Self { attempt, ..self.clone() }
    }
}

/// Where inputs are taken from, one by one.
#[derive(Debug)]
pub struct Mailbox {
    inputs: Receiver<(u32, Input)>,
    signs: Receiver<(u32, Input)>,
}

impl Mailbox {
    /// Returns an empty mailbox and what puts inputs into it.
    pub fn new() -> (Self, Post) {
        let (send_input, inputs) = unbounded();
        let (send_sign, signs) = bounded(SIGNS);
        (Self { inputs, signs }, Post { attempt: 0, inputs: send_input, signs: send_sign })
    }

    /// Waits for the next input of this attempt or of the run itself. What an earlier attempt left is dropped.
    pub fn next(&self, attempt: u32, deadline: Option<Instant>) -> Input {
        let timer = deadline.map_or_else(never, crossbeam_channel::at);
        loop {
            let (from, input) = select_biased! {
                recv(self.inputs) -> input => input.unwrap_or((0, Input::Deadline)),
                recv(timer) -> _ => return Input::Deadline,
                recv(self.signs) -> input => input.unwrap_or((0, Input::Deadline)),
            };
            if from == 0 || from == attempt {
                return input;
            }
        }
    }

    /// Returns an input that is there already.
    pub fn take(&self) -> Option<Input> {
        self.inputs.try_recv().ok().map(|(_, input)| input)
    }
}
